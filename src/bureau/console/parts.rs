//! Parts of pages: a word with its weight, a table of texts, a form without fields, a
//! file to take along.

use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// A word with its weight: `good`, `watch`, `bad`, `quiet`, or empty for a plain one.
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
    /// Each row's cells with the names of their columns, for narrow screens.
    fn cells<'s>(&'s self, cells: &'s [String]) -> impl Iterator<Item = (&'s String, &'s String)> {
        self.head.iter().skip(1).zip(cells)
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
