//! What is wrong with the values of a configuration, each with what is allowed and what to
//! do. What the policy lacks is for `privacy::declared`.

use super::super::his::senders;
use super::Config;
use crate::http::metrics::Listen;
use crate::privacy::policy::CounterKind;
use crate::protocol::id::CounterId;
use crate::protocol::roster;
use crate::settings::{Problem, Validate};
use crate::verify::roster::Demands;

impl Validate for Config {
    fn problems(&self) -> Vec<Problem> {
        let mut out = Vec::new();
        let mut ask = |ok: bool, key: String, found: String, allowed: &str, advice: &str| {
            if !ok {
                out.push(Problem::new(&key, found, allowed, advice));
            }
        };
        let url = &self.bureau.url;
        ask(
            url.starts_with("https://") && !url.ends_with('/'),
            "bureau.url".into(),
            format!("`{url}`"),
            "https://host:port without a path",
            "Alerts travel over TLS only.",
        );
        ask(
            self.his.listen.ip().is_loopback() || self.his.tls.is_some(),
            "his.listen".into(),
            self.his.listen.to_string(),
            "a loopback address, or another with [his.tls]",
            "A token alone must not cross a network.",
        );
        ask(
            !self.counters.is_empty(),
            "counters".into(),
            "none".into(),
            "at least one [[counters]]",
            "Name the windows that this box watches.",
        );
        ask(
            (1..=16).contains(&self.decision.workers),
            "decision.workers".into(),
            self.decision.workers.to_string(),
            "1 to 16",
            "One for each core that may be used.",
        );
        ask(
            (1..=1024).contains(&self.decision.queue),
            "decision.queue".into(),
            self.decision.queue.to_string(),
            "1 to 1024",
            "Verifications that may wait for a worker.",
        );
        ask(
            self.decision.hold_ms <= 86_400_000,
            "decision.hold_ms".into(),
            self.decision.hold_ms.to_string(),
            "0 to 86400000",
            "A day is the longest.",
        );
        ask(
            !self.decision.medical_types.is_empty(),
            "decision.medical_types".into(),
            "none".into(),
            "at least one, such as \"11\" (outpatient)",
            "Name the kinds of care that are verified.",
        );
        ask(
            !self.decision.channels.is_empty(),
            "decision.channels".into(),
            "none".into(),
            "at least one of window, kiosk, mobile",
            "Leave the key out for windows alone.",
        );
        ask(
            self.his.clock_error_ms <= 30_000,
            "his.clock_error_ms".into(),
            self.his.clock_error_ms.to_string(),
            "0 to 30000",
            "Synchronise the clocks instead.",
        );
        let counters: Vec<&CounterId> = self.counters.iter().map(|c| &c.id).collect();
        for (i, port) in self.his.hl7.iter().enumerate() {
            ask(
                port.listen.ip().is_loopback(),
                format!("his.hl7[{i}].listen"),
                port.listen.to_string(),
                "an address of this machine alone, such as 127.0.0.1:2575",
                "HL7 over MLLP says nothing of who calls: let the integration engine run here, or a TLS tunnel end here.",
            );
            ask(
                port.counter.as_ref().is_none_or(|c| counters.contains(&c)),
                format!("his.hl7[{i}].counter"),
                port.counter.as_ref().map_or_else(String::new, ToString::to_string),
                "one of this box's counters",
                "Leave it out where terminals or operators name the counter.",
            );
        }
        for (i, c) in self.counters.iter().enumerate() {
            let key = |k: &str| format!("counters[{i}].{k}");
            ask(
                self.counters.iter().take(i).all(|o| o.id != c.id),
                key("id"),
                format!("`{}` twice", c.id),
                "each counter once",
                "Give it another name.",
            );
            let window = c.before_ms.saturating_add(c.after_ms);
            ask(
                (window > 0) == (c.kind == CounterKind::SettlementWindow),
                key("before_ms"),
                format!("a window of {window} ms"),
                "before_ms and after_ms at a settlement window, neither at a dialysis-entrance",
                "A window is looked at around a settlement, an entrance for a whole shift.",
            );
            ask(
                (1..=4096).contains(&c.ring_mb),
                key("ring_mb"),
                c.ring_mb.to_string(),
                "1 to 4096",
                "Megabytes for this camera's pictures.",
            );
        }
        let e = &self.entrance;
        let usual = Demands::USUAL;
        let share = |key: &str, value: f64, allowed: std::ops::RangeInclusive<f64>| {
            let words = format!("{} to {}", allowed.start(), allowed.end());
            let advice =
                "An absence accuses: what is demanded of the observation can be raised, not lowered.";
            (!allowed.contains(&value))
                .then(|| Problem::new(&format!("entrance.{key}"), value, words, advice))
        };
        out.extend(share("least_observed", e.least_observed, usual.least_observed..=1.0));
        out.extend(share("most_unclear", e.most_unclear, 0.0..=usual.most_unclear));
        out.extend(share("least_seen", e.least_seen, usual.least_seen..=1.0));
        let others = f64::from(e.least_others);
        out.extend(share("least_others", others, f64::from(usual.least_others)..=roster::MOST as f64 - 1.0));
        for (i, c) in self.counters.iter().enumerate() {
            out.extend(c.camera.problems(&format!("counters[{i}].camera")));
        }
        out.extend(senders::problems(&self.his.senders, &counters));
        out.extend(self.commissioning.problems());
        out.extend(self.metrics.as_ref().and_then(Listen::problem));
        out
    }
}
