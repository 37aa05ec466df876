//! Pictures of numbers as SVG, written as text.
//!
//! Promises: what comes out is well-formed whatever the words in it are; every
//! picture has a title and a description for those who hear it; no script, no
//! `style` attribute (a strict Content-Security-Policy refuses one inside a page),
//! no font, no address. Coordinates are finite: what is no number is drawn at the
//! lower end of its scale.
//!
//! A [`Drawing`] bears classes and no colours, so that the page's style sheet
//! makes it light or dark: `plot` on the whole, `grid`, `axis`, `mark`, `s1` to
//! `s6` for series, `legend` on their samples, `whole` around a part. [`chart`] draws whole
//! charts, [`parts`] parts of their wholes.
//! What it does not do: compute a figure.

pub mod chart;
pub mod parts;

use std::fmt::Write;

/// Text as it stands between tags and in quoted attributes, of SVG or HTML. Characters that XML
/// has no place for are left out.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with at most one decimal.
pub fn place(at: f64) -> String {
    let at = if at.is_finite() { at } else { 0.0 };
    let text = format!("{at:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// From values to coordinates, on a straight line; values beyond its ends are
/// drawn at them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// Values `from.0` to `from.1` lie at coordinates `to.0` to `to.1`.
    pub const fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to }
    }

    /// The coordinate of a value.
    pub fn at(&self, value: f64) -> f64 {
        let span = self.from.1 - self.from.0;
        let way = (value - self.from.0) / span;
        let way = if way.is_nan() { 0.0 } else { way.clamp(0.0, 1.0) };
        self.to.0 + way * (self.to.1 - self.to.0)
    }
}

/// Round numbers from 0 to at or above `most`, at most seven of them: where an
/// axis is marked. The last one is the axis's end and above 0.
pub fn ticks(most: f64) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most.min(1e300) } else { 1.0 };
    let rough = most / 5.0;
    let ten = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * ten).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let steps = (most / step - 1e-9).ceil().max(1.0) as u32;
    (0..=steps).map(|i| f64::from(i) * step).collect()
}

/// The outline of a histogram: from `base` up each bin's height and down again.
/// Bin `i` reaches from `x(i)` to `x(i + 1)`.
pub fn stairs(heights: &[f64], x: impl Fn(usize) -> f64, y: &Scale, base: f64) -> String {
    let mut path = format!("M{} {}", place(x(0)), place(base));
    for (bin, height) in heights.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(path, "V{}H{}", place(y.at(*height)), place(x(bin + 1)));
    }
    path + "V" + &place(base) + "Z"
}

/// What a picture is for those who hear it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its name in the page, of letters, digits and `-`; one of a kind there.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// What is to be seen in it, in a sentence or two.
    pub description: &'a str,
}

/// Where a text stands to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// A picture while it is drawn.
#[derive(Debug)]
pub struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

impl Drawing {
    /// An empty picture; width and height in its own units.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A path in SVG's own words (`M0 0H10`), which the caller made of numbers.
    pub fn path(&mut self, class: &str, path: &str) {
        self.put(format_args!(r#"<path class="{}" d="{}"/>"#, escape(class), escape(path)));
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let path = format!("M{} {}L{} {}", place(from.0), place(from.1), place(to.0), place(to.1));
        self.path(class, &path);
    }

    /// A rectangle from its upper left corner, with words that show where a mouse rests on it.
    pub fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), told: &str) {
        let [x, y] = [corner.0, corner.1].map(place);
        let [width, height] = [size.0.max(0.0), size.1.max(0.0)].map(place);
        let class = escape(class);
        self.put(format_args!(r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}">"#));
        self.put(format_args!("<title>{}</title></rect>", escape(told)));
    }

    /// A dot, with words that show where a mouse rests on it.
    pub fn dot(&mut self, class: &str, at: (f64, f64), told: &str) {
        let (class, x, y, told) = (escape(class), place(at.0), place(at.1), escape(told));
        self.put(format_args!(
            r#"<circle class="{class}" cx="{x}" cy="{y}" r="3"><title>{told}</title></circle>"#
        ));
    }

    /// A text; its base line is at `at`.
    pub fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (class, x, y, text) = (escape(class), place(at.0), place(at.1), escape(text));
        self.put(format_args!(
            r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// The whole picture, to stand inside a page.
    pub fn finish(self, told: &Told<'_>) -> String {
        let [id, title, description] = [told.id, told.title, told.description].map(escape);
        let [width, height] = [self.width, self.height].map(place);
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">{title}</title>\n\
             <desc id=\"{id}-desc\">{description}</desc>\n{}</svg>\n",
            self.body
        )
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "{what}");
    }
}

/// How wide a text is at 13 units' height, nearly: enough to set words side by side.
fn width_of(text: &str) -> f64 {
    text.chars().map(|c| if c.is_ascii() { 7.2 } else { 13.5 }).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether every tag is closed in its order, no attribute is a style, and no number is none.
    pub(crate) fn well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let Some((tag, _)) = part.split_once('>') else { return false };
            let name = tag.split([' ', '/']).find(|n| !n.is_empty()).unwrap_or_default();
            if tag.starts_with('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        open.is_empty() && !svg.contains("style=") && !svg.contains("NaN") && !svg.contains("inf\"")
    }

    #[test]
    fn coordinates_are_short_and_finite() {
        assert_eq!([1.0, 1.25, -0.01, f64::NAN, f64::INFINITY].map(place), ["1", "1.2", "0", "0", "0"]);
    }

    #[test]
    fn a_scale_holds_to_its_ends() {
        let s = Scale::new((0.0, 10.0), (100.0, 0.0));
        assert_eq!(
            [-5.0, 0.0, 5.0, 10.0, 99.0, f64::NAN].map(|v| s.at(v)),
            [100.0, 100.0, 50.0, 0.0, 0.0, 100.0]
        );
        assert_eq!(Scale::new((3.0, 3.0), (7.0, 9.0)).at(3.0), 7.0);
    }

    #[test]
    fn stairs_go_up_and_down_again() {
        let y = Scale::new((0.0, 1.0), (10.0, 0.0));
        assert_eq!(stairs(&[0.5, 1.0], |i| i as f64 * 4.0, &y, 10.0), "M0 10V5H4V0H8V10Z");
        assert_eq!(stairs(&[], |_| 0.0, &y, 10.0), "M0 10V10Z");
    }

    proptest! {
        #[test]
        fn whatever_the_words_are_the_picture_is_well_formed(words in "\\PC{0,20}", at in proptest::num::f64::ANY) {
            let mut d = Drawing::new(10.0, at);
            d.text(&words, (at, 1.0), Anchor::End, &words);
            d.rect(&words, (at, at), (at, at), &words);
            d.dot("s1", (at, 0.0), &words);
            d.line(&words, (at, at), (0.0, at));
            let svg = d.finish(&Told { id: "a", title: &words, description: &words });
            prop_assert!(well_formed(&svg), "{svg}");
        }

        #[test]
        fn ticks_are_few_and_reach_the_most(most in 1e-9f64..1e12) {
            let t = ticks(most);
            prop_assert!((2..=7).contains(&t.len()), "{t:?}");
            prop_assert!(t.last().unwrap() * 1.000_001 >= most && t[0] == 0.0, "{most}: {t:?}");
            prop_assert!(*t.last().unwrap() <= most * 2.01, "{most}: {t:?}");
        }
    }
}
