//! What somebody asks the queue for: the part of an address behind the question
//! mark, read into a filter and written back, so that a filter survives every link.
//!
//! Amounts are in yuan here and in fen beneath; days are days in China. No number of a
//! cardholder stands in an address: a mark does.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;

use super::shown::midnight;
use crate::bureau::store::{Among, Assignee, QueueFilter, QueueFrom, QueueOrder, QueuePlace, QueueState};
use crate::protocol::figures::BINS;

/// What may stand behind the question mark; an empty value is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) order: String,
    pub(super) hospital: String,
    pub(super) district: String,
    pub(super) counter: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) claim: String,
    pub(super) score: String,
    pub(super) least: String,
    pub(super) most: String,
    pub(super) assignee: String,
    pub(super) cardholder: String,
    pub(super) after: String,
    pub(super) before: String,
    pub(super) since: String,
    pub(super) id: String,
}

/// A field that says what cannot be, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) field: &'static str,
    pub(super) found: String,
}

/// How near a score is to where an alert begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Band {
    /// Below 0.10: as strangers mostly score.
    Low,
    /// 0.10 up to 0.25.
    Middle,
    /// 0.25 and above.
    Near,
}

/// The first bin of [`Band::Middle`]: 0.10.
const MIDDLE_FROM: i64 = 22;
/// The first bin of [`Band::Near`]: 0.25.
const NEAR_FROM: i64 = 25;

impl Band {
    pub(super) const ALL: [Self; 3] = [Self::Low, Self::Middle, Self::Near];

    /// Its word in addresses and messages.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Middle => "middle",
            Self::Near => "near",
        }
    }

    /// The band of a bin.
    pub(super) const fn of(bin: i64) -> Self {
        match bin {
            ..MIDDLE_FROM => Self::Low,
            MIDDLE_FROM..NEAR_FROM => Self::Middle,
            _ => Self::Near,
        }
    }

    /// Its bins, the first and the last.
    const fn bins(self) -> (i64, i64) {
        match self {
            Self::Low => (0, MIDDLE_FROM - 1),
            Self::Middle => (MIDDLE_FROM, NEAR_FROM - 1),
            Self::Near => (NEAR_FROM, BINS as i64 - 1),
        }
    }
}

/// Any state.
pub(super) const ALL_STATES: &str = "all";
/// Who asks.
pub(super) const MINE: &str = "mine";
/// Nobody.
pub(super) const NOBODY: &str = "nobody";
/// Newest first.
pub(super) const NEWEST: &str = "newest";
/// Most serious first.
pub(super) const SERIOUS: &str = "serious";

fn read<T>(field: &'static str, text: &str, how: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Unfit> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let unfit = || Unfit { field, found: trimmed.chars().take(40).collect() };
    how(trimmed).map(Some).ok_or_else(unfit)
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok()
}

