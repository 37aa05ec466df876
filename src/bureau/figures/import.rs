//! Settlement statistics from a CSV file, checked line by line.
//!
//! Promises: every bad line is named with its column, what was found and what is
//! allowed; a file with one bad line gives nothing. Any bytes are read or refused.
//!
//! The form: UTF-8, comma-separated, the header
//! `month,cardholder,hospital,medical_type,settlements,amount_fen`, then one line for
//! each month, cardholder, hospital and medical type.

use std::collections::HashMap;
use std::fmt;

use super::calendar::Month;
use crate::protocol::id::{CardholderId, HospitalId, MedicalType};

/// The columns, in their order.
pub const HEADER: [&str; 6] =
    ["month", "cardholder", "hospital", "medical_type", "settlements", "amount_fen"];
/// Lines of one file.
pub const MOST_LINES: usize = 1_000_000;
/// Largest file, in bytes.
pub const MOST_BYTES: usize = 128 * 1024 * 1024;
/// Settlements of one line.
const MOST_SETTLEMENTS: i64 = 10_000;
/// Amount of one line, in fen: 100 million yuan.
const MOST_FEN: i64 = 10_000_000_000;
/// Faults that are named; of more their number is told.
const MOST_FAULTS: usize = 200;

/// One line of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// When the settlements were.
    pub month: Month,
    /// Whose.
    pub cardholder: CardholderId,
    /// Where.
    pub hospital: HospitalId,
    /// Of which kind.
    pub medical_type: MedicalType,
    /// How many.
    pub settlements: i64,
    /// Their amounts together, in fen.
    pub amount_fen: i64,
}

/// A line that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1, the header.
    pub line: u64,
    /// Which column; the whole line if empty.
    pub column: &'static str,
    /// What stands there.
    pub found: String,
    /// What may.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, found, allowed } = self;
        let column = if column.is_empty() { String::new() } else { format!(" {column}:") };
        write!(f, "line {line}:{column} found {found}; allowed: {allowed}")
    }
}

/// Why a file gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The first faults, in the order of the lines.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub count: usize,
}

/// Which months a file may speak of.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Not before this one, since it would be deleted at once.
    pub first: Month,
    /// Not after this one.
    pub last: Month,
}

/// Reads the whole file.
///
/// # Errors
/// [`Refused`] with every bad line.
pub fn read(bytes: &[u8], allowed: Allowed) -> Result<Vec<Line>, Refused> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut reading = Reading::new(allowed);
    let mut header = false;
    let mut record = csv::ByteRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                reading.fault(line, "", e.to_string(), "a line of text");
                break;
            }
        }
        let line = record.position().map_or(line, csv::Position::line);
        if !std::mem::replace(&mut header, true) {
            if record.iter().ne(HEADER.iter().map(|h| h.as_bytes())) {
                reading.fault(line, "", shown_all(&record), format!("the header {}", HEADER.join(",")));
                break;
            }
            continue;
        }
        if reading.lines.len() >= MOST_LINES {
            reading.fault(line, "", "one line more".into(), format!("{MOST_LINES} lines in one file"));
            break;
        }
        reading.line(line, &record);
    }
    if !header {
        reading.fault(1, "", "an empty file".into(), format!("the header {}", HEADER.join(",")));
    } else if reading.count == 0 && reading.lines.is_empty() {
        reading.fault(2, "", "nothing after the header".into(), "at least one line");
    }
    reading.finish()
}

struct Reading {
    allowed: Allowed,
    lines: Vec<Line>,
    seen: HashMap<(Month, CardholderId, HospitalId, MedicalType), u64>,
    faults: Vec<Fault>,
    count: usize,
}

impl Reading {
    fn new(allowed: Allowed) -> Self {
        Self { allowed, lines: Vec::new(), seen: HashMap::new(), faults: Vec::new(), count: 0 }
    }

    fn fault(&mut self, line: u64, column: &'static str, found: String, allowed: impl Into<String>) {
        self.count += 1;
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { line, column, found, allowed: allowed.into() });
        }
    }

    fn line(&mut self, line: u64, record: &csv::ByteRecord) {
        if record.len() != HEADER.len() {
            let found = format!("{} columns", record.len());
            self.fault(line, "", found, format!("{} columns: {}", HEADER.len(), HEADER.join(",")));
            return;
        }
        // Each column by itself, so that a line with two faults is mended once.
        let month = self.month(line, record.get(0));
        let cardholder: Option<CardholderId> = self.name(line, 1, record.get(1));
        let hospital: Option<HospitalId> = self.name(line, 2, record.get(2));
        let medical_type: Option<MedicalType> = self.name(line, 3, record.get(3));
        let settlements = self.number(line, 4, record.get(4), 1..=MOST_SETTLEMENTS);
        let amount_fen = self.number(line, 5, record.get(5), 0..=MOST_FEN);
        let (
            Some(month),
            Some(cardholder),
            Some(hospital),
            Some(medical_type),
            Some(settlements),
            Some(amount_fen),
        ) = (month, cardholder, hospital, medical_type, settlements, amount_fen)
        else {
            return;
        };
        let key = (month, cardholder.clone(), hospital.clone(), medical_type.clone());
        if let Some(first) = self.seen.insert(key, line) {
            let found = format!("the month, cardholder, hospital and medical type of line {first} again");
            self.fault(line, "", found, "one line for each");
            return;
        }
        self.lines.push(Line { month, cardholder, hospital, medical_type, settlements, amount_fen });
    }

    fn month(&mut self, line: u64, field: Option<&[u8]>) -> Option<Month> {
        let Allowed { first, last } = self.allowed;
        let month = text(field).and_then(|t| t.parse::<Month>().ok()).filter(|m| (first..=last).contains(m));
        if month.is_none() {
            self.fault(line, "month", shown(field), format!("a month as YYYY-MM, {first} to {last}"));
        }
        month
    }

    fn name<T: std::str::FromStr>(&mut self, line: u64, column: usize, field: Option<&[u8]>) -> Option<T> {
        let name = text(field).and_then(|t| t.parse().ok());
        if name.is_none() {
            let allowed = "1 to 64 characters of letters, digits, `.`, `_`, `:` and `-`";
            self.fault(line, column_name(column), shown(field), allowed);
        }
        name
    }

    fn number(
        &mut self,
        line: u64,
        column: usize,
        field: Option<&[u8]>,
        allowed: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let digits = text(field).filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|t| t.parse().ok()).filter(|n| allowed.contains(n));
        if number.is_none() {
            let allowed = format!("a whole number, {} to {}", allowed.start(), allowed.end());
            self.fault(line, column_name(column), shown(field), allowed);
        }
        number
    }

    fn finish(self) -> Result<Vec<Line>, Refused> {
        match self.count {
            0 => Ok(self.lines),
            count => Err(Refused { faults: self.faults, count }),
        }
    }
}

