//! The report on a box's commissioning, for people and for machines: the same
//! at the box and at the bureau.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::recommend::{LEAST_SETTLEMENTS, Recommendation, recommend};
use crate::crypto::Sha256;
use crate::protocol::commission::{Standing, Subject};
use crate::protocol::figures::{BINS, Expected, ScoreHistogram};
use crate::protocol::id::AgentId;

/// Characters of the longest bar.
const BAR: f64 = 24.0;

/// What commissioning needs of a calibration file: which model, and what it
/// expects. The rest of the file is for who verifies.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CalibrationFile {
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Version of preparation and alignment.
    pub preprocessing: u32,
    /// What was found on the people that it was made with.
    #[serde(default)]
    pub expected: Option<Expected>,
    /// Who they were.
    #[serde(default)]
    pub data: Option<Data>,
    /// How well it did on them.
    #[serde(default)]
    pub measured: Option<Measured>,
}

/// The people that a calibration was made with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Data {
    /// What the collection is called.
    pub name: String,
    /// How many people.
    pub people: u64,
}

/// How well a calibration did on people that it was not tuned on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Measured {
    /// Settlements of cardholders that would have raised an alert.
    pub false_alerts: Share,
    /// Where the verdicts' boundaries lie.
    #[serde(default)]
    pub boundaries: Vec<Boundary>,
}

/// A share of settlements.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Share {
    /// So many.
    pub events: u64,
    /// Of so many.
    pub of: u64,
    /// 95 % interval of the share, 0 to 1, in which a person counts once.
    pub ci95: [f64; 2],
}

/// A boundary between two verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Boundary {
    /// The comparison score, -1 to 1.
    pub score: f64,
}

impl CalibrationFile {
    /// Reads the exact bytes of a calibration.
    ///
    /// # Errors
    /// In words, if it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        toml::from_str(text).map_err(|e| format!("it is no calibration: {}", e.message()))
    }

    /// What a box with this calibration is armed for.
    pub fn subject(&self, agent: AgentId, digest: Sha256) -> Subject {
        Subject { agent, model: self.model, preprocessing: self.preprocessing, calibration: digest }
    }
}

/// Everything about a box's commissioning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The box.
    pub agent: AgentId,
    /// SHA-256 of the calibration in force.
    pub calibration: Sha256,
    /// How it stands, and what it counted since.
    pub standing: Standing,
    /// What the calibration expects, if it says.
    pub expected: Option<Expected>,
    /// What to make of it.
    pub recommendation: Recommendation,
}

impl Report {
    /// Joins figures and expectations.
    pub fn new(agent: AgentId, calibration: Sha256, standing: Standing, expected: Option<Expected>) -> Self {
        let recommendation = recommend(&standing.figures, expected.as_ref(), LEAST_SETTLEMENTS);
        Self { agent, calibration, standing, expected, recommendation }
    }

    /// The page, for people.
    pub fn page(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Standing { mode, since, detail, number, figures, .. } = &self.standing;
        let short: String = self.calibration.to_string().chars().take(16).collect();
        writeln!(out, "{}: {mode} since {since}, calibration {short}, last order {number}", self.agent)?;
        if let Some(detail) = detail {
            writeln!(out, "because {detail}")?;
        }
        writeln!(out, "\nverdicts since then")?;
        for (verdict, n) in &figures.verdicts {
            writeln!(out, "  {verdict:<40} {n:>8}")?;
        }
        if figures.verdicts.is_empty() {
            writeln!(out, "  none")?;
        }
        writeln!(out, "\n{:.1} % of the assessed are inconclusive", figures.inconclusive_share() * 100.0)?;
        if let Some(e) = &self.expected {
            let (share, n) = (e.inconclusive_genuine * 100.0, e.settlements);
            writeln!(out, "the calibration found {share:.1} % of {n} genuine settlements inconclusive")?;
        }
        self.distributions(out)?;
        writeln!(out, "\nrecommendation: {}", self.recommendation)
    }

    fn distributions(&self, out: &mut String) -> std::fmt::Result {
        let empty = [0.0; BINS];
        let seen = self.standing.figures.scores.shares();
        let seen = seen.as_ref().map_or(&empty, |s| s.by_bin());
        let columns: Vec<(&str, &[f64; BINS])> = match &self.expected {
            None => vec![("this box", seen)],
            Some(e) => vec![
                ("this box", seen),
                ("calibration: cardholder", e.genuine.by_bin()),
                ("calibration: stranger", e.impostor.by_bin()),
            ],
        };
        writeln!(out, "\ncomparison scores: the share of settlements with one")?;
        write!(out, "{:>6}", "from")?;
        for (title, _) in &columns {
            write!(out, "  {title:<32}")?;
        }
        writeln!(out)?;
        let share = |column: &[f64; BINS], bin: usize| column.get(bin).copied().unwrap_or_default();
        let told = |bin: &usize| columns.iter().any(|(_, c)| share(c, *bin) > 0.0);
        let (first, last) = ((0..BINS).find(told), (0..BINS).rfind(told));
        let (Some(first), Some(last)) = (first, last) else { return writeln!(out, "  none yet") };
        let highest = columns.iter().flat_map(|(_, c)| c.iter()).copied().fold(0.0, f64::max);
        for bin in first..=last {
            write!(out, "{:>6.2}", ScoreHistogram::borders(bin).0)?;
            for (_, column) in &columns {
                let share = share(column, bin);
                let bar = "#".repeat((share / highest * BAR).round() as usize);
                write!(out, "  {bar:<24} {:>5.1} %", share * 100.0)?;
            }
            writeln!(out)?;
        }
        if self.expected.is_none() {
            writeln!(
                out,
                "the calibration does not say what to expect: there is nothing to hold this against"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::commissioning::recommend::tests::{expected, figures};
    use crate::protocol::commission::{Mode, ShadowReason};

    fn report(expected: Option<Expected>) -> Report {
        let standing = Standing {
            mode: Mode::Shadow(ShadowReason::NeverCommissioned),
            since: WallTime::from_millis(0),
            detail: None,
            number: 0,
            commission: None,
            figures: figures(300, 2, 5),
        };
        Report::new("box-1".parse().unwrap(), Sha256::of(b"c"), standing, expected)
    }

    #[test]
    fn the_page_shows_distributions_side_by_side_and_says_what_to_do() {
        let page = report(Some(expected())).page();
        assert!(page.contains("box-1: shadow(never_commissioned) since 1970-01-01"), "{page}");
        assert!(page.contains("this box") && page.contains("calibration: stranger"), "{page}");
        let line = page.lines().find(|l| l.starts_with("  0.50")).unwrap();
        assert_eq!(line.matches('#').count(), 36, "{line}");
        assert!(
            page.ends_with("recommendation: arm: nothing in these figures speaks against it\n"),
            "{page}"
        );
        let alone = report(None).page();
        assert!(alone.contains("nothing to hold this against") && !alone.contains("stranger "), "{alone}");
        let json = serde_json::to_value(report(Some(expected()))).unwrap();
        assert_eq!(json["recommendation"]["what"], "arm");
        assert_eq!(json["standing"]["figures"]["scores"].as_array().unwrap().len(), BINS);
    }

    #[test]
    fn the_shipped_calibrations_are_read() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations");
        for entry in std::fs::read_dir(dir).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert_eq!(CalibrationFile::read(&bytes).unwrap().preprocessing >> 8, 1);
        }
        assert!(CalibrationFile::read(b"model = 7").unwrap_err().starts_with("it is no calibration"));
        assert!(CalibrationFile::read(b"\xff").is_err());
    }
}
