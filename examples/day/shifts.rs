//! The dialysis room's shifts of the day: who is expected, who comes to the entrance, and
//! which sessions are billed, in the national platform's messages like everything else.
//!
//! Two people stand for everybody here too: those who come have the face of one, those who
//! stay away that of the other.

use std::io;
use std::time::Duration;

use counterproof::bench::chance::Chance;
use counterproof::bench::hospital::Hospital;
use serde_json::json;

use super::plan::{Kind, Settlement, There};

/// The entrance's name.
pub const ENTRANCE: &str = "d01";
/// What the HIS says a session of dialysis is for.
pub const DISEASE: &str = "M07801";
/// Before the first shift: references are fetched.
const PREPARED: Duration = Duration::from_secs(8);
/// From one who comes to the next, and how long each is in sight.
const COME_APART: Duration = Duration::from_millis(4500);
const IN_SIGHT: Duration = Duration::from_millis(1400);
/// The least that a shift lasts: somebody must come.
const LEAST: Duration = Duration::from_secs(12);

/// What is billed in each shift.
const BILLED: [Kind; 12] = [
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionAttended,
    Kind::SessionInvented,
    Kind::SessionInventedCancelled,
    Kind::SessionNotEnrolled,
    Kind::SessionOfNobodyExpected,
];

/// A shift, in the box's time from the day's beginning.
pub struct Shift {
    pub name: &'static str,
    pub begins: Duration,
    pub ends: Duration,
    pub people: Vec<String>,
}

/// Somebody who comes to the entrance; those who come have an odd number, and so the face
/// of person B.
pub fn patient(n: usize) -> String {
    format!("D{n:05}")
}

/// How many patients there are.
pub const PATIENTS: usize = 2 * 2 * BILLED.len();

/// The day's shifts with their sessions: one before noon and one after.
pub fn plan(ends: Duration, entrance: usize, chance: &mut Chance) -> (Vec<Shift>, Vec<Settlement>) {
    let half = (ends.saturating_sub(PREPARED) / 2).max(LEAST + Duration::from_secs(1));
    let mut shifts = Vec::new();
    let mut sessions = Vec::new();
    for (n, name) in ["am", "pm"].into_iter().enumerate() {
        let begins = PREPARED + half * n as u32;
        let shift_ends = begins + half.saturating_sub(Duration::from_secs(1));
        let mut people = Vec::new();
        for (i, kind) in BILLED.into_iter().enumerate() {
            // Each shift has people of its own; even numbers have the other face.
            let number = 2 * (n * BILLED.len() + i);
            let cardholder = match kind {
                Kind::SessionAttended => patient(number + 1),
                Kind::SessionNotEnrolled => format!("ND{number:04}"),
                _ => patient(number),
            };
            if kind != Kind::SessionOfNobodyExpected {
                people.push(cardholder.clone());
            }
            let at = begins + (shift_ends - begins).mul_f64(0.3 + 0.6 * chance.share());
            let serial = 9_000_000 + n * 1000 + i;
            sessions.push(Settlement {
                kind,
                window: entrance,
                at,
                cardholder,
                msgid: format!("H0000000000120261123{serial:010}"),
                setl_id: format!("310000S{serial:010}"),
                stay: format!("M{serial:010}"),
                amount_fen: 40_000 + chance.below(5000),
                answered_after: Duration::from_millis(3 + chance.below(40) as u64),
                infno: "2207",
            });
        }
        shifts.push(Shift { name, begins, ends: shift_ends, people });
    }
    (shifts, sessions)
}

/// When a session that is taken back is: once the bureau has the alert.
pub fn taken_back(shifts: &[Shift], session: &Settlement) -> Duration {
    let own = shifts.iter().find(|s| s.people.contains(&session.cardholder));
    own.map_or(session.at, |s| s.ends) + Duration::from_secs(6)
}

/// Who is at the entrance from when on: everybody who comes has one face.
pub fn comings(shifts: &[Shift], entrance: usize) -> Vec<(Duration, usize, There)> {
    let mut comings = Vec::new();
    for shift in shifts {
        let mut at = shift.begins + Duration::from_secs(2);
        while at + IN_SIGHT < shift.ends {
            comings.push((at, entrance, There::PersonB));
            comings.push((at + IN_SIGHT, entrance, There::Nobody));
            at += COME_APART;
        }
    }
    comings
}

/// The HIS gives the box the day's rosters.
///
/// # Errors
/// If the box does not take one.
pub async fn expect(h: &Hospital, shifts: &[Shift], begins: jiff::Timestamp) -> io::Result<()> {
    for shift in shifts {
        let at = |d: Duration| (begins + jiff::SignedDuration::try_from(d).unwrap_or_default()).to_string();
        let roster =
            json!({ "begins_at": at(shift.begins), "ends_at": at(shift.ends), "cardholders": shift.people });
        let path = format!("/v1/rosters/{ENTRANCE}/{}", shift.name);
        let request = h.request(reqwest::Method::PUT, &path).bearer_auth(&h.token).json(&roster);
        let answer = request.send().await.map_err(io::Error::other)?;
        if answer.status() != 201 {
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            return Err(io::Error::other(format!("the roster of {}: {status} {text}", shift.name)));
        }
    }
    Ok(())
}
