//! A DET curve as SVG: FMR against FNMR on normal-deviate axes, on which the
//! curve of two normal score distributions is a straight line.
//!
//! One self-contained picture that any browser shows: no scripts, no fonts of
//! its own, no names, no faces. It draws what it is given and computes no rate.

use std::fmt::Write;

use super::rates::Point;
use crate::svg::escape;

const SIZE: f64 = 640.0;
const LEFT: f64 = 78.0;
const TOP: f64 = 56.0;
const SIDE: f64 = 500.0;
/// Rates at which the axes are marked, in percent.
const TICKS: [f64; 11] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
const HIGHEST: f64 = 0.4;

/// Text and figures of a DET curve.
pub struct Det<'a> {
    /// Above the curve.
    pub title: &'a str,
    /// Below the title: what was measured, on how much.
    pub subtitle: &'a str,
    /// The curve.
    pub curve: &'a [Point],
    /// The equal error rate, marked on the diagonal.
    pub eer: Option<f64>,
    /// Smallest rate that the data can show: one error among all pairs.
    pub resolution: f64,
}

/// Rate to the normal deviate: `x` with that share of a standard normal
/// distribution below it, for shares from 1e-7 to 1 - 1e-7.
pub fn deviate(share: f64) -> f64 {
    let share = share.clamp(1e-7, 1.0 - 1e-7);
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..60 {
        let mid = f64::midpoint(low, high);
        if below(mid) < share { low = mid } else { high = mid }
    }
    f64::midpoint(low, high)
}

