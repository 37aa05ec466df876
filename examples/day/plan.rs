//! What happens on the day: every settlement at every window, who stands there, what the
//! HIS says of it and when. It follows from a seed; nothing here knows what came of it.
//!
//! Times are those that the box lives through: the day's own, divided by the speed.

use std::collections::BTreeMap;
use std::time::Duration;

use counterproof::bench::chance::Chance;

use super::shifts::{self, Shift};

/// From one settlement at a window to the next, on average, in the day's time.
const APART: Duration = Duration::from_secs(108);
/// And at least, in the box's time: neighbours nearer than this cut each other's windows.
const LEAST_APART: Duration = Duration::from_millis(1100);
/// How long before its settlement somebody comes to the window, and how long they stay.
const COMES: Duration = Duration::from_millis(560);
const STAYS: Duration = Duration::from_millis(520);
/// Before the first settlement: the cameras' past.
const OPENING: Duration = Duration::from_secs(3);

/// Who is before a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum There {
    Nobody,
    PersonA,
    PersonB,
}

/// What is about a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The cardholder stands there.
    Genuine,
    /// The same, and it is taken back later.
    GenuineCancelled,
    /// Somebody else stands there.
    Impostor,
    /// The same, taken back while the mismatch is held.
    ImpostorCancelledSoon,
    /// The same, taken back when the bureau has the alert.
    ImpostorCancelledLater,
    /// The platform refuses it.
    Refused,
    /// A relative's account pays.
    RelativesAccount,
    /// A registration named who stands there, and the bureau knows them.
    Proxy,
    /// A registration named somebody of whom the bureau knows nothing.
    UnknownProxy,
    /// The card is settled, and nobody stands there.
    NobodyThere,
    /// The bureau has no reference.
    NotEnrolled,
    /// Kinds of care and channels that are not verified.
    InPatient,
    Kiosk,
    Telephone,
    /// A session of dialysis to which the patient came.
    SessionAttended,
    /// One that is billed for somebody who stayed away.
    SessionInvented,
    /// The same, taken back when the bureau has the alert.
    SessionInventedCancelled,
    /// One of an expected patient of whom the bureau has no reference.
    SessionNotEnrolled,
    /// One of somebody whom no roster names.
    SessionOfNobodyExpected,
}

/// Each kind, how many of 1,000 settlements at windows, and what must come of it.
pub const KINDS: [(Kind, usize, &str); 19] = [
    (Kind::Genuine, 815, "match"),
    (Kind::GenuineCancelled, 10, "match"),
    (Kind::Impostor, 15, "alerted"),
    (Kind::ImpostorCancelledSoon, 3, "not_assessed(cancelled)"),
    (Kind::ImpostorCancelledLater, 4, "withdrawn"),
    (Kind::Refused, 20, "not_assessed(cancelled)"),
    (Kind::RelativesAccount, 10, "not_assessed(out_of_scope)"),
    (Kind::Proxy, 20, "match"),
    (Kind::UnknownProxy, 10, "not_assessed(proxy_unknown)"),
    (Kind::NobodyThere, 10, "inconclusive(no_face)"),
    (Kind::NotEnrolled, 23, "not_assessed(no_reference)"),
    (Kind::InPatient, 30, "not_assessed(out_of_scope)"),
    (Kind::Kiosk, 20, "not_assessed(out_of_scope)"),
    (Kind::Telephone, 10, "not_assessed(out_of_scope)"),
    (Kind::SessionAttended, 0, "match"),
    (Kind::SessionInvented, 0, "alerted"),
    (Kind::SessionInventedCancelled, 0, "withdrawn"),
    (Kind::SessionNotEnrolled, 0, "not_assessed(no_reference)"),
    (Kind::SessionOfNobodyExpected, 0, "not_assessed(no_roster)"),
];

impl Kind {
    /// What must come of it.
    pub fn expected(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., expected)| expected)
    }

    fn by_chance(chance: &mut Chance) -> Self {
        let mut n = chance.below(KINDS.iter().map(|(_, share, _)| share).sum());
        for (kind, share, _) in KINDS {
            if n < share {
                return kind;
            }
            n -= share;
        }
        Self::Genuine
    }
}

/// One settlement.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub kind: Kind,
    /// Which window, from 0.
    pub window: usize,
    /// When, from the day's beginning.
    pub at: Duration,
    pub cardholder: String,
    /// The message's number, its own number at the platform, and its stay.
    pub msgid: String,
    pub setl_id: String,
    pub stay: String,
    pub amount_fen: usize,
    /// How long the platform takes to answer.
    pub answered_after: Duration,
    /// 2207, or 2304.
    pub infno: &'static str,
}

/// What the HIS sends.
#[derive(Debug, Clone, Copy)]
pub enum Says {
    /// 1101: nothing to do with a settlement.
    LooksUp,
    /// 2201.
    Registers,
    /// 2207 or 2304.
    Settles,
    /// 2208 or 2305.
    Cancels,
}

/// A message to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub due: Duration,
    pub says: Says,
    /// About which settlement.
    pub about: usize,
}

/// The whole day.
pub struct Day {
    pub windows: usize,
    pub settlements: Vec<Settlement>,
    /// The dialysis room's; its entrance counts as one window more.
    pub shifts: Vec<Shift>,
    /// By the time at which they are sent; a message's place is its number on the wire.
    pub events: Vec<Event>,
    /// For each window who stands there from when on.
    pub comings: Vec<(Duration, usize, There)>,
    /// When the last settlement is.
    pub ends: Duration,
}

/// What may be wanted otherwise.
pub struct Size {
    pub settlements: usize,
    pub windows: usize,
    pub speed: f64,
    pub people: usize,
}

