//! What the page of statistics stands on: gathered from the store for a period and a
//! place, and the same as CSV.
//!
//! Promises: counts alone; nothing in it is about a person. Verdicts are what boxes
//! told ([`figures::counts`](super::figures::counts)), alerts those that came in the
//! period and are still held: older ones that the retention limit deleted are in no
//! count here.

use std::collections::BTreeMap;

use super::BureauError;
use super::figures::calendar::{Day, Days};
use super::figures::coverage::{Cover, Coverage};
use super::figures::list::{self, Entry};
use super::figures::settings::FiguresConfig;
use super::figures::share::{Decided, FalseAlerts};
use super::review::Claim;
use super::store::{By, Per, Place, Store, StoreError, Verdicts};
use crate::clock::WallTime;
use crate::protocol::id::HospitalId;

/// Verdicts of some settlements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The cardholder or a declared proxy was there.
    pub matched: u64,
    /// Somebody else was.
    pub mismatch: u64,
    /// The entrance that was watched for the cardholder did not see them.
    pub absent: u64,
    /// Nothing could be said.
    pub inconclusive: u64,
    /// It was not looked.
    pub not_assessed: u64,
    /// A verdict that this version has no word for.
    pub other: u64,
}

impl Counts {
    fn count(&mut self, verdict: &str, n: u64) {
        let place = match verdict {
            "match" => &mut self.matched,
            "mismatch" => &mut self.mismatch,
            "absent" => &mut self.absent,
            "inconclusive" => &mut self.inconclusive,
            "not_assessed" => &mut self.not_assessed,
            _ => &mut self.other,
        };
        *place = place.saturating_add(n);
    }

    /// Settlements at which it was looked.
    pub const fn verified(&self) -> u64 {
        let told = self.matched.saturating_add(self.mismatch).saturating_add(self.absent);
        told.saturating_add(self.inconclusive)
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.matched, other.matched),
            (&mut self.mismatch, other.mismatch),
            (&mut self.absent, other.absent),
            (&mut self.inconclusive, other.inconclusive),
            (&mut self.not_assessed, other.not_assessed),
            (&mut self.other, other.other),
        ] {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// The figures of one hospital, or of a district.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its code; a district's name.
    pub code: String,
    /// What it is called; empty where nobody told.
    pub name: String,
    /// In which district; empty where nobody told.
    pub district: String,
    /// Verdicts of its boxes.
    pub counts: Counts,
    /// What became of its alerts.
    pub decided: Decided,
    /// Days of its counters.
    pub cover: Cover,
    /// Requests to keep a recording that were overdue when the period ended, or are now.
    pub overdue_requests: u64,
}

impl Row {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.decided.add(&other.decided);
        self.cover.covered = self.cover.covered.saturating_add(other.cover.covered);
        self.cover.known = self.cover.known.saturating_add(other.cover.known);
        self.overdue_requests = self.overdue_requests.saturating_add(other.overdue_requests);
    }
}

/// Everything of a period and a place.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// The period.
    pub days: Days,
    /// Verdicts of each of its days.
    pub by_day: BTreeMap<Day, Counts>,
    /// Alerts that came on each day, where any did.
    pub alerts_by_day: BTreeMap<Day, Decided>,
    /// What became of the alerts of each claim.
    pub by_claim: BTreeMap<Claim, Decided>,
    /// Verdicts by reason, the most frequent first.
    pub reasons: Vec<Verdicts>,
    /// Each hospital that is known, by district and code.
    pub hospitals: Vec<Row>,
    /// Counters that were seen working.
    pub coverage: Coverage,
    /// The red and yellow list.
    pub list: Vec<Entry>,
    /// What became of alerts, by the box that raised them.
    pub by_box: Vec<FalseAlerts>,
    /// The same by recognizer.
    pub by_model: Vec<FalseAlerts>,
    /// The same by calibration.
    pub by_calibration: Vec<FalseAlerts>,
}