/// Share of a standard normal distribution below `x`: the Taylor series of the
/// integral from 0, whose terms each follow from the one before.
fn below(x: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

struct Axes {
    low: f64,
    high: f64,
}

impl Axes {
    fn over(resolution: f64) -> Self {
        let lowest = TICKS.iter().map(|t| t / 100.0).rfind(|t| *t <= resolution).unwrap_or(1e-4);
        Self { low: deviate(lowest.min(0.01)), high: deviate(HIGHEST) }
    }

    fn along(&self, rate: f64) -> f64 {
        SIDE * (deviate(rate).clamp(self.low, self.high) - self.low) / (self.high - self.low)
    }

    fn x(&self, fmr: f64) -> f64 {
        LEFT + self.along(fmr)
    }

    fn y(&self, fnmr: f64) -> f64 {
        TOP + SIDE - self.along(fnmr)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        TICKS
            .iter()
            .map(|t| t / 100.0)
            .chain([HIGHEST])
            .filter(|t| (self.low - 1e-6..self.high + 1e-6).contains(&deviate(*t)))
    }
}

impl Det<'_> {
    /// The picture.
    pub fn to_svg(&self) -> String {
        let axes = Axes::over(self.resolution);
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.draw(&axes, &mut out);
        out
    }

    fn draw(&self, axes: &Axes, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" font-family="sans-serif" font-size="13" fill="#222" role="img">"##
        )?;
        writeln!(out, "<title>{}</title>", escape(self.title))?;
        writeln!(out, r##"<rect width="{SIZE}" height="{SIZE}" fill="#fff"/>"##)?;
        writeln!(out, r#"<text x="{LEFT}" y="24" font-size="17">{}</text>"#, escape(self.title))?;
        writeln!(out, r##"<text x="{LEFT}" y="43" fill="#555">{}</text>"##, escape(self.subtitle))?;
        grid(axes, out)?;
        self.curve(axes, out)?;
        if let Some(eer) = self.eer {
            let (x, y) = (axes.x(eer), axes.y(eer));
            writeln!(out, r##"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="#b3261e"/>"##)?;
            let (x, y) = (x + 10.0, y - 8.0);
            writeln!(out, r##"<text x="{x:.1}" y="{y:.1}" fill="#b3261e">EER {} %</text>"##, number(eer))?;
        }
        out.push_str("</svg>\n");
        Ok(())
    }

    fn curve(&self, axes: &Axes, out: &mut String) -> std::fmt::Result {
        let (mut path, mut last) = (String::new(), None);
        for p in self.curve {
            let (x, y) = (axes.x(p.fmr), axes.y(p.fnmr));
            // A step at a time, as the data has it: a slanted line would show rates nobody measured.
            match last {
                None => write!(path, "M{x:.1} {y:.1}")?,
                Some((lx, ly)) if f64::hypot(x - lx, y - ly) < 0.05 => continue,
                Some(_) => write!(path, "H{x:.1}V{y:.1}")?,
            }
            last = Some((x, y));
        }
        writeln!(out, r##"<path d="{path}" fill="none" stroke="#1a56a8" stroke-width="2"/>"##)
    }
}

fn grid(axes: &Axes, out: &mut String) -> std::fmt::Result {
    let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
    writeln!(out, r##"<g stroke="#ddd">"##)?;
    for t in axes.ticks() {
        let (x, y) = (axes.x(t), axes.y(t));
        writeln!(out, r#"<path d="M{x:.1} {TOP}V{bottom}M{LEFT} {y:.1}H{right}"/>"#)?;
    }
    writeln!(out, "</g>")?;
    writeln!(
        out,
        r##"<path d="M{LEFT} {bottom}L{right} {TOP}" stroke="#bbb" stroke-dasharray="4 4"/>
<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#222"/>"##
    )?;
    for t in axes.ticks() {
        let (x, y) = (axes.x(t), axes.y(t));
        let (below, beside, level) = (bottom + 18.0, LEFT - 7.0, y + 4.5);
        let text = number(t);
        writeln!(out, r#"<text x="{x:.1}" y="{below}" text-anchor="middle">{text}</text>"#)?;
        writeln!(out, r#"<text x="{beside}" y="{level:.1}" text-anchor="end">{text}</text>"#)?;
    }
    let (middle, foot, centre) = (LEFT + SIDE / 2.0, bottom + 44.0, TOP + SIDE / 2.0);
    writeln!(
        out,
        r#"<text x="{middle}" y="{foot}" text-anchor="middle">False match rate (impostor pairs accepted), %</text>
<text x="20" y="{centre}" text-anchor="middle" transform="rotate(-90 20 {centre})">False non-match rate (genuine pairs refused), %</text>"#
    )
}

/// A rate in percent, without the sign.
fn number(rate: f64) -> String {
    let text = format!("{:.3}", rate * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn deviates_of_known_shares() {
        for (share, x) in [(0.5, 0.0), (0.975, 1.959_964), (0.01, -2.326_348), (0.0001, -3.719_016)] {
            assert!((deviate(share) - x).abs() < 1e-5, "{share}: {}", deviate(share));
        }
    }

    #[test]
    fn markup_in_a_title_is_shown_as_text() {
        let det = Det { title: "<a>&", subtitle: "", curve: &[], eer: None, resolution: 1e-3 };
        let svg = det.to_svg();
        assert!(svg.contains("&lt;a&gt;&amp;") && !svg.contains("<a>"));
    }

    #[test]
    fn the_axes_reach_down_to_what_the_data_can_show() {
        let svg =
            |resolution| Det { title: "", subtitle: "", curve: &[], eer: Some(0.01), resolution }.to_svg();
        assert!(svg(1.0 / 3000.0).contains(">0.02<"));
        assert!(!svg(1.0 / 100.0).contains(">0.5<"));
    }

    proptest! {
        #[test]
        fn every_point_lies_inside_the_axes(fmr in 0f64..=1.0, fnmr in 0f64..=1.0, resolution in 1e-6f64..0.5) {
            let axes = Axes::over(resolution);
            let (x, y) = (axes.x(fmr), axes.y(fnmr));
            prop_assert!((LEFT - 1e-6..=LEFT + SIDE + 1e-6).contains(&x));
            prop_assert!((TOP - 1e-6..=TOP + SIDE + 1e-6).contains(&y));
        }

        #[test]
        fn a_larger_share_has_a_larger_deviate(a in 1e-6f64..0.999, by in 1e-4f64..1e-3) {
            prop_assert!(deviate(a) < deviate(a + by));
        }
    }
}
