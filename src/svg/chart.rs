//! Charts: columns over time, lines over time, and distributions with a mark
//! between them.
//!
//! Each says what it shows beneath its title, names its series with a sample
//! beside the name, and marks its axes in round numbers. The same numbers belong
//! in a table beside it: a picture is for a first look.

use super::{Anchor, Drawing, Scale, Told, place, stairs, ticks, width_of};

const WIDTH: f64 = 560.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 548.0;
const PLOT: f64 = 190.0;
const ROW: f64 = 20.0;
/// A picture without names beside it, which narrow screens are to hold: its width, and
/// where its axis begins and ends.
const NARROW: f64 = 420.0;
const ENDS: (f64, f64) = (14.0, 406.0);
/// Names below the axis; more would run into each other.
const NAMES: usize = 6;

/// What the numbers on an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many of something.
    Count,
    /// A share of a whole, 0 to 1, written as percent.
    Share,
}

impl Unit {
    /// A value as it is written on the axis and beside a mark.
    pub fn write(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "–".to_owned(),
            Self::Share => trimmed(format!("{:.2}", value * 100.0)) + " %",
            Self::Count if value.abs() < 10.0 => trimmed(format!("{value:.2}")),
            Self::Count => grouped(value),
        }
    }
}

impl Unit {
    /// Where an axis is marked; what is counted is counted in whole numbers.
    fn ticks(self, most: f64) -> Vec<f64> {
        let mut marks = ticks(most);
        let end = marks.last().copied();
        if self == Self::Count {
            marks.retain(|mark| mark.fract() == 0.0 || Some(*mark) == end);
        }
        marks
    }
}

/// So many bytes at the beginning of each date say its year, and the same one: beneath
/// an axis it need not be said each time.
fn common_year(moments: &[String]) -> usize {
    const YEAR: usize = "2026-".len();
    let year = |date: &String| match date.parse::<jiff::civil::Date>() {
        Ok(_) => date.get(..YEAR).map(str::to_owned),
        Err(_) => None,
    };
    let first = moments.first().and_then(year);
    if first.is_some() && moments.iter().all(|date| year(date) == first) { YEAR } else { 0 }
}

/// A whole number in groups of three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(d);
    }
    out
}

fn trimmed(number: String) -> String {
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One series of a chart over time.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// What it is of.
    pub name: &'a str,
    /// One value for each moment; nothing where nothing is known.
    pub values: &'a [Option<f64>],
}

/// Series over the same moments.
#[derive(Debug, Clone, Copy)]
pub struct OverTime<'a> {
    /// What it is, for those who hear it.
    pub told: Told<'a>,
    /// The name of each moment.
    pub moments: &'a [String],
    /// At most six.
    pub series: &'a [Series<'a>],
    /// What its numbers are.
    pub unit: Unit,
}

