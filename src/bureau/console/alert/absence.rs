//! What an absence rests on, in words that somebody who is no engineer understands, with a
//! picture of how the entrance was observed; and what it does not say.
//!
//! It is a claim about a doorway: no face was compared and found to be another's.

use super::super::shown::moment;
use super::super::words::Words;
use crate::clock::{HisTime, WallTime};
use crate::protocol::absence::{Absent, Observation, WHOLE};
use crate::svg::Told;
use crate::svg::parts::{Part, Parts};

/// Beyond this many times nobody tells numbers apart.
const MOST_TIMES: f64 = 1e6;

/// A moment by the HIS's clock.
pub(super) fn at(time: HisTime) -> WallTime {
    WallTime::from_millis(time.timestamp().as_millisecond())
}

/// Thousandths as percent.
fn percent(permille: u16) -> String {
    format!("{} %", (f64::from(permille) / f64::from(WHOLE) * 1000.0).round() / 10.0)
}

/// What was observed.
pub(super) fn told(words: &Words, data: &Absent) -> Vec<String> {
    let o = &data.observation;
    let (from, until) = (moment(at(data.shift.begins_at)), moment(at(data.shift.ends_at)));
    let numbers = |id: &str, part: u32, whole: u32| {
        words.say_with(id, &[("part", &part.to_string()), ("whole", &whole.to_string())])
    };
    let mut out = vec![
        words.say_with("alert-absent-expected", &[("from", &from), ("until", &until)]),
        words.say_with("alert-absent-observed", &[("share", &percent(o.observed_permille))]),
        numbers("alert-absent-others", o.seen, o.expected),
        numbers("alert-absent-faces", o.unclear, o.faces),
    ];
    // Positive, it would speak for the cardholder; a box alerts on none such.
    if o.log_likelihood_ratio < 0.0 {
        let times = (-f64::from(o.log_likelihood_ratio)).exp();
        let id = if times > MOST_TIMES { "alert-absent-far-likelier" } else { "alert-absent-likelier" };
        let times = times.min(MOST_TIMES);
        let shown = if times < 10.0 { format!("{times:.1}") } else { format!("{times:.0}") };
        out.push(words.say_with(id, &[("times", &shown)]));
    }
    out
}

/// What it does not say.
pub(super) fn limits(words: &Words) -> Vec<String> {
    ["alert-absent-no-face", "alert-absent-other-way", "alert-absent-hidden", "alert-absent-elsewhere"]
        .map(|id| words.say(id))
        .into()
}

/// How well the entrance was observed, as a picture.
pub(super) fn picture(words: &Words, o: &Observation) -> String {
    let share = |part: u32, whole: u32| if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) };
    let of = |part: u32, whole: u32| format!("{part} / {whole}");
    let (observed, seen) = (percent(o.observed_permille), of(o.seen, o.expected));
    let unclear = of(o.unclear, o.faces);
    let names = ["alert-absent-plot-observed", "alert-absent-plot-seen", "alert-absent-plot-unclear"]
        .map(|id| words.say(id));
    let [observed_name, seen_name, unclear_name] = &names;
    let parts = [
        Part {
            name: observed_name,
            numbers: &observed,
            share: f64::from(o.observed_permille) / f64::from(WHOLE),
            series: "s1",
        },
        Part { name: seen_name, numbers: &seen, share: share(o.seen, o.expected), series: "s5" },
        Part { name: unclear_name, numbers: &unclear, share: share(o.unclear, o.faces), series: "s2" },
    ];
    let all: Vec<String> = parts.iter().map(|p| format!("{}: {}", p.name, p.numbers)).collect();
    let description = words.say_with("alert-absent-plot-description", &[("parts", &all.join("; "))]);
    let title = words.say("alert-absent-plot-title");
    Parts { told: Told { id: "observed", title: &title, description: &description }, parts: &parts }.draw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::language::Language;
    use crate::protocol::alert::Content;
    use crate::protocol::alert::tests::absent;
    use crate::protocol::id::Epoch;

    #[test]
    fn an_absence_is_told_in_words_with_its_numbers() {
        let Content::Absent(data) = absent(1, None, Epoch::new()).content else { panic!() };
        let words = Words::of(Language::English);
        let told = told(words, &data).join("\n");
        for said in ["2026-11-22 08:00", "2026-11-22 12:00", "97 %", "39", "40", "212", "665 times"] {
            assert!(told.contains(said), "{said}: {told}");
        }
        let svg = picture(words, &data.observation);
        for said in ["97 %", "39 / 40", "3 / 212", "role=\"img\""] {
            assert!(svg.contains(said), "{said}: {svg}");
        }
    }

    #[test]
    fn what_speaks_for_the_cardholder_or_beyond_belief_is_not_told_as_a_number() {
        let Content::Absent(mut data) = absent(1, None, Epoch::new()).content else { panic!() };
        let words = Words::of(Language::Chinese);
        data.observation.log_likelihood_ratio = 2.0;
        assert_eq!(told(words, &data).len(), 4);
        data.observation.log_likelihood_ratio = -80.0;
        assert!(told(words, &data)[4].contains("1000000"));
        (data.observation.faces, data.observation.unclear) = (0, 0);
        assert!(picture(words, &data.observation).contains("0 / 0"));
    }
}
