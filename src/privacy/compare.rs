//! What differs between two policies, field by field, and which is stricter.
//!
//! Works on documents rather than on types, so that a box and a bureau of
//! different versions can still be compared. Stricter is said only where it is
//! plain: a shorter limit, an earlier review, a capture region inside the
//! other. Which of two alternatives or bases is better for people is for a
//! person to judge.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::policy::CaptureRegion;

/// A side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The box.
    Box,
    /// What the bureau declared.
    Bureau,
}

/// A field that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Its name, with dots.
    pub field: String,
    /// At the box; none if it has no such field.
    pub at_box: Option<String>,
    /// As the bureau declared it; none if it has no such field.
    pub declared: Option<String>,
    /// Which is stricter, where that is plain.
    pub stricter: Option<Side>,
}

const REGIONS: &str = "capture_regions_permille.";
const LIMITS: &str = "retention_s.";
const REVIEW: &str = "impact_assessment.review_by";

/// Every field in which two policies differ, by name.
pub fn differences(at_box: &Value, declared: &Value) -> Vec<Difference> {
    let (ours, theirs) = (fields(at_box), fields(declared));
    let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| (name, ours.get(name).copied(), theirs.get(name).copied()))
        .filter(|(_, a, b)| a != b)
        .map(|(name, a, b)| Difference {
            field: name.clone(),
            at_box: a.map(plain),
            declared: b.map(plain),
            stricter: a.zip(b).and_then(|(a, b)| stricter(name, a, b)),
        })
        .collect()
}

/// Leaves by dotted name; a capture region is one leaf.
fn fields(policy: &Value) -> BTreeMap<String, &Value> {
    let mut out = BTreeMap::new();
    let mut open = vec![(String::new(), policy)];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(inner) if !name.contains(REGIONS) => {
                let dot = if name.is_empty() { "" } else { "." };
                open.extend(inner.iter().map(|(key, v)| (format!("{name}{dot}{key}"), v)));
            }
            _ => {
                out.insert(name, value);
            }
        }
    }
    out
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn stricter(field: &str, at_box: &Value, declared: &Value) -> Option<Side> {
    let order = if field.contains(REGIONS) {
        let region = |v: &Value| serde_json::from_value::<CaptureRegion>(v.clone()).ok();
        within(region(at_box)?, region(declared)?)?
    } else if field.starts_with(LIMITS) {
        at_box.as_u64()?.cmp(&declared.as_u64()?)
    } else if field.ends_with(REVIEW) {
        // Dates as ISO 8601 sort as text.
        at_box.as_str()?.cmp(declared.as_str()?)
    } else {
        return None;
    };
    match order {
        Ordering::Less => Some(Side::Box),
        Ordering::Greater => Some(Side::Bureau),
        Ordering::Equal => None,
    }
}

/// Less if the first lies inside the second; none if neither lies inside the other.
fn within(a: CaptureRegion, b: CaptureRegion) -> Option<Ordering> {
    let end = |from: u16, size: u16| u32::from(from) + u32::from(size);
    let inside = |a: CaptureRegion, b: CaptureRegion| {
        a.x >= b.x && a.y >= b.y && end(a.x, a.w) <= end(b.x, b.w) && end(a.y, a.h) <= end(b.y, b.h)
    };
    match (inside(a, b), inside(b, a)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => None,
    }
}

/// The differences as lines for people.
pub fn table(differences: &[Difference]) -> String {
    let side = |text: &Option<String>| text.as_deref().unwrap_or("(not there)").to_owned();
    let one = |d: &Difference| {
        let stricter = match d.stricter {
            Some(Side::Box) => "\n    stricter: the box",
            Some(Side::Bureau) => "\n    stricter: the bureau",
            None => "",
        };
        format!(
            "{}\n    at the box:         {}\n    bureau's declared:  {}{stricter}\n",
            d.field,
            side(&d.at_box),
            side(&d.declared)
        )
    };
    differences.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::declared::tests::with;
    use serde_json::json;

    fn changed(pointer: &str, value: Value) -> Vec<Difference> {
        let ours = with("hospital", "hospital").document().policy;
        let mut theirs = ours.clone();
        *theirs.pointer_mut(pointer).unwrap() = value;
        differences(&ours, &theirs)
    }

    #[test]
    fn a_policy_does_not_differ_from_itself() {
        let policy = with("hospital", "hospital").document().policy;
        assert_eq!(differences(&policy, &policy), []);
    }

    #[test]
    fn each_difference_says_who_is_stricter_where_that_is_plain() {
        for (pointer, value, field, stricter) in [
            ("/retention_s/frames_seconds", json!(60), "retention_s.frames_seconds", Some(Side::Box)),
            ("/retention_s/frames_seconds", json!(5), "retention_s.frames_seconds", Some(Side::Bureau)),
            ("/impact_assessment/review_by", json!("2028-01-01"), REVIEW, Some(Side::Box)),
            ("/contact", json!("desk"), "contact", None),
            (
                "/capture_regions_permille/w01",
                json!({"x": 0, "y": 0, "w": 1000, "h": 1000}),
                "capture_regions_permille.w01",
                Some(Side::Box),
            ),
            (
                "/capture_regions_permille/w02",
                json!({"x": 500, "y": 0, "w": 500, "h": 1000}),
                "capture_regions_permille.w02",
                Some(Side::Bureau),
            ),
            (
                "/capture_regions_permille/w01",
                json!({"x": 0, "y": 0, "w": 500, "h": 1000}),
                "capture_regions_permille.w01",
                None,
            ),
        ] {
            let found = changed(pointer, value);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].field.as_str(), found[0].stricter), (field, stricter));
        }
    }

    #[test]
    fn a_field_of_one_side_alone_is_a_difference() {
        let ours = json!({"a": 1, "b": {"c": 2}});
        let found = differences(&ours, &json!({"a": 1, "d": "x"}));
        let lines = table(&found);
        assert_eq!(found.len(), 2);
        assert!(
            lines.contains("b.c\n    at the box:         2\n    bureau's declared:  (not there)"),
            "{lines}"
        );
        assert!(
            lines.contains("d\n    at the box:         (not there)\n    bureau's declared:  x"),
            "{lines}"
        );
    }
}
