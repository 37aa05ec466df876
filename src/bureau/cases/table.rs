//! CSV for spreadsheets: UTF-8 with its mark, so that Chinese is read as Chinese, and no
//! cell that a spreadsheet would take for a formula.

/// The table as bytes.
pub fn csv(header: &[String], rows: &[Vec<String>]) -> Vec<u8> {
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
        // Writing into memory fails for a row of another length alone, and none is.
        let _ = out.write_record(row.iter().map(|cell| plain(cell)));
    }
    let mut bytes = "\u{feff}".as_bytes().to_vec();
    bytes.extend(out.into_inner().unwrap_or_default());
    bytes
}

/// A cell that begins like a formula gets a quote in front, save a negative number.
fn plain(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    if formula { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_cell_is_a_formula() {
        let row = |cells: [&str; 2]| cells.map(String::from).to_vec();
        let bytes = csv(&row(["编号", "a, \"b\""]), &[row(["=1+1", "-12.50"]), row(["-x", "ok"])]);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "\u{feff}编号,\"a, \"\"b\"\"\"\r\n'=1+1,-12.50\r\n'-x,ok\r\n");
    }
}
