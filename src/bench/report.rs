//! The result of comparing pairs: figures for machines and a table for people.
//!
//! Rules, the same for every figure: a picture without a face scores -1 with
//! everything, and its pairs count as errors in the accuracy; a fold's
//! threshold is chosen on the other folds. Reports hold rates and counts, and
//! names only of pictures without a face.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::list::Pair;
use super::rates::{Interval, Point, Scores, wilson};
use crate::crypto::Sha256;

/// The score of a pair of which one picture shows no face.
pub const NO_FACE: f32 = -1.0;

/// A pair and its score; `None` if a picture of it shows no face.
#[derive(Debug, Clone, Copy)]
pub struct Scored {
    /// The pair.
    pub pair: Pair,
    /// Cosine, -1 to 1.
    pub score: Option<f32>,
}

impl Scored {
    fn is_right(&self, threshold: f32) -> bool {
        self.score.is_some_and(|s| (s >= threshold) == self.pair.same)
    }
}

/// What was measured, and on what.
#[derive(Debug, Clone, Serialize)]
pub struct Subject {
    /// Id of the recognizer in the manifest.
    pub model: String,
    /// SHA-256 of its file.
    pub model_sha256: Sha256,
    /// Version of preparation and alignment.
    pub preprocessing: u32,
    /// Id of the detector in the manifest.
    pub detector: String,
    /// SHA-256 of its file.
    pub detector_sha256: Sha256,
    /// How the left picture becomes a reference.
    pub references: &'static str,
    /// Number of distinct pictures.
    pub images: usize,
    /// Pictures in which no face was found.
    pub failures_to_acquire: usize,
    /// Their paths in the list.
    pub failed: Vec<String>,
}

/// One fold.
#[derive(Debug, Clone, Serialize)]
pub struct Fold {
    /// Its number in the list.
    pub fold: i64,
    /// Its pairs.
    pub pairs: usize,
    /// Chosen on the other folds.
    pub threshold: f32,
    /// Share of right answers at that threshold.
    pub accuracy: f64,
}

/// Everything that `evaluate pairs` found out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    #[serde(flatten)]
    pub subject: Subject,
    /// Number of pairs.
    pub pairs: usize,
    /// Pairs of one person.
    pub genuine_pairs: usize,
    /// Pairs of two people.
    pub impostor_pairs: usize,
    /// Mean of the folds' accuracies, 0 to 1.
    pub accuracy_mean: f64,
    /// Wilson's 95 % interval for the share of right answers of all pairs.
    pub ci95: Interval,
    /// By fold, in order of the folds' numbers.
    pub accuracy_by_fold: Vec<f64>,
    /// The same with thresholds and sizes.
    pub folds: Vec<Fold>,
    /// Mean of the folds' thresholds.
    pub threshold: f32,
    /// Share of genuine pairs accepted where at most this share of impostors is.
    pub tar_at_fmr: BTreeMap<String, Option<f64>>,
    /// Equal error rate.
    pub eer: Option<f64>,
    /// Both error rates at round thresholds.
    pub fmr_fnmr: Vec<Point>,
    /// What a reader should know before quoting a figure.
    pub notes: Vec<String>,
    /// The curve, for drawing.
    #[serde(skip)]
    pub curve: Vec<Point>,
}

impl Report {
    /// Computes every figure. `None` if there is no pair with a score.
    pub fn of(subject: Subject, scored: &[Scored]) -> Option<Self> {
        let scores = scores(scored.iter());
        let numbers: BTreeSet<i64> = scored.iter().map(|s| s.pair.fold).collect();
        let folds = numbers.iter().map(|n| fold(*n, scored, numbers.len())).collect::<Option<Vec<_>>>()?;
        let right: f64 = folds.iter().map(|f| f.accuracy * f.pairs as f64).sum();
        let count = folds.len() as f64;
        Some(Self {
            notes: notes(&subject, &folds, &scores),
            pairs: scored.len(),
            genuine_pairs: scores.genuine(),
            impostor_pairs: scores.impostor(),
            accuracy_mean: folds.iter().map(|f| f.accuracy).sum::<f64>() / count,
            ci95: wilson(right.round() as usize, scored.len()),
            accuracy_by_fold: folds.iter().map(|f| f.accuracy).collect(),
            threshold: (folds.iter().map(|f| f64::from(f.threshold)).sum::<f64>() / count) as f32,
            folds,
            tar_at_fmr: ["0.01", "0.001"]
                .map(|text| (text.to_owned(), text.parse().ok().and_then(|fmr| scores.tar_at_fmr(fmr))))
                .into(),
            eer: scores.eer(),
            fmr_fnmr: (0..=40).map(|i| scores.at(i as f32 / 50.0)).collect(),
            curve: scores.curve(),
            subject,
        })
    }
}

fn scores<'a>(scored: impl Iterator<Item = &'a Scored>) -> Scores {
    Scores::new(scored.map(|s| (s.score.unwrap_or(NO_FACE), s.pair.same)))
}

fn fold(number: i64, scored: &[Scored], folds: usize) -> Option<Fold> {
    let mine = || scored.iter().filter(|s| s.pair.fold == number);
    let others = scores(scored.iter().filter(|s| folds == 1 || s.pair.fold != number));
    let (threshold, _) = others.best_threshold()?;
    let pairs = mine().count();
    let right = mine().filter(|s| s.is_right(threshold)).count();
    Some(Fold { fold: number, pairs, threshold, accuracy: right as f64 / pairs as f64 })
}

