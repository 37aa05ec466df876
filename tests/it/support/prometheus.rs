//! A strict reader of the Prometheus text format (version 0.0.4): what it does
//! not know, or what stands in another order than it should, fails the test.

use std::collections::{BTreeMap, BTreeSet};

use counterproof::http::metrics::{Kind, Metric};

pub type Labels = BTreeMap<String, String>;

/// One metric with all its series.
#[derive(Debug, Default)]
pub struct Family {
    pub help: String,
    pub kind: String,
    /// Name as written (with `_bucket` and the like), labels, value.
    pub series: Vec<(String, Labels, f64)>,
}

#[derive(Debug, Default)]
pub struct Page(pub BTreeMap<String, Family>);

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
}

/// `name{a="b",c="d"} 1.5`
fn series(line: &str) -> (String, Labels, f64) {
    let (left, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = match left.split_once('{') {
        None => (left, Labels::new()),
        Some((name, rest)) => {
            let inside = rest.strip_suffix('}').unwrap_or_else(|| panic!("labels not closed: {line}"));
            let label = |text: &str| {
                let (key, value) = text.split_once("=\"").unwrap_or_else(|| panic!("bad label: {line}"));
                let value = value.strip_suffix('"').unwrap_or_else(|| panic!("bad label: {line}"));
                // No label of ours needs an escape; one that does is not ours.
                assert!(!value.contains(['"', '\\', ',']), "{line}");
                assert!(is_name(key), "{line}");
                (key.to_owned(), value.to_owned())
            };
            let pairs: Vec<_> = inside.split(',').map(label).collect();
            let labels: Labels = pairs.iter().cloned().collect();
            assert_eq!(labels.len(), pairs.len(), "a label twice: {line}");
            (name, labels)
        }
    };
    assert!(is_name(name), "{line}");
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("not a number: {line}")))
}

/// Reads a page.
pub fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut open: Option<String> = None;
    for line in text.lines().filter(|l| !l.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            let new = page.0.insert(name.into(), Family { help: help.into(), ..Family::default() });
            assert!(new.is_none(), "described twice: {line}");
            open = None;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            page.0.get_mut(name).unwrap_or_else(|| panic!("no HELP before: {line}")).kind = kind.into();
            open = Some(name.into());
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let of = open.as_ref().unwrap_or_else(|| panic!("no TYPE before: {line}"));
            let one = series(line);
            let suffix = one.0.strip_prefix(of.as_str()).unwrap_or_else(|| panic!("{line} under {of}"));
            let family = page.0.get_mut(of).unwrap();
            let allowed: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line}");
            family.series.push(one);
        }
    }
    for (name, family) in &page.0 {
        let different: BTreeSet<_> = family.series.iter().map(|(n, l, _)| (n, l)).collect();
        assert_eq!(different.len(), family.series.len(), "{name} has a series twice");
        if family.kind == "histogram" {
            check_buckets(name, family);
        }
    }
    page
}

fn check_buckets(name: &str, family: &Family) {
    let mut by_labels: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (_, labels, value) in family.series.iter().filter(|(n, ..)| n.ends_with("_bucket")) {
        let mut labels = labels.clone();
        let le = labels.remove("le").unwrap_or_else(|| panic!("{name}: a bucket without a bound"));
        by_labels.entry(labels).or_default().push((le.parse().unwrap(), *value));
    }
    for (labels, buckets) in by_labels {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
        let (last, all) = buckets.last().copied().unwrap();
        let count = family.series.iter().find(|(n, l, _)| n.ends_with("_count") && *l == labels).unwrap().2;
        assert!(last.is_infinite() && all == count, "{name} {labels:?}");
    }
}

impl Page {
    /// The sum of the series that carry all these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let family = self.0.get(name).unwrap_or_else(|| panic!("no {name} on the page"));
        let carries = |l: &Labels| labels.iter().all(|(k, v)| l.get(*k).is_some_and(|x| x == v));
        family.series.iter().filter(|(_, l, _)| carries(l)).map(|(.., v)| v).sum()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.0.values().map(|f| f.series.len()).sum()
    }

    /// Everything on the page is in the list, as the list says.
    pub fn check_against(&self, list: &[&Metric]) {
        for (name, family) in &self.0 {
            let metric =
                list.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("{name} is not listed"));
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            assert_eq!((family.kind.as_str(), family.help.as_str()), (kind, metric.help), "{name}");
            for (written, labels, value) in &family.series {
                let mut labels: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
                if written.ends_with("_bucket") {
                    labels.remove("le");
                }
                assert_eq!(labels, metric.labels.iter().copied().collect(), "{written}");
                assert!(value.is_finite() && *value >= 0.0, "{written} {value}");
            }
        }
    }
}
