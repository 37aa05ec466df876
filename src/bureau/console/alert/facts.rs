//! What an alert says: of a mismatch what was compared, in words that somebody who is no
//! engineer understands, with a picture of where the score lies; of an absence what
//! [`super::absence`] says; of both the settlement.

use super::super::Console;
use super::super::failure::Failure;
use super::super::shown::{moment, second, yuan};
use super::super::visitor::Visitor;
use super::super::words::Words;
use super::Opened;
use super::absence;
use super::parts::settled;
use crate::bureau::review::rarity::{Boundaries, Honest, Rarity};
use crate::commissioning::report::CalibrationFile;
use crate::protocol::absence::Absent;
use crate::protocol::alert::{About, Comparison, Content, Event, Mismatch, QualitySummary};
use crate::protocol::figures::{Expected, ScoreHistogram, Shares, bin_of};
use crate::protocol::id::CardholderId;
use crate::svg::Told;
use crate::svg::chart::Spread;

/// What an alert that can be read says.
pub(super) struct Facts {
    /// Where and when it was, and how much: which alert this is, at a glance.
    pub(super) lead: String,
    /// What was seen.
    pub(super) seen: Seen,
    /// Names and values.
    pub(super) rows: Vec<(String, String)>,
}

/// What was seen, and how far it goes.
pub(super) struct Seen {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// The picture; empty without figures of a calibration.
    pub(super) plot: String,
    pub(super) plot_title: String,
    /// How well a face was seen; what an absence does not say.
    pub(super) bounds_title: String,
    pub(super) bounds: Vec<String>,
}

/// Whose card was settled.
pub(super) fn cardholder(event: &Event) -> Option<&CardholderId> {
    event.content.about().map(|about| about.cardholder)
}

/// What the alert says; nothing if its bytes cannot be read.
pub(super) async fn of(
    console: &Console,
    visitor: &Visitor,
    opened: &Opened,
) -> Result<Option<Facts>, Failure> {
    let Some(event) = &opened.alert.event else { return Ok(None) };
    let Some(about) = event.content.about() else { return Ok(None) };
    let words = visitor.words();
    let (seen, clock_error_ms, shift) = match &event.content {
        Content::Mismatch(data) => (of_mismatch(console, words, data).await?, data.clock_error_ms, None),
        Content::Absent(data) => (of_absence(words, data), data.clock_error_ms, Some(data.shift)),
        Content::Withdrawn(_) | Content::Expired(_) => return Ok(None),
    };
    let receipt = console.store.evidence(opened.alert.id).await?.and_then(|e| e.alert.receipt);
    let mut rows = rows(words, opened, event, &about);
    if let Some(shift) = shift {
        let ends = [shift.begins_at, shift.ends_at].map(|t| moment(absence::at(t)));
        rows.push((words.say("alert-shift"), ends.join(" – ")));
    }
    let seconds = format!("{:.1}", clock_error_ms as f64 / 1000.0);
    rows.push((words.say("alert-clock"), words.say_with("alert-seconds", &[("value", &seconds)])));
    rows.push((words.say("alert-box"), opened.alert.agent.to_string()));
    let given = if receipt.is_some() { "alert-receipt-given" } else { "alert-receipt-none" };
    let received = words.say_with(given, &[("value", &second(opened.alert.received_at))]);
    rows.push((words.say("alert-received"), received));
    Ok(Some(Facts { lead: lead(words, opened, &about), seen, rows }))
}

async fn of_mismatch(console: &Console, words: &Words, data: &Mismatch) -> Result<Seen, Failure> {
    let document = console.store.document(data.settings.calibration).await?;
    let calibration = document.as_deref().and_then(|bytes| CalibrationFile::read(bytes).ok());
    let expected = calibration.as_ref().and_then(|c| c.expected.as_ref());
    let boundaries = Boundaries::of(data.comparison.threshold, calibration.as_ref());
    let plot = expected.map(|e| picture(words, &data.comparison, e, boundaries)).unwrap_or_default();
    Ok(Seen {
        title: words.say("alert-compared"),
        lines: compared(words, data, calibration.as_ref(), boundaries),
        plot,
        plot_title: words.say("alert-plot-title"),
        bounds_title: words.say("alert-quality"),
        bounds: quality(words, &data.quality),
    })
}