/// The number of a cardholder; even ones are person A, odd ones person B.
pub fn cardholder(n: usize) -> String {
    format!("P{n:05}")
}

/// The certificate by which a registration names who acts: of a cardholder, or of nobody
/// whom the bureau knows.
pub fn certificate(of: Option<usize>) -> String {
    of.map_or_else(|| "110101197703039012".to_owned(), |n| format!("3101011985{n:08}"))
}

impl Day {
    /// The day of a seed.
    pub fn plan(seed: u64, size: &Size) -> Self {
        let mut chance = Chance::new(seed);
        let mut settlements = Vec::with_capacity(size.settlements);
        for window in 0..size.windows {
            // The remainder goes to the first windows.
            let here =
                size.settlements / size.windows + usize::from(window < size.settlements % size.windows);
            let mut at = OPENING;
            for _ in 0..here {
                at += gap(size.speed, &mut chance);
                settlements.push(settlement(settlements.len(), window, at, size.people, &mut chance));
            }
        }
        let ends = settlements.iter().map(|s| s.at).max().unwrap_or_default();
        let (shifts, sessions) = shifts::plan(ends, size.windows, &mut chance);
        let windows_comings = comings(&settlements, &mut chance);
        settlements.extend(sessions);
        let ends = shifts.iter().map(|s| s.ends).fold(ends, Duration::max);
        let mut events: Vec<Event> = Vec::new();
        for (about, settlement) in settlements.iter().enumerate() {
            said(about, settlement, &shifts, &mut events, &mut chance);
        }
        events.sort_by_key(|e| e.due);
        let mut comings = windows_comings;
        comings.extend(shifts::comings(&shifts, size.windows));
        comings.sort();
        Self { windows: size.windows, settlements, shifts, events, comings, ends }
    }

    /// How many of each kind.
    pub fn kinds(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        self.settlements.iter().for_each(|s| *kinds.entry(s.kind).or_default() += 1);
        kinds
    }
}

fn gap(speed: f64, chance: &mut Chance) -> Duration {
    let mean = APART.div_f64(speed);
    let spread = mean.saturating_sub(LEAST_APART) * 2;
    LEAST_APART + spread.mul_f64(chance.share())
}

fn settlement(n: usize, window: usize, at: Duration, people: usize, chance: &mut Chance) -> Settlement {
    let kind = Kind::by_chance(chance);
    let holder = chance.below(people);
    let cardholder = if kind == Kind::NotEnrolled { format!("N{n:05}") } else { cardholder(holder) };
    let late = matches!(kind, Kind::Genuine | Kind::Impostor) && chance.one_in(40);
    let answered = if late { 300 + chance.below(600) } else { 3 + chance.below(40) };
    Settlement {
        kind,
        window,
        at,
        cardholder,
        msgid: format!("H0000000000120261123{n:010}"),
        setl_id: format!("310000S{n:010}"),
        stay: format!("M{n:010}"),
        amount_fen: 500 + chance.below(90_000),
        answered_after: Duration::from_millis(answered as u64),
        infno: if chance.one_in(5) { "2304" } else { "2207" },
    }
}

/// Which cardholder acts for the one of a settlement: of the other person.
pub fn proxy_of(settlement: &Settlement, people: usize) -> Option<usize> {
    let n = settlement.cardholder.get(1..)?.parse::<usize>().ok()?;
    Some((n + 1) % people)
}

fn said(about: usize, s: &Settlement, shifts: &[Shift], events: &mut Vec<Event>, chance: &mut Chance) {
    let mut say = |due: Duration, says: Says| events.push(Event { due, says, about });
    let ms = Duration::from_millis;
    if chance.one_in(4) {
        say(s.at.saturating_sub(ms(800)), Says::LooksUp);
    }
    if matches!(s.kind, Kind::Proxy | Kind::UnknownProxy | Kind::InPatient) || chance.one_in(5) {
        say(s.at.saturating_sub(ms(700)), Says::Registers);
    }
    let sent = s.at + ms(chance.below(60) as u64);
    say(sent, Says::Settles);
    if chance.one_in(50) {
        // The HIS did not see the answer, and asks again.
        say(sent + ms(950), Says::Settles);
    }
    match s.kind {
        Kind::ImpostorCancelledSoon => say(s.at + ms(1000), Says::Cancels),
        Kind::ImpostorCancelledLater => say(s.at + ms(6000), Says::Cancels),
        Kind::SessionInventedCancelled => say(shifts::taken_back(shifts, s), Says::Cancels),
        Kind::GenuineCancelled => say(s.at + ms(3000 + chance.below(5000) as u64), Says::Cancels),
        _ => {}
    }
}

fn comings(settlements: &[Settlement], chance: &mut Chance) -> Vec<(Duration, usize, There)> {
    let mut comings = Vec::new();
    for s in settlements {
        let own = match s.cardholder.get(1..).and_then(|n| n.parse::<usize>().ok()) {
            Some(n) if n.is_multiple_of(2) => There::PersonA,
            _ => There::PersonB,
        };
        let other = if own == There::PersonA { There::PersonB } else { There::PersonA };
        let there = match s.kind {
            Kind::NobodyThere | Kind::Telephone => There::Nobody,
            Kind::Impostor
            | Kind::ImpostorCancelledSoon
            | Kind::ImpostorCancelledLater
            | Kind::Proxy
            | Kind::UnknownProxy => other,
            _ => own,
        };
        comings.push((s.at.saturating_sub(COMES), s.window, there));
        comings.push((
            s.at + STAYS + Duration::from_millis(chance.below(15) as u64),
            s.window,
            There::Nobody,
        ));
    }
    comings
}
