//! What a drawn test camera sees behind the person: a wall, a few plain
//! shapes and a desk. Drawn from a number, never from a photograph.

/// Width and height of every drawn picture.
pub const SIZE: (usize, usize) = (640, 480);
/// First row of the desk, which is in front of the person.
pub const DESK: usize = 446;

/// A small source of repeatable numbers (splitmix64, G. Steele and others, 2014).
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (self.bits() >> 40) as f32 / (1u32 << 24) as f32 * (high - low)
    }
}

/// The backdrop of a seed: R, G, B, row by row.
pub fn draw(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut canvas = Canvas(vec![0; SIZE.0 * SIZE.1 * 3]);
    let wall = muted(&mut dice, 140.0, 200.0);
    let shade = dice.between(0.6, 0.85);
    canvas.fill([0, 0, SIZE.0, SIZE.1], |x, y| {
        let down = y as f32 / SIZE.1 as f32;
        let across = x as f32 / SIZE.0 as f32;
        wall.map(|c| c * (1.0 - (1.0 - shade) * (0.7 * down + 0.3 * across)))
    });
    for _ in 0..4 {
        let (w, h) = (dice.between(50.0, 150.0) as usize, dice.between(40.0, 170.0) as usize);
        let (x, y) = (dice.between(0.0, 600.0) as usize, dice.between(0.0, 280.0) as usize);
        let paper = muted(&mut dice, 90.0, 225.0);
        let line_height = dice.between(9.0, 22.0) as usize;
        canvas.fill([x, y, x + w, y + h], |_, row| {
            let is_line = (row - y) % line_height < 2 && row - y > line_height;
            paper.map(|c| if is_line { c * 0.6 } else { c })
        });
    }
    let (top, desk) = (DESK as f32, muted(&mut dice, 80.0, 130.0));
    canvas.fill([0, DESK, SIZE.0, SIZE.1], |_, y| {
        let lit = 1.15 - 0.3 * (y as f32 - top) / (SIZE.1 as f32 - top);
        desk.map(|c| c * lit)
    });
    canvas.0
}

/// A colour without much of it.
fn muted(dice: &mut Dice, low: f32, high: f32) -> [f32; 3] {
    let grey = dice.between(low, high);
    [(); 3].map(|()| grey + dice.between(-18.0, 18.0))
}

struct Canvas(Vec<u8>);

impl Canvas {
    /// Colours the rectangle `[left, top, right, below]` as far as it lies in the picture.
    fn fill(&mut self, [left, top, right, below]: [usize; 4], colour: impl Fn(usize, usize) -> [f32; 3]) {
        for y in top..below.min(SIZE.1) {
            for x in left..right.min(SIZE.0) {
                let at = (y * SIZE.0 + x) * 3;
                self.0[at..at + 3].copy_from_slice(&colour(x, y).map(|c| c as u8));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_backdrop() {
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        assert_eq!(draw(0).len(), SIZE.0 * SIZE.1 * 3);
    }
}
