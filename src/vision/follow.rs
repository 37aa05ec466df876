//! Following: which faces of different frames are one person's.
//!
//! Frames come in any order of time, since a verification works outward from
//! its moment. A face belongs to the person whose place, in the frame nearest
//! in time, it overlaps most or is nearest to.

use std::time::Duration;

use super::detect::Face;
use crate::clock::BoxTime;

/// Boxes this far apart, in face widths, may still be one person a moment later.
const REACH: f32 = 0.8;
/// After this long without being seen a person is not recognized by place alone.
const MEMORY: Duration = Duration::from_millis(1500);

/// Everybody who was seen in a window.
#[derive(Debug, Default)]
pub struct Follower {
    people: Vec<Vec<(BoxTime, Face)>>,
}

impl Follower {
    /// Tells for each face of one frame which person it is: a number from 0,
    /// the same for the same person. Each person gets at most one face.
    pub fn assign(&mut self, at: BoxTime, faces: &[Face]) -> Vec<usize> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (i, face) in faces.iter().enumerate() {
            for (p, seen) in self.people.iter().enumerate() {
                if let Some(nearness) = nearness(seen, at, face) {
                    pairs.push((nearness, i, p));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut out: Vec<Option<usize>> = vec![None; faces.len()];
        for (_, i, p) in pairs {
            if out[i].is_none() && !out.contains(&Some(p)) {
                out[i] = Some(p);
            }
        }
        faces
            .iter()
            .zip(out)
            .map(|(face, known)| {
                let p = known.unwrap_or_else(|| {
                    self.people.push(Vec::new());
                    self.people.len() - 1
                });
                self.people[p].push((at, *face));
                p
            })
            .collect()
    }

    /// Forgets where people were before a time; their numbers are not given again.
    pub fn forget(&mut self, before: BoxTime) {
        for seen in &mut self.people {
            if seen.last().is_some_and(|(at, _)| *at < before) {
                *seen = Vec::new();
            }
        }
    }

    /// In how many frames each person was seen.
    pub fn sightings(&self) -> impl Iterator<Item = usize> + '_ {
        self.people.iter().map(Vec::len)
    }
}

/// How near a face is to where the person was in the frame nearest in time:
/// above 1 where the boxes overlap, 0 to 1 by distance, `None` out of reach.
fn nearness(seen: &[(BoxTime, Face)], at: BoxTime, face: &Face) -> Option<f32> {
    let (then, last) = seen.iter().min_by_key(|(t, _)| t.distance(at))?;
    if then.distance(at) > MEMORY {
        return None;
    }
    let overlap = last.overlap(face);
    if overlap > 0.0 {
        return Some(1.0 + overlap);
    }
    let ([ax, ay], [bx, by]) = (last.centre(), face.centre());
    let widths = (ax - bx).hypot(ay - by) / last.width().max(face.width()).max(1.0);
    (widths < REACH).then_some(1.0 - widths / REACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, y: f32) -> Face {
        Face { score: 0.9, edges: [x, y, x + 50.0, y + 60.0], landmarks: [[x, y]; 5] }
    }

    #[test]
    fn two_people_keep_their_numbers_in_any_order_of_time() {
        let mut f = Follower::default();
        let t = BoxTime::from_millis;
        assert_eq!(f.assign(t(10_000), &[at(100.0, 50.0), at(400.0, 60.0)]), [0, 1]);
        assert_eq!(f.assign(t(10_200), &[at(395.0, 62.0), at(108.0, 52.0)]), [1, 0]);
        assert_eq!(f.assign(t(9_800), &[at(92.0, 49.0)]), [0]);
        assert_eq!(f.assign(t(10_400), &[at(250.0, 300.0)]), [2]);
        assert_eq!(f.sightings().collect::<Vec<_>>(), [3, 2, 1]);
    }

    #[test]
    fn one_person_gets_one_face_of_a_frame() {
        let mut f = Follower::default();
        let t = BoxTime::from_millis;
        f.assign(t(1), &[at(100.0, 50.0)]);
        assert_eq!(f.assign(t(200), &[at(101.0, 50.0), at(110.0, 55.0)]), [0, 1]);
    }
}