impl OverTime<'_> {
    /// Columns, one series upon the other, the first at the bottom. What is not known is not drawn.
    pub fn columns(&self) -> String {
        let value = |s: &Series<'_>, i: usize| s.values.get(i).copied().flatten().unwrap_or(0.0).max(0.0);
        let sum = |i: usize| self.series.iter().map(|s| value(s, i)).sum::<f64>();
        let most = (0..self.moments.len()).map(sum).fold(0.0, f64::max);
        let mut frame = self.frame(most, "bar");
        let slot = (RIGHT - LEFT) / self.moments.len().max(1) as f64;
        let wide = (slot * 0.8).min(40.0);
        for (i, moment) in self.moments.iter().enumerate() {
            let (x, mut base) = (LEFT + (i as f64 + 0.5) * slot - wide / 2.0, 0.0);
            for (k, s) in self.series.iter().enumerate() {
                let top = base + value(s, i);
                let (low, high) = (frame.y.at(base), frame.y.at(top));
                base = top;
                if low - high > 0.0 {
                    let told = format!("{moment}: {} {}", s.name, self.unit.write(value(s, i)));
                    frame.drawing.rect(&class(k, "bar"), (x, high), (wide, low - high), &told);
                }
            }
        }
        frame.drawing.finish(&self.told)
    }

    /// Lines, broken where nothing is known.
    pub fn lines(&self) -> String {
        let all = self.series.iter().flat_map(|s| s.values.iter().copied().flatten());
        let most = all.filter(|v| v.is_finite()).fold(0.0, f64::max);
        let mut frame = self.frame(most, "stroke");
        let slot = (RIGHT - LEFT) / self.moments.len().max(1) as f64;
        for (k, s) in self.series.iter().enumerate() {
            let (mut path, mut drawing) = (String::new(), false);
            let mut dots = Vec::new();
            for (i, (moment, value)) in self.moments.iter().zip(s.values).enumerate() {
                let Some(value) = value.filter(|v| v.is_finite()) else {
                    drawing = false;
                    continue;
                };
                let at = (LEFT + (i as f64 + 0.5) * slot, frame.y.at(value));
                path += &format!("{}{} {}", if drawing { "L" } else { "M" }, place(at.0), place(at.1));
                drawing = true;
                dots.push((at, format!("{moment}: {} {}", s.name, self.unit.write(value))));
            }
            if !path.is_empty() {
                frame.drawing.path(&class(k, "stroke"), &path);
            }
            // A line through a hundred days needs none; a lone day would not be seen without.
            for (at, told) in dots.iter().filter(|_| dots.len() <= 62) {
                frame.drawing.dot(&class(k, "dot"), *at, told);
            }
        }
        frame.drawing.finish(&self.told)
    }

    fn frame(&self, most: f64, kind: &str) -> Frame {
        let names: Vec<&str> = self.series.iter().map(|s| s.name).collect();
        let legend = Legend::of(&names, (LEFT, RIGHT));
        let (top, bottom) = (legend.height + 8.0, legend.height + 8.0 + PLOT);
        let mut drawing = Drawing::new(WIDTH, bottom + 26.0);
        legend.draw(&mut drawing, kind);
        let marks = self.unit.ticks(most);
        let y = Scale::new((0.0, marks.last().copied().unwrap_or(1.0)), (bottom, top));
        for mark in marks {
            let at = y.at(mark);
            drawing.line(if mark == 0.0 { "axis" } else { "grid" }, (LEFT, at), (RIGHT, at));
            drawing.text("", (LEFT - 6.0, at + 4.5), Anchor::End, &self.unit.write(mark));
        }
        let slot = (RIGHT - LEFT) / self.moments.len().max(1) as f64;
        let every = self.moments.len().div_ceil(NAMES).max(1);
        let year = common_year(self.moments);
        for (i, name) in self.moments.iter().enumerate().step_by(every) {
            let name = name.get(year..).unwrap_or(name);
            drawing.text("", (LEFT + (i as f64 + 0.5) * slot, bottom + 19.0), Anchor::Middle, name);
        }
        Frame { drawing, y }
    }
}

struct Frame {
    drawing: Drawing,
    y: Scale,
}

/// The class of a series: `s1` to `s6`, and how it is drawn.
fn class(series: usize, kind: &str) -> String {
    format!("s{} {kind}", series % 6 + 1)
}

/// Names of series with a sample each, in as many rows as they need.
struct Legend<'a> {
    places: Vec<(f64, f64, &'a str)>,
    height: f64,
}

impl<'a> Legend<'a> {
    fn of(names: &[&'a str], (left, right): (f64, f64)) -> Self {
        let (mut x, mut row) = (left, 0.0);
        let mut places = Vec::new();
        for name in names {
            let wide = 18.0 + width_of(name) + 16.0;
            if x > left && x + wide > right {
                (x, row) = (left, row + 1.0);
            }
            places.push((x, 14.0 + row * ROW, *name));
            x += wide;
        }
        let rows = if names.is_empty() { 0.0 } else { row + 1.0 };
        Self { places, height: rows * ROW }
    }

    fn draw(&self, drawing: &mut Drawing, kind: &str) {
        for (k, (x, y, name)) in self.places.iter().enumerate() {
            if kind == "stroke" {
                drawing.line(&class(k, kind), (*x, y - 4.5), (x + 13.0, y - 4.5));
            } else {
                drawing.rect(&format!("{} legend", class(k, kind)), (*x, y - 10.0), (11.0, 11.0), "");
            }
            drawing.text("", (x + 18.0, *y), Anchor::Start, name);
        }
    }
}

/// Distributions over one axis, and where one value lies between them.
#[derive(Debug, Clone, Copy)]
pub struct Spread<'a> {
    /// What it is, for those who hear it.
    pub told: Told<'a>,
    /// Lower and upper end of the axis.
    pub axis: (f64, f64),
    /// The share of each bin, all bins equally wide, from end to end; with what it is of.
    pub distributions: &'a [(&'a str, &'a [f64])],
    /// Lines across, with what each is: a value, a threshold.
    pub marks: &'a [(&'a str, f64)],
}

