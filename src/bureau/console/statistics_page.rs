//! The statistics as tables and pictures, in the reader's language.

use std::collections::BTreeMap;

use super::parts::Table;
use super::words::Words;
use crate::bureau::figures::calendar::{Day, Days, Month};
use crate::bureau::figures::coverage::Cover;
use crate::bureau::figures::list::{Colour, Entry, Measure, Reason};
use crate::bureau::figures::settings::FiguresConfig;
use crate::bureau::figures::share::{Decided, FalseAlerts, Share};
use crate::bureau::review::Claim;
use crate::bureau::statistics::{Counts, Row, Statistics};
use crate::bureau::store::Verdicts;
use crate::svg::Told;
use crate::svg::chart::{OverTime, Series, Unit, rows};

/// A picture with the same numbers as a table.
pub(super) struct Plot {
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) note: String,
    /// Empty if there is nothing to show.
    pub(super) svg: String,
    pub(super) table: Table,
}

fn count(n: u64) -> String {
    Unit::Count.write(n as f64)
}

/// A share with its interval.
pub(super) fn share(share: Option<Share>) -> String {
    // Of so few a second digit says nothing.
    let percent = |v: f64| Unit::Share.write((v * 1000.0).round() / 1000.0);
    share.map_or_else(
        || "–".to_owned(),
        |s| format!("{} ({} – {})", percent(s.value()), percent(s.interval.low), percent(s.interval.high)),
    )
}

fn of(part: u64, whole: u64) -> String {
    if whole == 0 { "–".into() } else { Unit::Share.write(part as f64 / whole as f64) }
}

fn cover(cover: Cover) -> String {
    cover.share().map_or_else(|| "–".to_owned(), |s| Unit::Share.write(s))
}

fn heads(w: &Words, ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| w.say(id)).collect()
}

/// The period in a few numbers.
pub(super) fn facts(w: &Words, s: &Statistics) -> Vec<(String, String)> {
    let all = s.whole();
    let settled = all.counts.verified() + all.counts.not_assessed + all.counts.other;
    let mut facts = vec![
        (w.say("statistics-verified"), format!("{} / {}", count(all.counts.verified()), count(settled))),
        (w.say("statistics-inconclusive-share"), of(all.counts.inconclusive, all.counts.verified())),
        (w.say("statistics-alerts"), count(all.decided.all())),
        (
            w.say("statistics-decided"),
            format!("{} / {}", count(all.decided.decided()), count(all.decided.open)),
        ),
    ];
    for (claim, decided) in of_claims(s) {
        let named = |id: &str| format!("{} · {}", w.say(id), w.word("claim", claim.as_str()));
        facts.push((named("statistics-confirmed-share"), share(decided.confirmed_share())));
        facts.push((named("statistics-false-share"), share(decided.false_share())));
    }
    facts.push((w.say("statistics-coverage"), cover(s.coverage.whole())));
    facts
}

/// What became of the alerts of each claim: of mismatches always, of absences where any came.
fn of_claims(s: &Statistics) -> impl Iterator<Item = (Claim, Decided)> {
    let of = |claim: &Claim| (*claim, s.by_claim.get(claim).copied().unwrap_or_default());
    Claim::ALL.iter().map(of).filter(|(claim, d)| *claim == Claim::Mismatch || d.all() > 0)
}

/// Days together as one moment of a plot: days, weeks from the first day on, or months.
fn moments<T: Copy>(days: Days, all: &BTreeMap<Day, T>) -> BTreeMap<String, Vec<T>> {
    let name = |day: Day| match days.count() {
        ..=62 => day.to_string(),
        63..=400 => {
            let weeks = (day.number() - days.first.number()).div_euclid(7);
            days.first.plus(weeks * 7).to_string()
        }
        _ => Month::of(day.begins()).to_string(),
    };
    let mut out: BTreeMap<String, Vec<T>> = days.each().map(|d| (name(d), Vec::new())).collect();
    for (day, one) in all {
        out.entry(name(*day)).or_default().push(*one);
    }
    out
}

