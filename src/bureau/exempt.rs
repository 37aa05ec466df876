//! Exempting cardholders: somebody whose face cannot be judged fairly (twins, palsy,
//! bandages, a child that grows), or whom a court protects, is judged nowhere.
//!
//! Promises: each exemption has an end, at most [`EXEMPTION_YEARS`] ahead; none is
//! given or ended that is not written down first, under the cardholder's mark and
//! without the reason; no box is told. Who the supervisor is, the program believes,
//! as it does with every act.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::BureauError;
use super::acts::{self, Person, on_one_line};
use super::store::{Act, Exemption, Store};
use crate::clock::{Clock, SystemClock, WallTime};
use crate::privacy::policy::EXEMPTION_YEARS;
use crate::protocol::commission::{MAX_NAME, MAX_TEXT};
use crate::protocol::id::CardholderId;

fn refuse<T>(what: String) -> Result<T, BureauError> {
    Err(BureauError::Command(what))
}

/// The day in Beijing, as on the console.
fn day(t: WallTime) -> Result<Date, BureauError> {
    match Timestamp::from_millisecond(t.as_millis()) {
        Ok(t) => Ok(Offset::constant(8).to_datetime(t).date()),
        Err(e) => refuse(format!("this machine's clock says {t}: {e}")),
    }
}

/// The last day of an exemption as somebody wrote it, and the moment when it ends.
fn last_day(found: &str, today: Date) -> Result<(Date, WallTime), BureauError> {
    let latest = today.saturating_add(EXEMPTION_YEARS.years());
    // One way to write a day, so that none is understood otherwise than it was meant.
    let written = found.parse::<Date>().ok().filter(|d| d.to_string() == found);
    let within = written.filter(|d| (today..=latest).contains(d));
    let ends = within.and_then(|last| {
        let next = last.tomorrow().ok()?.at(0, 0, 0, 0);
        Some((last, WallTime::from_millis(Offset::constant(8).to_timestamp(next).ok()?.as_millisecond())))
    });
    let Some(ends) = ends else {
        let shown = found.chars().take(40).collect::<String>().escape_debug().to_string();
        return refuse(format!(
            "--until: found `{shown}`; allowed: a day as YYYY-MM-DD, {today} to {latest} \
             ({EXEMPTION_YEARS} years ahead; that ceiling is part of the program)"
        ));
    };
    Ok(ends)
}

/// Exempts a cardholder, in place of an exemption that there is. What was done, in
/// words.
///
/// # Errors
/// If the day is no day, is past, or lies too far ahead.
pub async fn add(
    store: &Store,
    by: String,
    cardholder: CardholderId,
    until: &str,
    reason: String,
) -> Result<String, BureauError> {
    let by = on_one_line("--by", by, MAX_NAME)?;
    let reason = on_one_line("--reason", reason, MAX_TEXT)?;
    let at = SystemClock.now().wall;
    let (last, ends) = last_day(until, day(at)?)?;
    let (mark, person) = (store.mark(&cardholder), Person::of(Some(by.clone()))?);
    acts::note(store, &person, "exempt add", &mark, format!("until {last}")).await?;
    let enrolled = store.is_enrolled(&cardholder).await?;
    let new = Exemption { cardholder, until: ends, by, at, reason };
    store.exempt(&new).await?;
    let doubt = if enrolled { "" } else { "; nothing is enrolled under this number: is it the right one?" };
    Ok(format!(
        "{}: no window judges this cardholder until the end of {last} (mark {mark}){doubt}",
        new.cardholder
    ))
}

/// Ends a cardholder's exemption. What was done, in words.
///
/// # Errors
/// If there is none.
pub async fn end(store: &Store, by: String, cardholder: &CardholderId) -> Result<String, BureauError> {
    let by = on_one_line("--by", by, MAX_NAME)?;
    let mark = store.mark(cardholder);
    acts::note(store, &Person::of(Some(by))?, "exempt end", &mark, String::new()).await?;
    if store.end_exemption(cardholder).await? {
        return Ok(format!("{cardholder}: judged again from the next settlement on (mark {mark})"));
    }
    refuse(format!("{cardholder} is not exempt; `exempt list` shows who is"))
}

/// An exemption in force, as it is listed.
#[derive(Clone, Serialize)]
pub struct Listed {
    cardholder: CardholderId,
    /// What the record of acts calls the cardholder.
    mark: String,
    /// The last day of it.
    until: Date,
    by: String,
    at: WallTime,
    reason: String,
}