fn of_absence(words: &Words, data: &Absent) -> Seen {
    Seen {
        title: words.say("alert-absent-title"),
        lines: absence::told(words, data),
        plot: absence::picture(words, &data.observation),
        plot_title: words.say("alert-absent-plot-title"),
        bounds_title: words.say("alert-absent-limits"),
        bounds: absence::limits(words),
    }
}

fn number(value: f64) -> String {
    format!("{value:.2}")
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.1 { "< 0.1".to_owned() } else { format!("{percent:.1}") }
}

fn compared(
    words: &Words,
    data: &Mismatch,
    calibration: Option<&CalibrationFile>,
    boundaries: Boundaries,
) -> Vec<String> {
    let c = &data.comparison;
    let (views, seconds) = (c.probes.to_string(), format!("{:.1}", c.span_ms as f64 / 1000.0));
    let (score, limit) = (number(f64::from(c.score)), number(boundaries.mismatch));
    let mut out = vec![
        words.say_with("alert-views", &[("views", &views), ("seconds", &seconds)]),
        words.say_with("alert-score", &[("score", &score), ("limit", &limit)]),
    ];
    if c.faces > 1 {
        out.push(words.count("alert-faces", i64::from(c.faces)));
    }
    let proxies = i64::from(data.proxies_compared);
    out.push(if proxies == 0 {
        words.say("alert-no-proxies")
    } else {
        words.count("alert-proxies", proxies)
    });
    let Some(calibration) = calibration else {
        out.push(words.say("alert-no-calibration"));
        return out;
    };
    let Some(expected) = &calibration.expected else {
        out.push(words.say("alert-no-figures"));
        return out;
    };
    out.extend(rarity(words, &Rarity::of(c.score, expected), calibration));
    if let Some(data) = &calibration.data {
        let people = data.people.to_string();
        out.push(words.say_with("alert-made-with", &[("name", &data.name), ("people", &people)]));
    }
    out
}

fn rarity(words: &Words, rarity: &Rarity, calibration: &CalibrationFile) -> Vec<String> {
    let settlements = rarity.settlements.to_string();
    let below = number(rarity.below);
    let mut out = Vec::new();
    match rarity.honest {
        Honest::OnceIn(n) => out.push(words.say_with(
            "alert-honest-some",
            &[("below", &below), ("n", &n.to_string()), ("settlements", &settlements)],
        )),
        Honest::None { lowest } => {
            let lowest = number(lowest);
            out.push(
                words.say_with("alert-honest-none", &[("settlements", &settlements), ("lowest", &lowest)]),
            );
        }
    }
    if let Some(measured) = &calibration.measured {
        let share = measured.false_alerts;
        let most = percent(share.ci95[1]);
        let (events, of) = (share.events.to_string(), share.of.to_string());
        out.push(words.say_with("alert-false-alerts", &[("events", &events), ("of", &of), ("most", &most)]));
    }
    let strangers = percent(rarity.strangers);
    out.push(words.say_with("alert-strangers", &[("below", &below), ("share", &strangers)]));
    out
}

