//! Numbers of cases, letters, transfers that come in, and reports: one series each,
//! beginning anew each year in China, without gaps.
//!
//! What keeps them without gaps is the store: a number is taken in the transaction that
//! uses it.

use std::fmt;
use std::str::FromStr;

/// A series of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// Cases.
    Case,
    /// Transfers that come in.
    Incoming,
    /// Reports of the public.
    Report,
    /// Letters of transfer.
    Letter,
}

impl Series {
    const ALL: [Self; 4] = [Self::Case, Self::Incoming, Self::Report, Self::Letter];

    /// Its letter: C2026-0001 is a case.
    pub const fn letter(self) -> char {
        match self {
            Self::Case => 'C',
            Self::Incoming => 'I',
            Self::Report => 'R',
            Self::Letter => 'L',
        }
    }
}

/// One number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    /// Of which series.
    pub series: Series,
    /// Year in China.
    pub year: i16,
    /// From 1 on.
    pub n: u32,
}

impl Number {
    /// A letter's number as it is printed: `×局（委）案移字〔2026〕3号`.
    pub fn printed(self, prefix: &str) -> String {
        format!("{prefix}〔{}〕{}号", self.year, self.n)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:04}-{:04}", self.series.letter(), self.year, self.n)
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut chars = text.chars();
            let first = chars.next()?;
            let series = Series::ALL.into_iter().find(|s| s.letter() == first)?;
            let (year, n) = chars.as_str().split_once('-')?;
            let number = Self { series, year: year.parse().ok()?, n: n.parse().ok()? };
            // One way to write a number.
            (number.to_string() == text && number.n > 0).then_some(number)
        };
        read().ok_or_else(|| {
            let found: String = text.chars().take(40).collect();
            format!("found `{}`; allowed: a number such as C2026-0001", found.escape_debug())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read_in_one_way() {
        let number = Number { series: Series::Case, year: 2026, n: 7 };
        assert_eq!(number.to_string(), "C2026-0007");
        assert_eq!("C2026-0007".parse(), Ok(number));
        assert_eq!("R2026-12345".parse::<Number>().unwrap().n, 12_345);
        for wrong in ["", "C2026-7", "C2026-0000", "X2026-0001", "C26-0001", "C2026-00x1", "C2026"] {
            assert!(wrong.parse::<Number>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_letter_is_numbered_as_the_form_wants_it() {
        let number = Number { series: Series::Letter, year: 2026, n: 3 };
        assert_eq!(number.printed("×局（委）案移字"), "×局（委）案移字〔2026〕3号");
    }
}