impl Statistics {
    /// Gathers them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn gather(
        store: &Store,
        config: &FiguresConfig,
        days: Days,
        place: &Place,
        now: WallTime,
    ) -> Result<Self, StoreError> {
        let mut by_day: BTreeMap<Day, Counts> = days.each().map(|d| (d, Counts::default())).collect();
        for v in store.verdicts(By::Day, days, place).await? {
            if let Ok(day) = v.of.parse() {
                by_day.entry(day).or_default().count(&v.verdict, v.n);
            }
        }
        let counters = store.known_counters(place).await?;
        let covered = store.covered(days, place, config.covered_ms()).await?;
        let coverage = Coverage::of(days, &counters, &covered);
        let alerts = store.decided_alerts(Per::Day, days, place).await?;
        let (mut alerts_by_day, mut by_claim) = (BTreeMap::<Day, Decided>::new(), BTreeMap::new());
        for FalseAlerts { of, claim, decided } in alerts {
            by_claim.entry(claim).or_insert_with(Decided::default).add(&decided);
            if let Ok(day) = of.parse() {
                alerts_by_day.entry(day).or_default().add(&decided);
            }
        }
        let mut hospitals = hospitals(store, days, place, &coverage).await?;
        for (hospital, n) in store.overdue_requests(now.min(days.moments().1), place).await? {
            hospitals.entry(hospital).or_default().overdue_requests = n;
        }
        let hospitals = named(store, hospitals, place).await?;
        let judged = hospitals.iter().filter_map(|row| {
            Some(list::Hospital {
                code: row.code.parse::<HospitalId>().ok()?,
                verified: row.counts.verified(),
                confirmed: row.decided.confirmed(),
                cover: row.cover,
                overdue_requests: row.overdue_requests,
            })
        });
        Ok(Self {
            days,
            by_day,
            alerts_by_day,
            by_claim,
            reasons: store.verdicts(By::Reason, days, place).await?,
            list: config.rule().judge(judged.collect()),
            coverage,
            by_box: store.decided_alerts(Per::Box, days, place).await?,
            by_model: store.decided_alerts(Per::Model, days, place).await?,
            by_calibration: store.decided_alerts(Per::Calibration, days, place).await?,
            hospitals,
        })
    }

    /// All hospitals together.
    pub fn whole(&self) -> Row {
        self.hospitals.iter().fold(Row::default(), |mut all, row| {
            all.add(row);
            all
        })
    }

    /// Hospitals by their district.
    pub fn districts(&self) -> Vec<Row> {
        let mut all: BTreeMap<&str, Row> = BTreeMap::new();
        for row in &self.hospitals {
            let district = all.entry(&row.district).or_default();
            district.code.clone_from(&row.district);
            district.add(row);
        }
        all.into_values().collect()
    }

    /// The hospitals as CSV, for a spreadsheet.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn hospitals_csv(&self) -> Result<String, BureauError> {
        let head = ["hospital", "name", "district", "first_day", "last_day"];
        let last = ["counter_days", "covered_counter_days", "overdue_requests"];
        let rows = self.hospitals.iter().map(|r| {
            let names = [&r.code, &r.name, &r.district].map(|t| harmless(t));
            let days = [self.days.first.to_string(), self.days.last.to_string()];
            let rest = [r.cover.known, r.cover.covered, r.overdue_requests];
            names
                .into_iter()
                .chain(days)
                .chain(numbers(&r.counts, &r.decided))
                .chain(rest.map(|n| n.to_string()))
                .collect()
        });
        csv((&head, &last), rows)
    }

    /// The days as CSV, for a spreadsheet.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn days_csv(&self) -> Result<String, BureauError> {
        let rows = self.by_day.iter().map(|(day, counts)| {
            let decided = self.alerts_by_day.get(day).copied().unwrap_or_default();
            let cover = self.coverage.by_day.get(day).copied().unwrap_or_default();
            let cover = [cover.known, cover.covered].map(|n| n.to_string());
            std::iter::once(day.to_string()).chain(numbers(counts, &decided)).chain(cover).collect()
        });
        csv((&["day"], &["counters", "covered_counters"]), rows)
    }
}

/// The names of [`numbers`].
const NUMBERS: [&str; 16] = [
    "verified",
    "match",
    "mismatch",
    "absent",
    "inconclusive",
    "not_assessed",
    "other",
    "alerts",
    "open",
    "withdrawn",
    "decided",
    "false_alert",
    "undeclared_proxy",
    "impersonation",
    "not_rendered",
    "not_established",
];

fn numbers(c: &Counts, d: &Decided) -> [String; NUMBERS.len()] {
    [
        c.verified(),
        c.matched,
        c.mismatch,
        c.absent,
        c.inconclusive,
        c.not_assessed,
        c.other,
        d.all(),
        d.open,
        d.withdrawn,
        d.decided(),
        d.false_alert,
        d.undeclared_proxy,
        d.impersonation,
        d.not_rendered,
        d.not_established,
    ]
    .map(|n| n.to_string())
}

