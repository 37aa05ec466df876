//! Amounts: kept in fen, written in yuan.

/// An amount in yuan with two decimals and without separators, as tables and CSV have
/// it: `-12.05`.
pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fen_become_yuan_to_the_last_one() {
        let written = [0, 5, 41_250, 500_000, -1205, i64::MIN].map(yuan);
        assert_eq!(written[..5], ["0.00", "0.05", "412.50", "5000.00", "-12.05"]);
        assert_eq!(written[5], "-92233720368547758.08");
    }
}
