//! Score distributions of one person and of two as SVG: one panel
//! above the other, on one axis from -1 to 1.
//!
//! One self-contained picture, as [`super::svg`]'s: no scripts, no names, no
//! faces. It draws what it is given and computes nothing but the bars.

use std::fmt::Write;

use crate::svg::{Scale, escape, stairs};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 40.0;
const SPAN: f64 = 560.0;
const PANEL: f64 = 190.0;
const HEAD: f64 = 60.0;
const GAP: f64 = 56.0;
const BINS: usize = 100;
const MATED: &str = "#1a56a8";
const NON_MATED: &str = "#b3261e";

/// Two distributions on one axis.
pub struct Panel<'a> {
    /// Above it.
    pub title: &'a str,
    /// Scores of templates of one person, -1 to 1.
    pub mated: &'a [f64],
    /// Scores of templates of two people, -1 to 1.
    pub non_mated: &'a [f64],
}

/// What the two distributions are called.
#[derive(Debug, Clone, Copy)]
pub struct Kinds<'a> {
    /// Of one person.
    pub mated: &'a str,
    /// Of two people.
    pub non_mated: &'a str,
    /// Of what.
    pub of: &'a str,
}

/// The picture.
pub fn to_svg(title: &str, kinds: Kinds<'_>, panels: &[Panel<'_>]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = draw(title, kinds, panels, &mut out);
    out
}

fn draw(title: &str, kinds: Kinds<'_>, panels: &[Panel<'_>], out: &mut String) -> std::fmt::Result {
    let height = HEAD + panels.len() as f64 * (PANEL + GAP) + 10.0;
    let title = escape(title);
    let [mated, non_mated, of] = [kinds.mated, kinds.non_mated, kinds.of].map(escape);
    writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" fill="#222" role="img">
<title>{title}</title>
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
<text x="{LEFT}" y="24" font-size="17">{title}</text>
<text x="{LEFT}" y="43"><tspan fill="{MATED}">{mated}</tspan> and <tspan fill="{NON_MATED}">{non_mated}</tspan> {of}, density over the cosine</text>"##
    )?;
    for (i, panel) in panels.iter().enumerate() {
        one(panel, HEAD + i as f64 * (PANEL + GAP) + 20.0, out)?;
    }
    out.push_str("</svg>\n");
    Ok(())
}

fn one(panel: &Panel<'_>, top: f64, out: &mut String) -> std::fmt::Result {
    let bottom = top + PANEL;
    let (mated, non_mated) = (shares(panel.mated), shares(panel.non_mated));
    let highest = mated.iter().chain(&non_mated).copied().fold(f64::MIN_POSITIVE, f64::max);
    writeln!(out, r#"<text x="{LEFT}" y="{:.1}">{}</text>"#, top - 6.0, escape(panel.title))?;
    for (shares, colour) in [(mated, MATED), (non_mated, NON_MATED)] {
        let y = Scale::new((0.0, highest), (bottom, top));
        let path = stairs(&shares, |bin| LEFT + SPAN * bin as f64 / BINS as f64, &y, bottom);
        let style = r#"fill-opacity="0.18" stroke-width="1.5""#;
        writeln!(out, r#"<path d="{path}" fill="{colour}" stroke="{colour}" {style}/>"#)?;
    }
    writeln!(out, r##"<path d="M{LEFT} {bottom:.1}h{SPAN}" stroke="#222"/>"##)?;
    for tick in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let x = LEFT + SPAN * (tick + 1.0) / 2.0;
        writeln!(out, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{tick}</text>"#, bottom + 17.0)?;
    }
    Ok(())
}

/// The share of the scores in each bin from -1 to 1.
fn shares(scores: &[f64]) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    for score in scores.iter().filter(|s| !s.is_nan()) {
        let at = ((score.clamp(-1.0, 1.0) + 1.0) / 2.0 * BINS as f64) as usize;
        bins[at.min(BINS - 1)] += 1.0 / scores.len() as f64;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_is_in_one_bin_and_text_is_escaped() {
        let scores = [-1.0, -0.999, 0.0, 0.5, 1.0, 1.0 + 1e-9];
        assert!((shares(&scores).iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(shares(&[]).iter().sum::<f64>(), 0.0);
        let svg = to_svg(
            "<a>",
            Kinds { mated: "m", non_mated: "n", of: "x" },
            &[Panel { title: "b & c", mated: &scores, non_mated: &[] }],
        );
        assert!(svg.contains("&lt;a&gt;") && svg.contains("b &amp; c") && svg.ends_with("</svg>\n"));
    }
}