fn picture<'e>(words: &Words, c: &Comparison, expected: &'e Expected, boundaries: Boundaries) -> String {
    let score = f64::from(c.score);
    let label = |id: &str, value: f64| words.say_with(id, &[("value", &number(value))]);
    let here = label("alert-plot-here", score);
    let mismatch = label("alert-plot-mismatch", boundaries.mismatch);
    let matched = boundaries.matched.map(|m| (label("alert-plot-match", m), m));
    let mut marks = vec![(here.as_str(), score), (mismatch.as_str(), boundaries.mismatch)];
    marks.extend(matched.as_ref().map(|(text, value)| (text.as_str(), *value)));
    let (genuine, impostor) = (words.say("alert-plot-genuine"), words.say("alert-plot-impostor"));
    let (title, description) = (words.say("alert-plot-title"), marks.iter().map(|m| m.0).collect::<Vec<_>>());
    let description = words.say_with("alert-plot-description", &[("marks", &description.join("; "))]);
    let from = first_shown(c.score, expected);
    let shown = |shares: &'e Shares| shares.by_bin().get(from..).unwrap_or_default();
    Spread {
        told: Told { id: "score", title: &title, description: &description },
        axis: (ScoreHistogram::borders(from).0, 1.0),
        distributions: &[(&genuine, shown(&expected.genuine)), (&impostor, shown(&expected.impostor))],
        marks: &marks,
    }
    .draw()
}

/// The first bin of the picture: below it neither anybody of the calibration nor this
/// score lies, and an empty half would push together what is to be told apart.
fn first_shown(score: f32, expected: &Expected) -> usize {
    /// Pictures begin at multiples of 0.25.
    const STEP: usize = 5;
    let used = |shares: &Shares| shares.by_bin().iter().position(|s| *s > 0.0).unwrap_or(0);
    let first = used(&expected.genuine).min(used(&expected.impostor)).min(bin_of(score));
    first / STEP * STEP
}

/// How well the face was seen, each measure in a word. Where a word begins was set by
/// hand: from twice the least that a probe needs on, it is good.
fn quality(words: &Words, q: &QualitySummary) -> Vec<String> {
    let graded = |good: bool, fair: bool| match (good, fair) {
        (true, _) => "good",
        (false, true) => "fair",
        (false, false) => "poor",
    };
    let line = |id: &str, grade: &str, value: String| {
        words.say_with(id, &[("grade", &words.word("alert-grade", grade)), ("value", &value)])
    };
    vec![
        line(
            "alert-quality-size",
            graded(q.inter_eye_px >= 40.0, q.inter_eye_px >= 28.0),
            format!("{:.0}", q.inter_eye_px),
        ),
        line("alert-quality-turn", graded(q.yaw <= 0.2, q.yaw <= 0.35), format!("{:.2}", q.yaw)),
        line(
            "alert-quality-sharp",
            graded(q.sharpness >= 60.0, q.sharpness >= 24.0),
            format!("{:.0}", q.sharpness),
        ),
        line(
            "alert-quality-face",
            graded(q.detection >= 0.9, q.detection >= 0.8),
            format!("{:.2}", q.detection),
        ),
    ]
}

fn lead(words: &Words, opened: &Opened, data: &About<'_>) -> String {
    let hospital = opened.hospital.as_ref().map_or(data.hospital.as_str(), |h| &h.name);
    let amount = words.say_with("alert-yuan", &[("value", &yuan(data.amount_fen))]);
    [hospital, data.counter.as_str(), &moment(settled(data)), &amount].join(" · ")
}

/// Where it was: name, code and district, or the code alone.
fn hospital(opened: &Opened, data: &About<'_>) -> String {
    let known = opened.hospital.as_ref().map(|h| [h.name.as_str(), h.code.as_str(), h.district.as_str()]);
    let parts = known.map_or_else(|| vec![data.hospital.as_str()], |parts| parts.to_vec());
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// The settlement.
fn rows(words: &Words, opened: &Opened, event: &Event, data: &About<'_>) -> Vec<(String, String)> {
    let row = |id: &str, value: String| (words.say(id), value);
    let settlement = event.subject.as_ref().map(ToString::to_string).unwrap_or_default();
    vec![
        row("alert-cardholder", data.cardholder.to_string()),
        row("alert-settlement", settlement),
        row("alert-occurred", second(settled(data))),
        row("alert-hospital", hospital(opened, data)),
        row("alert-counter", data.counter.to_string()),
        row("alert-amount", words.say_with("alert-yuan", &[("value", &yuan(data.amount_fen))])),
        row("alert-medical-type", words.care(data.medical_type.as_str())),
    ]
}