fn notes(subject: &Subject, folds: &[Fold], scores: &Scores) -> Vec<String> {
    let mut notes = vec![
        "ci95 takes the pairs for independent; pairs that share a person are less than that, so the true interval is somewhat wider"
            .to_owned(),
    ];
    if folds.len() == 1 {
        notes.push(
            "one fold: the threshold was chosen on the pairs that it is measured on, so the accuracy is too good; give at least two folds"
                .to_owned(),
        );
    }
    if subject.failures_to_acquire > 0 {
        notes.push(
            "a picture without a face scores -1 with every other, and its pairs count as errors in the accuracy"
                .to_owned(),
        );
    }
    if (1..10_000).contains(&scores.impostor()) {
        notes.push(format!(
            "an FMR of 0.001 rests on {} of {} impostor pairs",
            scores.impostor() / 1000,
            scores.impostor()
        ));
    }
    notes
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.subject;
        writeln!(f, "model       {} ({})", s.model, s.model_sha256)?;
        writeln!(f, "detector    {} ({})", s.detector, s.detector_sha256)?;
        writeln!(f, "references  {}", s.references)?;
        writeln!(
            f,
            "data        {} pairs ({} genuine, {} impostor) of {} pictures, {} without a face",
            self.pairs, self.genuine_pairs, self.impostor_pairs, s.images, s.failures_to_acquire
        )?;
        writeln!(f, "\n   fold   pairs  threshold  accuracy")?;
        for fold in &self.folds {
            let Fold { fold, pairs, threshold, accuracy } = fold;
            writeln!(f, "{fold:>7} {pairs:>7} {threshold:>10.4} {:>8.2}%", accuracy * 100.0)?;
        }
        let Interval { low, high } = self.ci95;
        writeln!(
            f,
            "   mean         {:>10.4} {:>8.2}%  (95 %: {:.2} to {:.2})",
            self.threshold,
            self.accuracy_mean * 100.0,
            low * 100.0,
            high * 100.0
        )?;
        writeln!(f, "\nEER                 {}", percent(self.eer))?;
        for (fmr, tar) in &self.tar_at_fmr {
            writeln!(f, "TAR at FMR {fmr:<8} {}", percent(*tar))?;
        }
        writeln!(f, "\nthreshold        FMR       FNMR")?;
        for p in self.fmr_fnmr.iter().step_by(2) {
            let (fmr, fnmr) = (p.fmr * 100.0, p.fnmr * 100.0);
            writeln!(f, "{:>9.2} {fmr:>9.3}% {fnmr:>9.3}%", p.threshold)?;
        }
        self.subject.failed.iter().try_for_each(|name| writeln!(f, "no face: {name}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "not known: it takes genuine and impostor pairs".into(),
        |s| format!("{:.2}%", s * 100.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(failures_to_acquire: usize) -> Subject {
        Subject {
            model: "m".into(),
            model_sha256: Sha256::of(b"m"),
            preprocessing: 1,
            detector: "d".into(),
            detector_sha256: Sha256::of(b"d"),
            references: "plain",
            images: 4,
            failures_to_acquire,
            failed: Vec::new(),
        }
    }

    fn scored(rows: &[(i64, bool, Option<f32>)]) -> Vec<Scored> {
        let pair = |fold, same| Pair { left: 0, right: 1, same, fold };
        rows.iter().map(|(fold, same, score)| Scored { pair: pair(*fold, *same), score: *score }).collect()
    }

    #[test]
    fn a_folds_threshold_comes_from_the_others() {
        let rows = scored(&[
            (1, true, Some(0.5)),
            (1, false, Some(0.3)),
            (9, true, Some(0.9)),
            (9, false, Some(0.6)),
        ]);
        let report = Report::of(subject(0), &rows).unwrap();
        assert_eq!(report.accuracy_by_fold, [0.5, 0.5]);
        assert!((report.folds[0].threshold - 0.75).abs() < 1e-6, "{:?}", report.folds);
        assert!((report.threshold - 0.575).abs() < 1e-6);
    }

    #[test]
    fn one_fold_uses_itself_and_says_so() {
        let report = Report::of(subject(0), &scored(&[(3, true, Some(0.5)), (3, false, Some(0.3))])).unwrap();
        assert_eq!(report.accuracy_mean, 1.0);
        assert!(report.notes.iter().any(|n| n.starts_with("one fold")));
    }

    #[test]
    fn pairs_without_a_face_are_errors_of_both_kinds() {
        let rows = scored(&[(1, true, Some(0.5)), (1, false, Some(0.1)), (1, true, None), (1, false, None)]);
        let report = Report::of(subject(1), &rows).unwrap();
        assert_eq!(report.accuracy_mean, 0.5);
        assert_eq!(report.fmr_fnmr[10].fnmr, 0.5);
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let report = Report::of(subject(0), &scored(&[(1, true, Some(0.5)), (2, false, Some(0.3))])).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        for key in [
            "accuracy_mean",
            "accuracy_by_fold",
            "failures_to_acquire",
            "tar_at_fmr",
            "eer",
            "model",
            "model_sha256",
            "threshold",
            "pairs",
            "images",
            "fmr_fnmr",
            "ci95",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert!(json["accuracy_by_fold"].is_array() && json["model"].is_string());
        assert!(json["tar_at_fmr"]["0.01"].is_number() && json["tar_at_fmr"]["0.001"].is_number());
        assert!(report.to_string().contains("fold"));
    }
}
