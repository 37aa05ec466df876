//! A small CSV file that people make, read whole or not at all.
//!
//! Promises: every line is checked, every fault is told with its line, and a file with a
//! fault gives nothing. The form: UTF-8, comma-separated, with a header.

use std::collections::BTreeSet;
use std::path::Path;

use zeroize::Zeroizing;

use super::BureauError;

/// So many faults are told; who reads more mends these first.
const MOST_FAULTS: usize = 20;
/// Largest file, in bytes: names of every hospital, or a city's certificates.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// Reads a file: `one` makes something of a line, `name` says what may stand there once.
///
/// # Errors
/// If the file cannot be read or is too long; else every fault, with its line.
pub(super) fn read_file<T, const N: usize>(
    file: &Path,
    header: [&str; N],
    one: impl Fn([&str; N]) -> Result<T, String>,
    name: impl Fn(&T) -> String,
) -> Result<Vec<T>, BureauError> {
    let place = file.display();
    let refuse = |what: String| BureauError::Command(format!("{place}: {what}"));
    let length = std::fs::metadata(file).map_err(|e| refuse(e.to_string()))?.len();
    if length > MOST_BYTES {
        return Err(refuse(format!("{length} bytes; allowed: {MOST_BYTES}. Split the file")));
    }
    let bytes = Zeroizing::new(std::fs::read(file).map_err(|e| refuse(e.to_string()))?);
    read(&bytes, header, one, name).map_err(|faults| {
        let told: String = faults.iter().take(MOST_FAULTS).map(|f| format!("\n  {place}:{f}")).collect();
        BureauError::Command(format!("{} faults; nothing was imported:{told}", faults.len()))
    })
}

/// The things of a file, or every fault as `LINE: what`.
fn read<T, const N: usize>(
    bytes: &[u8],
    header: [&str; N],
    one: impl Fn([&str; N]) -> Result<T, String>,
    name: impl Fn(&T) -> String,
) -> Result<Vec<T>, Vec<String>> {
    // What spreadsheets put before their text.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let found = lines.headers().cloned().map_err(|e| vec![format!("1: {e}")])?;
    if found.iter().ne(header) {
        let found = found.iter().take(8).collect::<Vec<_>>().join(",").escape_debug().to_string();
        return Err(vec![format!("1: found the header `{found}`; expected {}", header.join(","))]);
    }
    let (mut things, mut faults, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in lines.records() {
        let number = match &line {
            Ok(record) => record.position().map_or(0, csv::Position::line),
            Err(e) => e.position().map_or(0, csv::Position::line),
        };
        let fields = line.map_err(|e| e.to_string()).and_then(|record| {
            let fields: Vec<&str> = record.iter().collect();
            let found = fields.len();
            let fields = fields.try_into().map_err(|_| format!("found {found} fields; expected {N}"))?;
            one(fields)
        });
        match fields {
            Ok(thing) if !seen.insert(name(&thing)) => {
                faults.push(format!("{number}: {} stands in the file twice", name(&thing)));
            }
            Ok(thing) => things.push(thing),
            Err(what) => faults.push(format!("{number}: {what}")),
        }
    }
    if faults.is_empty() { Ok(things) } else { Err(faults) }
}