impl<'s> Spread<'s> {
    /// The picture.
    pub fn draw(&self) -> String {
        let names: Vec<&str> = self.distributions.iter().map(|(name, _)| *name).collect();
        let legend = Legend::of(&names, ENDS);
        let top = legend.height + 8.0 + ROW * self.marks.len() as f64;
        let bottom = top + PLOT * 0.6;
        let mut drawing = Drawing::new(NARROW, bottom + 26.0);
        legend.draw(&mut drawing, "area");
        let x = Scale::new(self.axis, ENDS);
        for (k, (_, shares)) in self.distributions.iter().enumerate() {
            // Each to its own height: a wide distribution is as much to be seen as a narrow one.
            let most = shares.iter().copied().filter(|s| s.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
            let y = Scale::new((0.0, most), (bottom, top));
            let bins = shares.len().max(1) as f64;
            let border = |i: usize| ENDS.0 + (ENDS.1 - ENDS.0) * i as f64 / bins;
            drawing.path(&class(k, "area"), &stairs(shares, border, &y, bottom));
        }
        drawing.line("axis", (ENDS.0, bottom), (ENDS.1, bottom));
        for value in quarters(self.axis) {
            let name = trimmed(format!("{value:.2}"));
            drawing.text("", (x.at(value), bottom + 17.0), Anchor::Middle, &name);
        }
        for (row, (n, name, at, anchor)) in self.rows_of_marks(&x).into_iter().enumerate() {
            let head = legend.height + 16.0 + ROW * row as f64;
            drawing.line(&format!("mark m{}", n % 3 + 1), (at, head + 4.0), (at, bottom));
            drawing.text("", (at, head), anchor, name);
        }
        drawing.finish(&self.told)
    }

    /// The marks from the top row down, each with its place and the side of its name. Names
    /// stand to the left of their lines where there is room, the rightmost on top: so no
    /// line runs through a name.
    fn rows_of_marks(&self, x: &Scale) -> Vec<(usize, &'s str, f64, Anchor)> {
        let row = |(n, &(name, value)): (usize, &(&'s str, f64))| {
            let at = x.at(value);
            (n, name, at, if at > width_of(name) { Anchor::End } else { Anchor::Start })
        };
        let mut rows: Vec<_> = self.marks.iter().enumerate().map(row).collect();
        rows.sort_by(|a, b| (b.3 == Anchor::Start).cmp(&(a.3 == Anchor::Start)).then(b.2.total_cmp(&a.2)));
        rows
    }
}

/// The multiples of a quarter from end to end of an axis; of a half where it is long.
fn quarters((from, to): (f64, f64)) -> impl Iterator<Item = f64> {
    let step = if to - from > 1.5 { 0.5 } else { 0.25 };
    let first = (from / step - 1e-9).ceil();
    let count = ((to / step + 1e-9).floor() - first).clamp(0.0, 20.0) as u32;
    // Added to 0, so that there is no -0.
    (0..=count).map(move |i| (first + f64::from(i)) * step + 0.0)
}

/// The chart's numbers as rows of a table, for whoever cannot see it: the moment, then each series.
pub fn rows(chart: &OverTime<'_>) -> Vec<(String, Vec<String>)> {
    let cell = |s: &Series<'_>, i: usize| s.values.get(i).copied().flatten().map(|v| chart.unit.write(v));
    let row = |(i, m): (usize, &String)| {
        (m.clone(), chart.series.iter().map(|s| cell(s, i).unwrap_or_else(|| "–".into())).collect())
    };
    chart.moments.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::well_formed;
    use super::*;
    use proptest::prelude::*;

    const TOLD: Told<'static> = Told { id: "t", title: "T", description: "D" };

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0.0, 2.5, 1234.0, 1_234_567.0].map(|v| Unit::Count.write(v)),
            ["0", "2.5", "1,234", "1,234,567"]
        );
        assert_eq!([0.0, 0.005, 1.0].map(|v| Unit::Share.write(v)), ["0 %", "0.5 %", "100 %"]);
    }

    #[test]
    fn columns_stand_upon_each_other_and_words_are_escaped() {
        let moments = ["11-01".to_owned(), "11-02".to_owned()];
        let series = [
            Series { name: "match <b>", values: &[Some(3.0), None] },
            Series { name: "mismatch", values: &[Some(1.0), Some(0.0)] },
        ];
        let chart = OverTime { told: TOLD, moments: &moments, series: &series, unit: Unit::Count };
        let svg = chart.columns();
        // Two samples in the legend and two columns; what is nothing is not drawn.
        assert_eq!(svg.matches("<rect").count(), 4, "{svg}");
        assert!(well_formed(&svg) && svg.contains("match &lt;b&gt;"), "{svg}");
        assert_eq!(rows(&chart)[1], ("11-02".to_owned(), vec!["–".to_owned(), "0".to_owned()]));
    }

    #[test]
    fn an_axis_counts_in_whole_numbers_and_says_a_common_year_once() {
        assert_eq!(Unit::Count.ticks(2.0), [0.0, 1.0, 2.0]);
        assert_eq!(Unit::Count.ticks(0.0), [0.0, 1.0]);
        assert!(Unit::Share.ticks(1.0).len() > 2);
        let days = |days: &[&str]| days.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>();
        assert_eq!(common_year(&days(&["2026-11-01", "2026-11-02"])), 5);
        assert_eq!(common_year(&days(&["2026-12-31", "2027-01-01"])), 0);
        assert_eq!(common_year(&days(&["2026-11", "2026-12"])), 0);
    }

    #[test]
    fn a_line_is_broken_where_nothing_is_known() {
        let moments: Vec<String> = (1..=5).map(|d| d.to_string()).collect();
        let values = [Some(0.5), Some(0.6), None, Some(0.1), None];
        let series = [Series { name: "a", values: &values }];
        let svg = OverTime { told: TOLD, moments: &moments, series: &series, unit: Unit::Share }.lines();
        let line = svg.lines().filter(|l| l.contains("s1 stroke")).nth(1).unwrap();
        assert_eq!((line.matches('M').count(), line.matches('L').count()), (2, 1), "{line}");
    }

    #[test]
    fn a_mark_lies_where_its_value_does() {
        let shares = [0.0, 1.0];
        let spread = Spread {
            told: TOLD,
            axis: (-1.0, 1.0),
            distributions: &[("genuine", &shares), ("impostor", &shares)],
            marks: &[("this one: 0.12", 0.12), ("threshold", 0.3)],
        };
        let svg = spread.draw();
        let at = place(ENDS.0 + (ENDS.1 - ENDS.0) * 0.56);
        assert!(well_formed(&svg) && svg.contains(&format!(r#"class="mark m1" d="M{at} "#)), "{svg}");
    }

    #[test]
    fn an_axis_of_scores_is_marked_in_halves_or_quarters() {
        assert!(quarters((-1.0, 1.0)).eq([-1.0, -0.5, 0.0, 0.5, 1.0]));
        assert!(quarters((-0.25, 1.0)).eq([-0.25, 0.0, 0.25, 0.5, 0.75, 1.0]));
        assert!(quarters((-0.4, 1.0)).map(|v| v.to_string()).nth(1) == Some("0".into()));
    }

    #[test]
    fn no_line_runs_through_the_name_of_a_mark() {
        let marks = [("this alert: 0.19", 0.19), ("mismatch up to 0.35", 0.35), ("match from 0.55", 0.55)];
        let spread = Spread { told: TOLD, axis: (-1.0, 1.0), distributions: &[], marks: &marks };
        let rows = spread.rows_of_marks(&Scale::new((-1.0, 1.0), ENDS));
        assert!(rows.iter().map(|r| r.0).eq([2, 1, 0]), "{rows:?}");
        for (row, (_, name, at, anchor)) in rows.iter().enumerate() {
            assert_eq!(*anchor, Anchor::End);
            let text = at - width_of(name)..*at;
            // Lines that begin in a row above run past this one.
            assert!(rows[..row].iter().all(|above| !text.contains(&above.2)), "{rows:?}");
        }
    }

    proptest! {
        #[test]
        fn any_numbers_make_a_picture(values in proptest::collection::vec(proptest::option::of(proptest::num::f64::ANY), 0..40)) {
            let moments: Vec<String> = (0..values.len()).map(|i| i.to_string()).collect();
            let series = [Series { name: "a", values: &values }, Series { name: "b", values: &[] }];
            let chart = OverTime { told: TOLD, moments: &moments, series: &series, unit: Unit::Count };
            prop_assert!(well_formed(&chart.columns()) && well_formed(&chart.lines()));
            let raw: Vec<f64> = values.iter().map(|v| v.unwrap_or(0.0)).collect();
            let marks = [("x", raw.first().copied().unwrap_or(f64::NAN))];
            let spread = Spread { told: TOLD, axis: (-1.0, 1.0), distributions: &[("a", &raw)], marks: &marks };
            prop_assert!(well_formed(&spread.draw()));
        }
    }
}