fn column_name(column: usize) -> &'static str {
    HEADER.get(column).copied().unwrap_or_default()
}

fn text(field: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(field?).ok().map(str::trim)
}

/// What stands in a field, short and without control characters.
fn shown(field: Option<&[u8]>) -> String {
    match field.map(std::str::from_utf8) {
        None => "nothing".into(),
        Some(Err(_)) => "bytes that are no UTF-8 (save the file as CSV UTF-8)".into(),
        Some(Ok(t)) => format!("`{}`", t.chars().take(40).collect::<String>().escape_debug()),
    }
}

fn shown_all(record: &csv::ByteRecord) -> String {
    let all: Vec<&[u8]> = record.iter().collect();
    shown(Some(&all.join(&b',')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowed() -> Allowed {
        Allowed { first: "2025-12".parse().unwrap(), last: "2026-11".parse().unwrap() }
    }

    fn faults(text: &str) -> Vec<String> {
        read(text.as_bytes(), allowed()).err().unwrap().faults.iter().map(ToString::to_string).collect()
    }

    const HEAD: &str = "month,cardholder,hospital,medical_type,settlements,amount_fen\n";

    #[test]
    fn a_good_file_is_read_with_and_without_a_byte_order_mark() {
        let text = format!("{HEAD}2026-10,P0001,H1,11,3,41250\r\n2026-11, P0001 ,H1,11,1,0\n");
        let lines = read(text.as_bytes(), allowed()).ok().unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[0].settlements, lines[0].amount_fen, lines[1].cardholder.as_str()),
            (3, 41_250, "P0001")
        );
        assert!(read(format!("\u{feff}{text}").as_bytes(), allowed()).ok() == Some(lines));
    }

    #[test]
    fn every_bad_line_is_named_with_column_found_and_allowed() {
        let text = format!(
            "{HEAD}2026-10,P0001,H1,11,3,41250\n2026-12,P 1,H1,11,0,-5\n2026-10,P0001,H1,11,3,41250\n2026-10,P2\n2025-11,P2,H1,11,1,1.5\n"
        );
        let found = faults(&text);
        assert_eq!(
            found,
            [
                "line 3: month: found `2026-12`; allowed: a month as YYYY-MM, 2025-12 to 2026-11",
                "line 3: cardholder: found `P 1`; allowed: 1 to 64 characters of letters, digits, `.`, `_`, `:` and `-`",
                "line 3: settlements: found `0`; allowed: a whole number, 1 to 10000",
                "line 3: amount_fen: found `-5`; allowed: a whole number, 0 to 10000000000",
                "line 4: found the month, cardholder, hospital and medical type of line 2 again; allowed: one line for each",
                "line 5: found 2 columns; allowed: 6 columns: month,cardholder,hospital,medical_type,settlements,amount_fen",
                "line 6: month: found `2025-11`; allowed: a month as YYYY-MM, 2025-12 to 2026-11",
                "line 6: amount_fen: found `1.5`; allowed: a whole number, 0 to 10000000000",
            ]
        );
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        assert!(faults("")[0].contains("an empty file"));
        assert!(faults(HEAD)[0].contains("nothing after the header"));
        assert!(faults("a,b\n1,2\n")[0].contains("found `a,b`; allowed: the header month,cardholder"));
        let mut gbk = HEAD.as_bytes().to_vec();
        gbk.extend(b"2026-10,\xd5\xc5,H1,11,1,1\n");
        let e = read(&gbk, allowed()).err().unwrap();
        assert!(e.faults[0].to_string().contains("save the file as CSV UTF-8"), "{:?}", e.faults);
    }

    #[test]
    fn of_very_many_faults_the_number_is_told() {
        let text = format!("{HEAD}{}", "x\n".repeat(500));
        let refused = read(text.as_bytes(), allowed()).err().unwrap();
        assert_eq!((refused.faults.len(), refused.count), (MOST_FAULTS, 500));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, allowed());
            let mut after = HEAD.as_bytes().to_vec();
            after.extend(&bytes);
            match read(&after, allowed()) {
                Ok(lines) => prop_assert!(!lines.is_empty()),
                Err(refused) => prop_assert!(refused.count > 0 && !refused.faults.is_empty()),
            }
        }
    }
}