/// A name that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

/// Rows under the columns before and after [`NUMBERS`].
fn csv(
    (before, after): (&[&str], &[&str]),
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<String, BureauError> {
    let failed = |e: csv::Error| BureauError::Command(format!("the CSV could not be written: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([before, &NUMBERS, after].concat()).map_err(failed)?;
    for row in rows {
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|e| BureauError::Command(e.to_string()))?;
    // With it, spreadsheets read Chinese as what it is.
    Ok(format!("\u{feff}{}", String::from_utf8_lossy(&bytes)))
}

/// What is counted of each hospital.
async fn hospitals(
    store: &Store,
    days: Days,
    place: &Place,
    coverage: &Coverage,
) -> Result<BTreeMap<String, Row>, StoreError> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for v in store.verdicts(By::Hospital, days, place).await? {
        rows.entry(v.of).or_default().counts.count(&v.verdict, v.n);
    }
    for a in store.decided_alerts(Per::Hospital, days, place).await? {
        rows.entry(a.of).or_default().decided.add(&a.decided);
    }
    for (hospital, cover) in &coverage.by_hospital {
        rows.entry(hospital.as_str().to_owned()).or_default().cover = *cover;
    }
    Ok(rows)
}

/// Every hospital about which anything is known, with its name, by district and code.
async fn named(
    store: &Store,
    mut rows: BTreeMap<String, Row>,
    place: &Place,
) -> Result<Vec<Row>, StoreError> {
    for known in store.hospitals().await? {
        let asked = (place.hospital.is_empty() || place.hospital == known.code.as_str())
            && (place.district.is_empty() || place.district == known.district);
        if asked {
            let row = rows.entry(known.code.as_str().to_owned()).or_default();
            (row.name, row.district) = (known.name, known.district);
        }
    }
    let mut rows: Vec<Row> = rows.into_iter().map(|(code, row)| Row { code, ..row }).collect();
    rows.sort_by(|a, b| (&a.district, &a.code).cmp(&(&b.district, &b.code)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(code: &str, district: &str, matched: u64, confirmed: u64) -> Row {
        Row {
            code: code.into(),
            name: "=1+1".into(),
            district: district.into(),
            counts: Counts { matched, inconclusive: 1, ..Counts::default() },
            decided: Decided { impersonation: confirmed, open: 1, ..Decided::default() },
            cover: Cover { covered: 1, known: 2 },
            overdue_requests: 3,
        }
    }

    fn statistics(hospitals: Vec<Row>) -> Statistics {
        let days = Days { first: Day::from_number(0), last: Day::from_number(1) };
        Statistics {
            days,
            by_day: days.each().map(|d| (d, Counts { matched: 2, ..Counts::default() })).collect(),
            alerts_by_day: BTreeMap::new(),
            by_claim: BTreeMap::new(),
            reasons: vec![],
            hospitals,
            coverage: Coverage::default(),
            list: vec![],
            by_box: vec![],
            by_model: vec![],
            by_calibration: vec![],
        }
    }

    #[test]
    fn districts_and_the_whole_are_sums_of_hospitals() {
        let s = statistics(vec![row("H1", "A", 5, 1), row("H2", "A", 7, 0), row("H3", "", 1, 0)]);
        let told: Vec<_> =
            s.districts().iter().map(|d| (d.code.clone(), d.counts.verified(), d.cover.known)).collect();
        assert_eq!(told, [(String::new(), 2, 2), ("A".into(), 14, 4)]);
        let whole = s.whole();
        assert_eq!((whole.counts.verified(), whole.decided.all(), whole.overdue_requests), (16, 4, 9));
    }

    #[test]
    fn a_name_is_no_formula_in_a_spreadsheet() {
        let csv = statistics(vec![row("H1", "-2", 5, 1)]).hospitals_csv().unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert!(lines[0].starts_with("\u{feff}hospital,name,district"), "{csv}");
        assert!(lines[1].starts_with("H1,'=1+1,'-2,1970-01-01,1970-01-02,6,5,0,0,1,"), "{csv}");
        assert!(lines[0].ends_with(",overdue_requests") && lines[1].ends_with(",2,1,3"), "{csv}");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
        let days = statistics(vec![]).days_csv().unwrap();
        assert!(days.lines().count() == 3 && days.contains("1970-01-02,2,2,0"), "{days}");
    }
}
