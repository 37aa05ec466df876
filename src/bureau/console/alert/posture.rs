//! Whether the box was in order then: what the bureau can know of it, and what it cannot.

use super::super::Console;
use super::super::failure::Failure;
use super::super::parts::Mark;
use super::super::shown::second;
use super::super::visitor::Visitor;
use super::Opened;
use super::parts::{Advised, settled};
use crate::bureau::review::Claim;
use crate::bureau::store::StoredPosture;
use crate::clock::WallTime;
use crate::crypto::Sha256;

/// What is known, line by line; and what is not.
pub(super) struct Posture {
    pub(super) known: Vec<Advised>,
    pub(super) unknown: Vec<String>,
}

struct Lines<'v> {
    visitor: &'v Visitor,
    out: Posture,
}

impl Lines<'_> {
    fn add(&mut self, name: &str, class: &'static str, text: String, advice: &str) {
        let words = self.visitor.words();
        let advice = if advice.is_empty() { String::new() } else { words.say(advice) };
        self.out.known.push(Advised { name: words.say(name), mark: Mark { text, class }, advice });
    }

    fn unknown(&mut self, id: &str) {
        self.out.unknown.push(self.visitor.words().say(id));
    }
}

pub(super) async fn of(console: &Console, visitor: &Visitor, opened: &Opened) -> Result<Posture, Failure> {
    let (store, agent) = (&console.store, &opened.alert.agent);
    let mut lines = Lines { visitor, out: Posture { known: Vec::new(), unknown: Vec::new() } };
    let said = opened.alert.event.as_ref().and_then(|e| {
        let about = e.content.about()?;
        Some((settled(&about), about.settings.policy))
    });
    let at = said.map_or(opened.alert.received_at, |(at, _)| at);
    let (before, after) = store.heads_around(agent, at).await?;
    audit(&mut lines, before.map(|h| h.received_at), after.map(|h| h.received_at));
    let findings = store.audit_findings().await?;
    let about = findings.iter().filter(|f| f.agent == *agent).count();
    let words = visitor.words();
    match about {
        0 => lines.add("alert-posture-findings", "good", words.say("alert-posture-no-findings"), ""),
        n => {
            let text = words.count("alert-posture-some-findings", n as i64);
            lines.add("alert-posture-findings", "bad", text, "alert-posture-findings-advice");
        }
    }
    let declared = store.declared_policy(agent).await?.map(|d| d.digest);
    policy(&mut lines, declared, said.map(|(_, policy)| policy));
    now(&mut lines, store.posture(agent).await?.as_ref(), opened, at);
    Ok(lines.out)
}

/// The countersigned heads of the audit log before and after it.
fn audit(lines: &mut Lines<'_>, before: Option<WallTime>, after: Option<WallTime>) {
    let words = lines.visitor.words();
    let (text, class, advice) = match (before, after) {
        (Some(b), Some(a)) => (
            words.say_with("alert-posture-heads", &[("before", &second(b)), ("after", &second(a))]),
            "good",
            "",
        ),
        (Some(b), None) => (
            words.say_with("alert-posture-head-before", &[("value", &second(b))]),
            "watch",
            "alert-posture-silent-advice",
        ),
        (None, _) => (words.say("alert-posture-no-head"), "watch", ""),
    };
    lines.add("alert-posture-audit", class, text, advice);
}

/// Whether the alert's policy is the one that the bureau declared.
fn policy(lines: &mut Lines<'_>, declared: Option<Sha256>, said: Option<Sha256>) {
    let (word, class) = match (declared, said) {
        (None, _) => ("undeclared", "watch"),
        (Some(d), Some(s)) if d == s => ("declared", "good"),
        (Some(_), _) => ("differs", "bad"),
    };
    let text = lines.visitor.words().word("alert-policy", word);
    let advice = if class == "good" { "" } else { "alert-policy-advice" };
    lines.add("alert-posture-policy", class, text, advice);
}

/// What the box last said of itself, and whether that holds for then.
fn now(lines: &mut Lines<'_>, posture: Option<&StoredPosture>, opened: &Opened, at: WallTime) {
    let words = lines.visitor.words();
    let Some(StoredPosture { posture, .. }) = posture else {
        lines.unknown("alert-posture-none");
        return;
    };
    match &posture.commissioning {
        Some(s) if s.mode.is_armed() && s.since <= at => {
            let text = words.say_with("alert-posture-armed", &[("value", &second(s.since))]);
            lines.add("alert-posture-mode", "good", text, "");
        }
        _ => lines.unknown("alert-posture-mode-unknown"),
    }
    if let Some(camera) = posture.cameras.get(&opened.listing.counter) {
        let word = words.word("alert-camera", camera.as_str());
        let class = if camera.as_str() == "ok" { "good" } else { "watch" };
        lines.add("alert-posture-camera", class, word, "");
    }
    lines.unknown("alert-posture-camera-unknown");
    lines.unknown(match opened.listing.claim {
        Claim::Mismatch => "alert-posture-face-unknown",
        Claim::Absent => "alert-posture-absent-unknown",
    });
}
