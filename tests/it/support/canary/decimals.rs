//! Numbers written as text: lists of them are compared with the embeddings.
//!
//! Any numbers with a fraction that follow each other, with up to [`GAP`] other
//! bytes between them, are taken for a list. How many must fit in a row depends
//! on how many digits each was written with: two with six digits or more, three
//! with four or five, four with three. Fewer digits than three say nothing. A
//! number with twelve or more is an f32 written as f64: one that is exactly a
//! value of ours says enough, in whatever order they stand.

use std::collections::HashMap;

use super::needles::Class;

/// Bytes that may lie between two numbers of a list: a name, a quote, a line end.
const GAP: usize = 64;

/// Embeddings as numbers.
#[derive(Default)]
pub struct Decimals {
    lists: Vec<List>,
    /// By value in thousandths: list and place.
    index: HashMap<i64, Vec<(u32, u16)>>,
}

struct List {
    class: Class,
    form: &'static str,
    of: u32,
    values: Vec<f64>,
}

/// A number in a text.
#[derive(Clone, Copy)]
struct Written {
    value: f64,
    /// Half a unit of the last digit, and a little for f32.
    doubt: f64,
    digits: usize,
    end: usize,
}

impl Decimals {
    pub fn add(&mut self, class: Class, form: &'static str, of: u32, values: &[f32]) {
        let list = self.lists.len() as u32;
        for (place, v) in values.iter().enumerate() {
            self.index.entry(thousandths(f64::from(*v))).or_default().push((list, place as u16));
        }
        let values = values.iter().map(|v| f64::from(*v)).collect();
        self.lists.push(List { class, form, of, values });
    }

    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Calls `found` for each run of numbers that fits one of the lists.
    pub fn search(&self, text: &[u8], mut found: impl FnMut(Class, &'static str, u32)) {
        let mut chain: Vec<Written> = Vec::new();
        let mut from = 0;
        while let Some(point) = text.get(from..).and_then(|t| t.iter().position(|b| *b == b'.')) {
            let point = from + point;
            from = point + 1;
            let Some((start, number)) = written(text, point) else { continue };
            from = number.end;
            if chain.last().is_some_and(|last| start - last.end.min(start) > GAP) || number.digits < 3 {
                chain.clear();
            }
            chain.push(number);
            let needed = match chain.iter().rev().take(4).map(|n| n.digits).min() {
                Some(6..) => 2,
                Some(4..=5) => 3,
                _ => 4,
            };
            let run = chain.len().checked_sub(needed).and_then(|at| chain.get(at..)).unwrap_or_default();
            let alone = chain.last().and_then(|n| self.is_exactly(n));
            if let Some(list) = self.fits(run).or(alone) {
                found(list.class, list.form, list.of);
            }
            if chain.len() > 8 {
                chain.drain(..4);
            }
        }
    }

    fn is_exactly(&self, number: &Written) -> Option<&List> {
        if number.digits < 12 {
            return None;
        }
        // A value on the edge of two thousandths rounds alike, being the same number.
        self.index.get(&thousandths(number.value))?.iter().find_map(|(list, place)| {
            let list = self.lists.get(*list as usize)?;
            let value = list.values.get(usize::from(*place))?;
            ((number.value - value).abs() <= 1e-12).then_some(list)
        })
    }

    fn fits(&self, run: &[Written]) -> Option<&List> {
        let first = run.first()?;
        let near = (thousandths(first.value) - 1)..=(thousandths(first.value) + 1);
        near.filter_map(|key| self.index.get(&key)).flatten().find_map(|(list, place)| {
            let list = self.lists.get(*list as usize)?;
            let values = list.values.get(usize::from(*place)..)?;
            let fits = |(n, v): (&Written, &f64)| (n.value - v).abs() <= n.doubt;
            (values.len() >= run.len() && run.iter().zip(values).all(fits)).then_some(list)
        })
    }
}

fn thousandths(v: f64) -> i64 {
    (v * 1000.0).round() as i64
}

/// The number around a point: where it starts, and what it says.
fn written(text: &[u8], point: usize) -> Option<(usize, Written)> {
    const LONGEST: usize = 20;
    let digit = |i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
    let mut start = point;
    while start > 0 && point - start < LONGEST && digit(start - 1) {
        start -= 1;
    }
    let mut end = point + 1;
    while end - point < LONGEST && digit(end) {
        end += 1;
    }
    if start == point || end == point + 1 {
        return None;
    }
    if start > 0 && text.get(start - 1) == Some(&b'-') {
        start -= 1;
    }
    let mut exponent = 0i32;
    let digits = end - point - 1;
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(text.get(end + 1) == Some(&b'-'));
        let mut stop = end + 1 + sign;
        while stop - end < 5 && digit(stop) {
            stop += 1;
        }
        if stop > end + 1 + sign {
            exponent = std::str::from_utf8(text.get(end + 1..stop)?).ok()?.parse().ok()?;
            end = stop;
        }
    }
    let value: f64 = std::str::from_utf8(text.get(start..end)?).ok()?.parse().ok()?;
    let places = digits as i32 - exponent;
    let doubt = 0.51 * 10f64.powi(-places) + value.abs() * 1e-6;
    // "1.5e-3" has as much to say as "0.0015".
    let digits = usize::try_from(places).unwrap_or(0);
    Some((start, Written { value, doubt, digits, end }))
}
