//! `counterproof evaluate city`: what a setting would mean for a city, in alerts
//! a day and honest people among them.
//!
//! Arithmetic on a calibration's measured shares and on four assumptions that
//! nobody here has measured: how many settlements are verified, how many of them
//! are somebody else's card, how many a relative's who was not declared, and how
//! many cardholders were enrolled with another's photograph.

use std::path::PathBuf;

use serde_json::json;

use crate::crypto::Sha256;
use crate::settings::{self, SettingsError};
use crate::verify::calibration::{Calibration, CalibrationError, Share};

use super::{BenchError, find_manifest};

/// Arguments of `evaluate city`.
#[derive(Debug, clap::Args)]
pub struct CityArgs {
    /// Settlements a day that are verified (assumed).
    #[arg(long, value_delimiter = ',', default_value = "2000,20000,100000")]
    pub settlements: Vec<f64>,
    /// Of 10,000 settlements, those with somebody else's card (assumed).
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    pub impersonation: Vec<f64>,
    /// Of 10,000 settlements, those by a relative whom nobody declared (assumed).
    #[arg(long, default_value_t = 50.0)]
    pub undeclared: f64,
    /// Of 10,000 cardholders, those enrolled with another's photograph (assumed).
    #[arg(long, default_value_t = 2.0)]
    pub wrong_enrolment: f64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// The calibration whose measured shares count.
    #[arg(long, default_value = "config/calibrations/sface-2021dec.toml")]
    pub calibration: PathBuf,
}

/// Alerts a day, by what they are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Alerts {
    impersonation: f64,
    false_non_match: f64,
    undeclared: f64,
    wrong_enrolment: f64,
}

impl Alerts {
    fn of(settlements: f64, assumed: [f64; 3], alerted: f64, false_alert: f64) -> Self {
        let [impersonation, undeclared, wrong] = assumed.map(|per_10k| per_10k / 10_000.0);
        let genuine = (1.0 - impersonation - undeclared - wrong).max(0.0);
        Self {
            impersonation: settlements * impersonation * alerted,
            false_non_match: settlements * genuine * false_alert,
            undeclared: settlements * undeclared * alerted,
            wrong_enrolment: settlements * wrong * alerted,
        }
    }

    fn honest(self) -> f64 {
        self.false_non_match + self.undeclared + self.wrong_enrolment
    }

    fn all(self) -> f64 {
        self.honest() + self.impersonation
    }
}

/// Prints the table.
///
/// # Errors
/// If the calibration cannot be read.
pub fn run(args: &CityArgs) -> Result<(), BenchError> {
    let path = find_manifest(&args.calibration);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| CalibrationError::Settings(SettingsError::Io { path: path.clone(), source }))?;
    let calibration: Calibration = settings::parse(&path, &text).map_err(CalibrationError::Settings)?;
    let measured = &calibration.measured;
    let alerted = share(measured.impostors_alerted);
    // Without an event the rule of three on settlements that share no comparison.
    let independent = calibration.data.genuine_settlements.max(1) as f64;
    let point = share(measured.false_alerts);
    let most =
        if measured.false_alerts.events == 0 { 3.0 / independent } else { measured.false_alerts.ci95[1] };
    let rates = [("as counted", point), ("aim, 1 of 10,000", 1e-4), ("at most, 95 %", most)];
    let mut rows = Vec::new();
    for settlements in &args.settlements {
        for impersonation in &args.impersonation {
            for (name, rate) in rates {
                let assumed = [*impersonation, args.undeclared, args.wrong_enrolment];
                rows.push((
                    settlements,
                    impersonation,
                    name,
                    Alerts::of(*settlements, assumed, alerted, rate),
                ));
            }
        }
    }
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(n, p, name, a)| {
                json!({
                    "settlements_a_day": n, "impersonation_per_10k": p, "false_alert_rate": name,
                    "alerts_a_day": a.all(), "impersonation": a.impersonation,
                    "false_non_match": a.false_non_match, "undeclared_relative": a.undeclared,
                    "wrong_enrolment": a.wrong_enrolment, "share_true": a.impersonation / a.all(),
                })
            })
            .collect();
        let out =
            json!({ "calibration": Sha256::of(text.as_bytes()), "impostors_alerted": alerted, "rows": rows });
        println!("{}", serde_json::to_string_pretty(&out).map_err(std::io::Error::from)?);
        return Ok(());
    }
    println!(
        "settlements | somebody else's | false non-match  | alerts  | false  | undeclared | wrong    | alerts that"
    );
    println!(
        "a day       | card, of 10,000 | rate             | a day   | n.-m.  | relative   | enrolment| are true"
    );
    for (settlements, impersonation, name, a) in rows {
        println!(
            "{settlements:>11} | {impersonation:>15} | {name:<16} | {:>7.1} | {:>6.1} | {:>10.1} | {:>8.1} | {:>6.0} %",
            a.all(),
            a.false_non_match,
            a.undeclared,
            a.wrong_enrolment,
            100.0 * a.impersonation / a.all()
        );
    }
    println!(
        "measured: impostors alerted {alerted:.4}, false alerts {point:.5} (at most {most:.4}); everything else is assumed"
    );
    Ok(())
}

fn share(s: Share) -> f64 {
    s.events as f64 / s.of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counted_by_hand() {
        let a = Alerts::of(10_000.0, [10.0, 50.0, 2.0], 1.0, 1e-4);
        assert!((a.impersonation - 10.0).abs() < 1e-9 && (a.undeclared - 50.0).abs() < 1e-9);
        assert!((a.false_non_match - 0.9938).abs() < 1e-9, "{a:?}");
        assert!((a.all() - a.honest() - 10.0).abs() < 1e-9);
    }
}