/// Yuan with at most two decimals, as fen.
fn fen(text: &str) -> Option<i64> {
    let (yuan, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if yuan.is_empty() || yuan.len() > 12 || part.len() > 2 || !digits(yuan) || !digits(part) {
        return None;
    }
    let part: i64 = format!("{part:0<2}").parse().ok()?;
    yuan.parse::<i64>().ok().map(|y| y * 100 + part)
}

fn place(text: &str) -> Option<QueuePlace> {
    let (seriousness, arrival) = text.split_once('.')?;
    Some(QueuePlace {
        seriousness: seriousness.parse().ok().filter(|s| (0..=2).contains(s))?,
        arrival: arrival.parse().ok()?,
    })
}

/// A place as it stands in an address.
pub(super) fn place_text(place: QueuePlace) -> String {
    format!("{}.{}", place.seriousness, place.arrival)
}

impl Asked {
    /// Which alerts; `account` is who asks.
    pub(super) fn filter(&self, account: &str) -> Result<QueueFilter, Unfit> {
        let state = read("state", &self.state, |t| match t {
            ALL_STATES => Some(Vec::new()),
            word => QueueState::of(word).map(|s| vec![s]),
        })?;
        let last = read("to", &self.to, date)?;
        let band = read("score", &self.score, |t| Band::ALL.into_iter().find(|b| b.as_str() == t))?;
        let assignee = read("assignee", &self.assignee, |t| match t {
            NOBODY => Some(Assignee::Nobody),
            MINE => Some(Assignee::Account(account.to_owned())),
            _ => None,
        })?;
        let is_mark = |t: &str| t.len() <= 64 && t.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(QueueFilter {
            states: state.unwrap_or_else(|| vec![QueueState::Open]),
            hospital: read("hospital", &self.hospital, |t| t.parse().ok())?,
            district: read("district", &self.district, |t| (t.len() <= 400).then(|| t.to_owned()))?,
            counter: read("counter", &self.counter, |t| t.parse().ok())?,
            from: read("from", &self.from, |t| midnight(date(t)?))?,
            until: last.and_then(|d| midnight(d.checked_add(1.day()).ok()?)),
            claim: read("claim", &self.claim, |t| t.parse().ok())?,
            bins: band.map(Band::bins),
            amount_from: read("least", &self.least, fen)?,
            amount_to: read("most", &self.most, fen)?,
            assignee,
            cardholder: read("cardholder", &self.cardholder, |t| is_mark(t).then(|| t.to_owned()))?,
            arrived_after: read("since", &self.since, |t| t.parse().ok())?,
            among: Among::All,
        })
    }

    /// In which order.
    pub(super) fn order(&self) -> Result<QueueOrder, Unfit> {
        let order = read("order", &self.order, |t| match t {
            SERIOUS => Some(QueueOrder::Serious),
            NEWEST => Some(QueueOrder::Newest),
            _ => None,
        })?;
        Ok(order.unwrap_or_default())
    }

    /// Where the page begins.
    pub(super) fn begins(&self) -> Result<QueueFrom, Unfit> {
        let (after, before) = (read("after", &self.after, place)?, read("before", &self.before, place)?);
        Ok(after.map(QueueFrom::After).or(before.map(QueueFrom::Before)).unwrap_or_default())
    }

    /// What is asked for, without where a page begins, as pairs; what is not said is
    /// left out.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("state", &self.state),
            ("order", &self.order),
            ("hospital", &self.hospital),
            ("district", &self.district),
            ("counter", &self.counter),
            ("from", &self.from),
            ("to", &self.to),
            ("claim", &self.claim),
            ("score", &self.score),
            ("least", &self.least),
            ("most", &self.most),
            ("assignee", &self.assignee),
            ("cardholder", &self.cardholder),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.trim()))
        .filter(|(_, value)| !value.is_empty())
    }

    /// An address of the queue with the same filter, and these values beside or in
    /// place of its own; an empty one takes a value away.
    pub(super) fn link(&self, path: &str, with: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs().filter(|(name, _)| !with.iter().any(|(n, _)| n == name)));
        query.extend_pairs(with.iter().filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// Whether anything but state and order narrows the list.
    pub(super) fn narrows(&self) -> bool {
        self.pairs().any(|(name, _)| name != "state" && name != "order")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::review::Claim;
    use crate::clock::WallTime;

    fn asked(query: &str) -> Asked {
        let uri: axum::http::Uri = format!("/alerts?{query}").parse().unwrap();
        axum::extract::Query::try_from_uri(&uri).unwrap().0
    }

    #[test]
    fn what_is_asked_for_becomes_a_filter() {
        let all = asked(
            "state=all&order=newest&hospital=H1&district=%E9%9D%92%E7%9F%B3%E5%8C%BA&counter=w03&from=2026-11-01&\
             to=2026-11-02&claim=absent&score=near&least=100&most=2000.5&assignee=mine&cardholder=0011aabb&after=2.77&lang=en",
        );
        let filter = all.filter("li").unwrap();
        let at =
            |t: &str| Some(WallTime::from_millis(t.parse::<jiff::Timestamp>().unwrap().as_millisecond()));
        let expected = QueueFilter {
            states: Vec::new(),
            hospital: "H1".parse().ok(),
            district: Some("青石区".into()),
            counter: "w03".parse().ok(),
            from: at("2026-10-31T16:00:00Z"),
            until: at("2026-11-02T16:00:00Z"),
            claim: Some(Claim::Absent),
            bins: Some((25, 39)),
            amount_from: Some(10_000),
            amount_to: Some(200_050),
            assignee: Some(Assignee::Account(String::from("li"))),
            cardholder: Some("0011aabb".into()),
            arrived_after: None,
            among: Among::All,
        };
        assert_eq!(filter, expected);
        assert_eq!(all.order(), Ok(QueueOrder::Newest));
        assert_eq!(all.begins(), Ok(QueueFrom::After(QueuePlace { seriousness: 2, arrival: 77 })));
        let nothing = asked("hospital=&from=");
        assert_eq!(nothing.filter("li").unwrap().states, [QueueState::Open]);
        assert!(!nothing.narrows() && all.narrows());
    }

    #[test]
    fn a_link_keeps_the_filter_and_drops_the_place() {
        let here = asked("state=open&district=%E9%9D%92&after=2.77&least=");
        assert_eq!(here.link("/alerts", &[]), "/alerts?state=open&district=%E9%9D%92");
        assert_eq!(here.link("/alerts", &[("state", "all")]), "/alerts?district=%E9%9D%92&state=all");
        assert_eq!(here.link("/alerts", &[("state", ""), ("district", "")]), "/alerts");
        let there = asked(&here.link("", &[("before", "0.3")])[1..]);
        assert_eq!(Asked { before: String::new(), ..there }, Asked { after: String::new(), ..here });
    }

    #[test]
    fn what_cannot_be_is_told_by_its_field() {
        for (query, field) in [
            ("state=closed", "state"),
            ("order=oldest", "order"),
            ("hospital=H%201", "hospital"),
            ("from=yesterday", "from"),
            ("to=2026-13-01", "to"),
            ("claim=absence", "claim"),
            ("score=0.3", "score"),
            ("least=-1", "least"),
            ("most=1e9", "most"),
            ("most=1.234", "most"),
            ("assignee=wang", "assignee"),
            ("cardholder=P0001", "cardholder"),
            ("after=7.1", "after"),
            ("before=1", "before"),
        ] {
            let asked = asked(query);
            let found = asked.filter("li").err().or(asked.order().err()).or(asked.begins().err()).unwrap();
            assert_eq!(found.field, field);
        }
    }

    #[test]
    fn every_bin_is_in_the_band_that_holds_it() {
        for bin in 0..BINS as i64 {
            let (low, high) = Band::of(bin).bins();
            assert!((low..=high).contains(&bin));
        }
        assert_eq!(Band::of(crate::protocol::figures::bin_of(0.1) as i64), Band::Middle);
        assert_eq!(Band::of(crate::protocol::figures::bin_of(0.25) as i64), Band::Near);
    }
}