/// The exemptions in force, with their reasons: that somebody looked is an act.
///
/// # Errors
/// If the store fails.
pub async fn list(store: &Store, by: &Person) -> Result<Vec<Listed>, BureauError> {
    acts::note(store, by, "exempt list", "", String::new()).await?;
    let listed = |e: Exemption| {
        let until = day(WallTime::from_millis(e.until.as_millis() - 1))?;
        let Exemption { cardholder, by, at, reason, .. } = e;
        Ok(Listed { mark: store.mark(&cardholder), cardholder, until, by, at, reason })
    };
    store.exemptions(SystemClock.now().wall).await?.into_iter().map(listed).collect()
}

/// One line per exemption.
pub fn table(listed: &[Listed]) -> String {
    let mut text = format!(
        "{:<24} {:<16} {:<10} {:<16} {:<25} reason\n",
        "cardholder", "mark", "until", "by", "given at"
    );
    for Listed { cardholder, mark, until, by, at, reason } in listed {
        let (cardholder, until, at) = (cardholder.as_str(), until.to_string(), at.to_string());
        text.push_str(&format!("{cardholder:<24} {mark} {until} {by:<16} {at:<25} {reason}\n"));
    }
    text
}

/// Those of the acts that are about a cardholder's exemption.
pub fn about(store: &Store, cardholder: &CardholderId, acts: Vec<Act>) -> Vec<Act> {
    let mark = store.mark(cardholder);
    acts.into_iter().filter(|a| a.about == mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;

    const REASON: &str = "an identical twin";

    #[test]
    fn the_last_day_is_one_of_the_next_two_years_and_counts_whole_in_beijing() {
        let today: Date = "2026-11-22".parse().unwrap();
        let (last, ends) = last_day("2028-11-22", today).unwrap();
        assert_eq!(
            (last.to_string().as_str(), ends.to_string().as_str()),
            ("2028-11-22", "2028-11-22T16:00:00.000Z")
        );
        assert_eq!(day(WallTime::from_millis(ends.as_millis() - 1)).unwrap(), last);
        assert!(last_day("2026-11-22", today).is_ok());
        let leap: Date = "2028-02-29".parse().unwrap();
        assert!(last_day("2030-02-28", leap).is_ok() && last_day("2030-03-01", leap).is_err());
        let bad = [
            "2028-11-23",
            "2026-11-21",
            "9999-12-31",
            "20271122",
            "2027-11-22T10:00",
            "22.11.2027",
            "",
            "2027-\n",
        ];
        for found in bad {
            let e = last_day(found, today).unwrap_err().to_string();
            let shown = format!("--until: found `{}`; allowed: a day as YYYY-MM-DD", found.escape_debug());
            assert!(e.starts_with(&shown) && e.contains("2026-11-22 to 2028-11-22 (2 years ahead"), "{e}");
        }
    }

    #[tokio::test]
    async fn each_word_is_an_act_under_a_mark_without_the_reason() {
        on_both(async |store| {
            let cardholder: CardholderId = "P0001".parse().unwrap();
            let today = day(SystemClock.now().wall).unwrap();
            let until = today.saturating_add(30.days()).to_string();
            let given = async |by: &str, until: &str, reason: &str| {
                add(&store, by.into(), cardholder.clone(), until, reason.into())
                    .await
                    .map_err(|e| e.to_string())
            };
            let said = given("li", &until, REASON).await.unwrap();
            assert!(
                said.contains(&format!("until the end of {until}")) && said.contains("is it the right one?"),
                "{said}"
            );
            assert!(given("li\nwu", &until, REASON).await.unwrap_err().starts_with("--by: found"));
            assert!(given("li", &until, " ").await.unwrap_err().starts_with("--reason: found"));
            assert!(given("li", "soon", REASON).await.unwrap_err().starts_with("--until: found `soon`"));
            given("wu", &today.to_string(), REASON).await.unwrap();
            let listed = list(&store, &Person::of(Some("chen".into())).unwrap()).await.unwrap();
            let table = table(&listed);
            assert!(
                listed.len() == 1 && table.contains(REASON) && table.contains(&today.to_string()),
                "{table}"
            );
            end(&store, "li".into(), &cardholder).await.unwrap();
            let refused = end(&store, "li".into(), &cardholder).await.unwrap_err().to_string();
            assert!(refused.starts_with("P0001 is not exempt"), "{refused}");
            let acts = store.acts(9).await.unwrap();
            let done: Vec<_> = acts.iter().rev().map(|a| (a.what.as_str(), a.by.as_str())).collect();
            let expected = [
                ("exempt add", "li"),
                ("exempt add", "wu"),
                ("exempt list", "chen"),
                ("exempt end", "li"),
                ("exempt end", "li"),
            ];
            assert_eq!(done, expected);
            let told = acts::table(&acts);
            assert!(!told.contains("P0001") && !told.contains("twin"), "{told}");
            assert_eq!(about(&store, &cardholder, acts.clone()).len(), 4);
            assert!(about(&store, &"P0002".parse().unwrap(), acts).is_empty());
        })
        .await;
    }
}
