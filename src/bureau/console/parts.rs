//! Parts of pages: a word with its weight, a table of texts, a form without fields, a
//! file to take along.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::words::Words;
use crate::bureau::review::Claim;
use crate::bureau::store::{Store, StoreError};
use crate::protocol::id::HospitalId;

/// A word with its weight: `good`, `watch`, `bad`, `quiet`, or empty for a plain one; or
/// with its sign ([`claim`]).
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// What stands there.
    pub(super) text: String,
    /// How it looks.
    pub(super) class: &'static str,
}

impl Mark {
    /// This word with this weight.
    pub(super) const fn new(text: String, class: &'static str) -> Self {
        Self { text, class }
    }
}

/// What an alert claims, told apart by its word and its sign, and not by colour.
pub(super) fn claim(words: &Words, claim: Claim) -> Mark {
    let class = match claim {
        Claim::Mismatch => "claim mismatch",
        Claim::Absent => "claim absent",
    };
    Mark::new(words.word("claim", claim.as_str()), class)
}

/// What hospitals are called.
pub(super) struct HospitalNames(BTreeMap<HospitalId, String>);

impl HospitalNames {
    /// Of every hospital that is known.
    pub(super) async fn of(store: &Store) -> Result<Self, StoreError> {
        let known = store.hospitals().await?;
        Ok(Self(known.into_iter().map(|h| (h.code, h.name)).collect()))
    }

    /// A hospital's name; its code if it is not known.
    pub(super) fn name(&self, code: &HospitalId) -> String {
        self.0.get(code).cloned().unwrap_or_else(|| code.to_string())
    }
}

/// A form without fields of its own.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// An answer that browsers keep as a file of this name.
pub(super) fn file(kind: &'static str, name: &str, body: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body)
        .into_response()
}

/// The kind of a JSON file.
pub(super) const JSON: &str = "application/json";
/// The kind of a table.
pub(super) const CSV: &str = "text/csv; charset=utf-8";

/// What stands where there is no number.
const NOTHING: &str = "–";

/// Whether a cell begins with a number and says nothing else in words.
fn is_number(cell: &str) -> bool {
    let first = cell.split_whitespace().next().unwrap_or_default().replace(',', "");
    first.parse::<f64>().is_ok() && !cell.contains(|c: char| c.is_alphabetic())
}

/// A table whose first column names each row.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "console/table.html")]
pub(super) struct Table {
    /// What it is.
    pub(super) caption: String,
    /// The name of each column, the first one's too.
    pub(super) head: Vec<String>,
    /// The rows; as many cells as columns after the first.
    pub(super) rows: Vec<(String, Vec<String>)>,
    /// Where each row's name leads; of a table of mere numbers it leads nowhere.
    pub(super) links: Vec<String>,
    /// What stands there if there are none.
    pub(super) empty: String,
}

impl Table {
    /// Each row's cells with the names of their columns, for narrow screens, and the class
    /// of their column.
    fn cells<'s>(
        &'s self,
        cells: &'s [String],
    ) -> impl Iterator<Item = (&'s String, &'s String, &'static str)> {
        let named = self.head.iter().skip(1).zip(cells);
        named.enumerate().map(|(column, (name, cell))| (name, cell, self.class(column)))
    }

    /// The names of the columns, each with its class.
    fn heads(&self) -> impl Iterator<Item = (&String, &'static str)> {
        self.head.iter().enumerate().map(|(i, name)| (name, i.checked_sub(1).map_or("", |c| self.class(c))))
    }

    /// The class of a column after the first: numbers stand below each other by their end.
    fn class(&self, column: usize) -> &'static str {
        let mut cells = self.rows.iter().filter_map(|(_, cells)| cells.get(column)).map(String::as_str);
        if cells.all(|cell| cell == NOTHING || is_number(cell)) { "number" } else { "" }
    }

    /// Where the name of a row leads, counted from 0.
    fn link(&self, row: usize) -> Option<&String> {
        self.links.get(row)
    }

    /// The name of the first column.
    fn first(&self) -> &str {
        self.head.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_numbers_alone_is_set_as_numbers() {
        let row = |cells: [&str; 4]| ("a".to_owned(), cells.map(str::to_owned).to_vec());
        let table = Table {
            rows: vec![
                row(["1,200", "–", "2026-11-22", "12"]),
                row(["3", "0.5 % (0.1 % – 2 %)", "–", "red"]),
            ],
            ..Table::default()
        };
        assert_eq!([0, 1, 2, 3].map(|column| table.class(column)), ["number", "number", "", ""]);
    }
}
