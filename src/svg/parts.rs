//! Parts of their wholes: a bar for each, one below the other, with its name and its
//! numbers beside it.
//!
//! Each bar reaches over the same width, whatever its whole is, so that shares can be
//! compared and sizes cannot: those are in the numbers.

use super::{Anchor, Drawing, Scale, Told};

/// As wide as narrow screens hold.
const WIDTH: f64 = 420.0;
const ENDS: (f64, f64) = (14.0, 406.0);
/// From the top of one row to the top of the next.
const ROW: f64 = 46.0;
const BAR: f64 = 14.0;

/// One part of a whole.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Of what.
    pub name: &'a str,
    /// Its numbers, as people read them.
    pub numbers: &'a str,
    /// The share of the whole, 0 to 1; what lies beyond is drawn at the end.
    pub share: f64,
    /// The class of its bar: `s1` to `s6`.
    pub series: &'a str,
}

/// Parts beneath each other.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// What it is, for those who hear it.
    pub told: Told<'a>,
    /// From the top down.
    pub parts: &'a [Part<'a>],
}

impl Parts<'_> {
    /// The picture.
    pub fn draw(&self) -> String {
        let mut drawing = Drawing::new(WIDTH, ROW * self.parts.len() as f64 + 4.0);
        let x = Scale::new((0.0, 1.0), ENDS);
        for (row, part) in self.parts.iter().enumerate() {
            let top = ROW * row as f64;
            drawing.text("", (ENDS.0, top + 15.0), Anchor::Start, part.name);
            drawing.text("", (ENDS.1, top + 15.0), Anchor::End, part.numbers);
            let (corner, told) = ((ENDS.0, top + 22.0), format!("{} {}", part.name, part.numbers));
            drawing.rect(&format!("{} bar", part.series), corner, (x.at(part.share) - ENDS.0, BAR), &told);
            drawing.rect("whole", corner, (ENDS.1 - ENDS.0, BAR), &told);
        }
        drawing.finish(&self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::well_formed;
    use super::*;
    use proptest::prelude::*;

    const TOLD: Told<'static> = Told { id: "t", title: "T", description: "D" };

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let part = Part { name: "seen <b>", numbers: "39 / 40", share: 0.975, series: "s1" };
        let svg = Parts { told: TOLD, parts: &[part] }.draw();
        assert!(well_formed(&svg) && svg.contains("seen &lt;b&gt;") && svg.contains("39 / 40"), "{svg}");
        assert!(svg.contains(r#"class="s1 bar" x="14" y="22" width="382.2""#), "{svg}");
        assert!(svg.contains(r#"class="whole" x="14" y="22" width="392""#), "{svg}");
    }

    proptest! {
        #[test]
        fn any_shares_make_a_picture(shares in proptest::collection::vec(proptest::num::f64::ANY, 0..6)) {
            let parts: Vec<_> =
                shares.iter().map(|s| Part { name: "a", numbers: "b", share: *s, series: "s1" }).collect();
            let svg = Parts { told: TOLD, parts: &parts }.draw();
            prop_assert!(well_formed(&svg), "{svg}");
        }
    }
}
