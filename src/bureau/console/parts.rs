//! Parts of pages: a table of texts.

use askama::Template;

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
