//! Many rows in one statement.
//!
//! A statement is prepared once for each of its texts, so the texts are few: rows are
//! taken in portions of 64, 32, 16, … and 1.

use std::fmt::Write;

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Encode, SqlSafeStr, Type};

use super::engine::Db;

/// Most rows in one statement.
const MOST: usize = 64;

/// The arguments of a statement as they are bound.
pub(super) type Asked<'q> = Query<'q, Db, <Db as sqlx::Database>::Arguments>;

/// Splits into portions whose sizes are powers of two.
pub(super) fn portions<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = match all.len() {
            0 => return None,
            n if n >= MOST => MOST,
            n => 1 << n.ilog2(),
        };
        let (now, later) = all.split_at(size);
        all = later;
        Some(now)
    })
}

/// A statement with so many rows of so many columns between head and tail.
pub(super) fn rows(head: &str, columns: usize, rows: usize, tail: &str) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + rows * columns * 6);
    sql.push_str(head);
    for row in 0..rows {
        sql.push_str(if row == 0 { " (" } else { ", (" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { ", " };
            // Writing into a string does not fail.
            let _ = write!(sql, "{comma}${}", row * columns + column);
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

/// A statement made by [`rows`]; nothing in it came from outside.
pub(super) fn made(sql: String) -> impl SqlSafeStr {
    AssertSqlSafe(sql)
}

/// Binds a list of values, one after the other.
pub(super) fn bind_all<'q, T>(query: Asked<'q>, values: impl IntoIterator<Item = T>) -> Asked<'q>
where
    T: 'q + Encode<'q, Db> + Type<Db>,
{
    values.into_iter().fold(query, Query::bind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_portion_and_there_are_few_sizes() {
        for n in 0..300 {
            let all: Vec<usize> = (0..n).collect();
            let portions: Vec<_> = portions(&all).collect();
            assert_eq!(portions.concat(), all);
            assert!(portions.iter().all(|p| p.len().is_power_of_two() && p.len() <= MOST));
        }
        assert_eq!(rows("VALUES", 2, 2, "x"), "VALUES ($1, $2), ($3, $4) x");
    }
}