fn sums<T>(moments: &BTreeMap<String, Vec<T>>, of: impl Fn(&T) -> u64) -> Vec<Option<f64>> {
    moments.values().map(|all| Some(all.iter().map(&of).sum::<u64>() as f64)).collect()
}

/// One plot from series; `draw` makes columns or lines of it.
fn plot(
    w: &Words,
    id: &'static str,
    [title, note]: [String; 2],
    (moments, unit): (&[String], Unit),
    named: &[(&str, Vec<Option<f64>>)],
    draw: fn(&OverTime<'_>) -> String,
) -> Plot {
    let names: Vec<String> = named.iter().map(|(name, _)| w.say(name)).collect();
    let series: Vec<Series<'_>> =
        names.iter().zip(named).map(|(name, (_, values))| Series { name, values }).collect();
    let chart =
        OverTime { told: Told { id, title: &title, description: &note }, moments, series: &series, unit };
    let head = std::iter::once(w.say("statistics-time")).chain(names.iter().cloned()).collect();
    let mut known = named.iter().flat_map(|(_, values)| values.iter().copied().flatten());
    // Axes without anything between them would look like a period without settlements.
    let is_empty = match unit {
        Unit::Count => known.all(|n| n == 0.0),
        Unit::Share => known.next().is_none(),
    };
    let (svg, rows) = (if is_empty { String::new() } else { draw(&chart) }, rows(&chart));
    let table = Table { caption: title.clone(), head, rows, ..Table::default() };
    Plot { id, title, note, svg, table }
}

/// Verdicts over time.
pub(super) fn verdicts(w: &Words, s: &Statistics) -> Plot {
    let all = moments(s.days, &s.by_day);
    let names: Vec<String> = all.keys().cloned().collect();
    let named = [
        ("statistics-match", sums(&all, |c: &Counts| c.matched)),
        ("statistics-inconclusive", sums(&all, |c| c.inconclusive)),
        ("statistics-not-assessed", sums(&all, |c| c.not_assessed)),
        ("statistics-mismatch", sums(&all, |c| c.mismatch)),
        ("statistics-absent", sums(&all, |c| c.absent)),
    ];
    let texts = [w.say("statistics-verdicts-title"), w.say("statistics-verdicts-note")];
    plot(w, "verdicts", texts, (&names, Unit::Count), &named, |c| c.columns())
}

/// What became of the alerts of each day.
pub(super) fn alerts(w: &Words, s: &Statistics) -> Plot {
    let all = moments(s.days, &s.alerts_by_day);
    let names: Vec<String> = all.keys().cloned().collect();
    let named = [
        ("statistics-confirmed", sums(&all, |d| d.confirmed())),
        ("statistics-false-alert", sums(&all, |d| d.false_alert)),
        ("statistics-not-established", sums(&all, |d| d.not_established)),
        ("statistics-open", sums(&all, |d| d.open)),
        ("statistics-withdrawn", sums(&all, |d| d.withdrawn)),
    ];
    let texts = [w.say("statistics-alerts-title"), w.say("statistics-alerts-note")];
    plot(w, "alerts", texts, (&names, Unit::Count), &named, |c| c.columns())
}

/// The share of counters that were seen working.
pub(super) fn coverage(w: &Words, s: &Statistics, config: &FiguresConfig) -> Plot {
    let all = moments(s.days, &s.coverage.by_day);
    let names: Vec<String> = all.keys().cloned().collect();
    let shares = all.values().map(|days| {
        let sum = |of: fn(&Cover) -> u64| days.iter().map(of).sum();
        Cover { covered: sum(|c| c.covered), known: sum(|c| c.known) }.share()
    });
    let named = [("statistics-coverage", shares.collect())];
    let note = w.count("statistics-coverage-note", i64::from(config.covered_hours));
    let texts = [w.say("statistics-coverage-title"), note];
    plot(w, "coverage", texts, (&names, Unit::Share), &named, |c| c.lines())
}

/// Why verdicts were what they were.
pub(super) fn reasons(w: &Words, s: &Statistics) -> Table {
    let whole: BTreeMap<&str, u64> = s.reasons.iter().fold(BTreeMap::new(), |mut all, v| {
        *all.entry(v.verdict.as_str()).or_default() += v.n;
        all
    });
    let with_reason = s.reasons.iter().filter(|v| !v.of.is_empty());
    let row = |v: &Verdicts| {
        let of_verdict = whole.get(v.verdict.as_str()).copied().unwrap_or_default();
        let verdict = w.word("statistics-verdict", &v.verdict);
        (w.word("statistics-reason", &v.of), vec![verdict, count(v.n), of(v.n, of_verdict)])
    };
    Table {
        caption: w.say("statistics-reasons-caption"),
        head: heads(
            w,
            &[
                "statistics-reason",
                "statistics-verdict",
                "statistics-settlements",
                "statistics-share-of-verdict",
            ],
        ),
        rows: with_reason.map(row).collect(),
        empty: w.say("statistics-nothing"),
        ..Table::default()
    }
}

/// The rule of the red and yellow list.
pub(super) fn rule(w: &Words, config: &FiguresConfig) -> Table {
    let limit = |m, limit: Option<f64>| limit.map_or_else(|| w.say("statistics-not-asked"), |l| number(m, l));
    let row = |m: Measure| (measure(w, m), vec![limit(m, config.red.of(m)), limit(m, config.yellow.of(m))]);
    Table {
        caption: w.count("statistics-rule", i64::from(config.least_verified)),
        head: heads(w, &["statistics-measure", "statistics-red-from", "statistics-yellow-from"]),
        rows: Measure::ALL.map(row).to_vec(),
        ..Table::default()
    }
}

fn measure(w: &Words, m: Measure) -> String {
    match m {
        Measure::ConfirmedPer10000 => w.say("statistics-measure-confirmed"),
        Measure::UncoveredShare => w.say("statistics-measure-uncovered"),
        Measure::OverdueRequests => w.say("statistics-measure-overdue"),
    }
}

fn number(m: Measure, found: f64) -> String {
    match m {
        Measure::UncoveredShare => Unit::Share.write(found),
        Measure::ConfirmedPer10000 | Measure::OverdueRequests => Unit::Count.write(found),
    }
}

/// Every hospital with its colour and why.
pub(super) fn list(w: &Words, s: &Statistics) -> Table {
    let names: BTreeMap<&str, &Row> = s.hospitals.iter().map(|r| (r.code.as_str(), r)).collect();
    let why = |r: &Reason| {
        let numbers =
            r.whole.map_or_else(|| count(r.part), |whole| format!("{} / {}", count(r.part), count(whole)));
        format!(
            "{} {} ≥ {} ({numbers})",
            measure(w, r.measure),
            number(r.measure, r.found),
            number(r.measure, r.limit)
        )
    };
    let row = |e: &Entry| {
        let code = e.hospital.code.as_str();
        let name = names.get(code).map_or_else(|| code.to_owned(), |r| called(r));
        let colour = match e.colour {
            Colour::Red => w.say("statistics-red"),
            Colour::Yellow => w.say("statistics-yellow"),
            Colour::Unknown => w.say("statistics-unknown"),
            Colour::None => w.say("statistics-neither"),
        };
        let reasons: Vec<String> = e.reasons.iter().map(why).collect();
        let unknown: Vec<String> = e.unknown.iter().map(|m| measure(w, *m)).collect();
        let dash = |t: String| if t.is_empty() { "–".to_owned() } else { t };
        (name, vec![colour, dash(reasons.join("; ")), dash(unknown.join("; "))])
    };
    Table {
        caption: w.say("statistics-list-caption"),
        head: heads(
            w,
            &["statistics-hospital", "statistics-colour", "statistics-why", "statistics-not-known"],
        ),
        rows: s.list.iter().map(row).collect(),
        empty: w.say("statistics-nothing"),
        ..Table::default()
    }
}

fn called(row: &Row) -> String {
    if row.name.is_empty() { row.code.clone() } else { format!("{} {}", row.name, row.code) }
}

/// Figures by hospital or by district.
pub(super) fn places(w: &Words, caption: &str, first: &str, all: &[Row]) -> Table {
    let row = |r: &Row| {
        let name = if r.code.is_empty() { w.say("statistics-no-district") } else { called(r) };
        let cells = vec![
            count(r.counts.verified()),
            of(r.counts.inconclusive, r.counts.verified()),
            count(r.decided.all()),
            count(r.decided.decided()),
            share(r.decided.confirmed_share()),
            cover(r.cover),
        ];
        (name, cells)
    };
    let columns = [
        first,
        "statistics-verified-short",
        "statistics-inconclusive-share",
        "statistics-alerts",
        "statistics-decided-short",
        "statistics-confirmed-share",
        "statistics-coverage",
    ];
    Table {
        caption: w.say(caption),
        head: heads(w, &columns),
        rows: all.iter().map(row).collect(),
        empty: w.say("statistics-nothing"),
        ..Table::default()
    }
}

/// How often alerts were false, by what they are told apart: also for the boxes' page.
pub(super) fn false_alerts(w: &Words, caption: &str, first: &str, all: &[FalseAlerts]) -> Table {
    let row = |f: &FalseAlerts| {
        let d = &f.decided;
        // Of a digest the beginning is enough to know it by.
        let name: String = f.of.chars().take(if f.of.len() == 64 { 12 } else { 64 }).collect();
        let claim = w.word("claim", f.claim.as_str());
        (name, vec![claim, count(d.false_alert), count(d.decided()), share(d.false_share()), count(d.open)])
    };
    Table {
        caption: w.say(caption),
        head: heads(
            w,
            &[
                first,
                "statistics-claim",
                "statistics-false-alert",
                "statistics-decided-short",
                "statistics-false-share",
                "statistics-open",
            ],
        ),
        rows: all.iter().map(row).collect(),
        empty: w.say("statistics-nothing"),
        ..Table::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::figures::coverage::Coverage;
    use crate::http::language::Language;

    fn days(n: i64) -> Days {
        Days { first: Day::from_number(20_000), last: Day::from_number(20_000 + n - 1) }
    }

    #[test]
    fn long_periods_are_shown_by_week_and_by_month() {
        for (n, moments_of) in [(30, 30), (62, 62), (63, 9), (400, 58), (401, 14)] {
            let all: BTreeMap<Day, u64> = days(n).each().map(|d| (d, 1)).collect();
            let found = moments(days(n), &all);
            assert_eq!(found.len(), moments_of, "{n}");
            assert_eq!(found.values().flatten().sum::<u64>(), n as u64);
        }
    }

    #[test]
    fn every_reason_and_verdict_has_its_word() {
        use crate::protocol::verdict::{Inconclusive, NotAssessed};
        for language in [Language::Chinese, Language::English] {
            let w = Words::of(language);
            let reasons = Inconclusive::ALL.iter().map(|r| r.as_str());
            for reason in reasons.chain(NotAssessed::ALL.iter().map(|r| r.as_str())) {
                let word = w.word("statistics-reason", reason);
                assert!(!word.starts_with("statistics-reason"), "{reason}");
            }
            for verdict in ["match", "mismatch", "absent", "inconclusive", "not_assessed", "other"] {
                assert!(!w.word("statistics-verdict", verdict).starts_with("statistics-"), "{verdict}");
            }
        }
    }

    #[test]
    fn a_picture_and_its_table_tell_the_same_numbers() {
        let s = Statistics {
            days: days(2),
            by_day: days(2).each().map(|d| (d, Counts { matched: 1234, ..Counts::default() })).collect(),
            alerts_by_day: BTreeMap::new(),
            by_claim: BTreeMap::new(),
            reasons: vec![],
            hospitals: vec![],
            coverage: Coverage::default(),
            list: vec![],
            by_box: vec![],
            by_model: vec![],
            by_calibration: vec![],
        };
        let plot = verdicts(Words::of(Language::English), &s);
        assert!(plot.svg.contains("1,234") && plot.table.rows.iter().all(|(_, cells)| cells[0] == "1,234"));
        assert_eq!(coverage(Words::of(Language::Chinese), &s, &FiguresConfig::default()).table.rows.len(), 2);
    }
}
