//! What came of checking a bundle, for people and for programs.

use serde::Serialize;

/// What a bundle does not prove, however well it checks.
pub const NOT_PROVEN: [&str; 5] = [
    "that the comparison was right: a score is a measurement with known error rates, not a finding",
    "who the person at the counter was: the alert says only that nobody seen there fitted the references",
    "that the camera saw the counter, and the reference was enrolled from the cardholder",
    "that the box's clock was right beyond the bound in the alert; the receipt is by the bureau's clock",
    "that the bureau holds no other event about this settlement than those it put into the file",
];

/// The check on which all others stand: whose file it is.
pub(super) const BUREAU_KEY: &str = "bureau_key";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// What it needs is not there.
    CannotBeTold,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, for programs.
    pub name: &'static str,
    /// What is asked.
    pub question: &'static str,
    /// The answer.
    pub outcome: Outcome,
    /// Why, in words.
    pub explanation: String,
}

/// Every check of one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether none failed.
    pub passed: bool,
    /// Whether the bureau's key was given and is the one in the file. Without
    /// that the file is consistent with itself, which anybody's file can be.
    pub anchored: bool,
    /// The checks, in the order in which a reader needs them.
    pub checks: Vec<Check>,
    /// What it does not prove.
    pub not_proven: [&'static str; 5],
}

impl Report {
    /// Sums up.
    pub(super) fn of(checks: Vec<Check>) -> Self {
        let passed = checks.iter().all(|c| c.outcome != Outcome::Fail);
        let anchored = checks.iter().any(|c| c.name == BUREAU_KEY && c.outcome == Outcome::Pass);
        Self { passed, anchored, checks, not_proven: NOT_PROVEN }
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for c in &self.checks {
            let mark = match c.outcome {
                Outcome::Pass => "pass",
                Outcome::Fail => "FAIL",
                Outcome::CannotBeTold => "cannot be told",
            };
            text.push_str(&format!("{mark:<15} {} ({})\n{:<15} {}\n", c.question, c.name, "", c.explanation));
        }
        text.push_str("\nWhat this does not prove:\n");
        for line in self.not_proven {
            text.push_str(&format!("  - {line}\n"));
        }
        let failed = self.checks.iter().filter(|c| c.outcome == Outcome::Fail).count();
        let untold = self.checks.iter().filter(|c| c.outcome == Outcome::CannotBeTold).count();
        text.push_str(&format!(
            "\n{} checks: {} passed, {failed} failed, {untold} cannot be told.\n",
            self.checks.len(),
            self.checks.len() - failed - untold
        ));
        text
    }
}
