//! `counterproof-bureau seed`: fills a store with made-up alerts, to look at and to
//! measure with.
//!
//! Promises: every alert is signed by the key of its made-up box, stands in that box's
//! chain and bears the bureau's receipt, so that everything that checks them can; a
//! store that holds anything real is refused; a store that was filled says on every
//! page that it is made up. What it does not do: imitate how often anything happens.
//! The shares in it are invented, and say nothing about a city.

mod alerts;
mod chance;
mod city;
mod life;
mod papers;

use std::io::Write;
use std::time::Instant;

use self::alerts::{Made, Maker, Scores};
use self::chance::Chance;
use self::city::City;
use self::life::Life;
use self::papers::CALIBRATION;
use super::BureauError;
use super::acts::{self, Person};
use super::store::{AgentChange, NewAgent, Store};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;

pub use alerts::DESK;

/// Alerts in one transaction.
const AT_ONCE: usize = 2_000;
/// Most alerts at a time.
const MOST: u32 = 10_000_000;

/// How much is made up.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Amount {
    /// How many alerts.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub alerts: u32,
    /// Another number makes other alerts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Fills the store; progress goes to `told`.
///
/// # Errors
/// If it holds anything real, was filled before, or fails.
pub async fn fill(
    store: &Store,
    key: &SigningKey,
    by: &Person,
    amount: Amount,
    now: WallTime,
    told: &mut impl Write,
) -> Result<(), BureauError> {
    let city = put_alerts(store, key, by, amount, now, told).await?;
    let (policy, settings) = (papers::policy(), papers::settings());
    let model = Scores::read(CALIBRATION)?.model();
    let life = Life { city: &city, settings: &settings, model, policy: &policy, bureau: key, now };
    life.put(store, &mut Chance::new(amount.seed.wrapping_add(1))).await?;
    store.gather_statistics().await?;
    writeln!(told, "all of it is made up")?;
    Ok(())
}

/// The city and its alerts.
async fn put_alerts(
    store: &Store,
    key: &SigningKey,
    by: &Person,
    amount: Amount,
    now: WallTime,
    told: &mut impl Write,
) -> Result<City, BureauError> {
    let refused = |what: String| BureauError::Command(what);
    if !(1..=MOST).contains(&amount.alerts) {
        return Err(refused(format!("--alerts: found {}; allowed: 1 to {MOST}", amount.alerts)));
    }
    if let Some(real) = store.holds_real().await? {
        return Err(refused(format!("the store holds {real}: made-up alerts go into an empty one")));
    }
    if store.newest_arrival().await? > 0 {
        return Err(refused("the store was filled before: name an empty one".into()));
    }
    // First of all: a store that is half filled is made up too.
    store.mark_made_up().await?;
    let what = format!("{} alerts, seed {}", amount.alerts, amount.seed);
    acts::note(store, by, "seed", "made-up alerts", what).await?;
    store.note_bureau_key(&key.public(), now).await?;
    let mut chance = Chance::new(amount.seed);
    let city = City::new(&mut chance)?;
    put_city(store, &city, now).await?;
    store.put_made_documents(&papers::documents(), now).await?;
    let (scores, settings) = (Scores::read(CALIBRATION)?, papers::settings());
    let made = Made { city: &city, scores: &scores, settings: &settings, bureau: key, now };
    put_events(store, Maker::new(made, amount.alerts, chance), told).await?;
    Ok(city)
}

async fn put_city(store: &Store, city: &City, now: WallTime) -> Result<(), BureauError> {
    store.keep_hospitals(&city.hospitals).await?;
    let since = WallTime::from_millis(now.as_millis() - (alerts::DAYS + 1) * 24 * 3_600_000);
    for (_, made) in &city.boxes {
        let new = NewAgent {
            name: made.name.clone(),
            hospital: made.hospital.clone(),
            public_key: made.key.public(),
            // Of no certificate at all: nobody can connect as this box.
            certificate: Sha256::of(made.key.public().to_base64().as_bytes()),
        };
        if store.add_agent(&new, since).await? == AgentChange::Refused {
            return Err(BureauError::Command(format!("the box {} is on record already", made.name)));
        }
    }
    Ok(())
}

async fn put_events(store: &Store, mut maker: Maker<'_>, told: &mut impl Write) -> Result<(), BureauError> {
    let begun = Instant::now();
    let mut done = 0;
    loop {
        let events = maker.next(AT_ONCE)?;
        if events.is_empty() {
            break;
        }
        store.insert_made(&events).await?;
        done += events.len();
        if done % (5 * AT_ONCE) < AT_ONCE {
            writeln!(told, "{done} events in {:.1} s", begun.elapsed().as_secs_f64())?;
        }
    }
    store.gather_statistics().await?;
    writeln!(told, "{done} events in {:.1} s", begun.elapsed().as_secs_f64())?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bureau::figures::calendar::{Day, Days};
    use crate::bureau::review::{Claim, Decision};
    use crate::bureau::store::tests::{box_with_key, on_both};
    use crate::bureau::store::{By, Place, QueueFilter, QueueFrom, QueueOrder};

    /// When it was filled.
    pub(in crate::bureau) const FILLED_AT: i64 = 1_795_000_000_000;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    fn by() -> Person {
        Person::of(Some("test".into())).unwrap()
    }

    /// A store with so many made-up alerts, and nothing else.
    pub(in crate::bureau) async fn filled(store: &Store, alerts: u32) {
        let (now, amount) = (WallTime::from_millis(FILLED_AT), Amount { alerts, seed: 3 });
        put_alerts(store, &key(), &by(), amount, now, &mut std::io::sink()).await.unwrap();
    }

    #[tokio::test]
    async fn a_filled_store_has_something_on_every_page() {
        on_both(async |store| {
            let (now, amount) = (WallTime::from_millis(FILLED_AT), Amount { alerts: 50, seed: 3 });
            fill(&store, &key(), &by(), amount, now, &mut std::io::sink()).await.unwrap();
            let boxes = store.boxes().await.unwrap();
            let postures = store.postures().await.unwrap();
            assert!(boxes.len() == postures.len() && store.audit_findings().await.unwrap().is_empty());
            let declared = store.declared_digests().await.unwrap();
            assert!(declared.len() < boxes.len() && declared.len() * 10 > boxes.len() * 8);
            assert!(declared.values().all(|digest| *digest == postures[0].posture.policy));
            let (today, place) = (Day::of(now), Place::default());
            let counted =
                store.verdicts(By::Day, Days::between(today.plus(-7), today), &place).await.unwrap();
            assert!(counted.iter().any(|v| v.verdict == "match" && v.n > 1_000), "{}", counted.len());
            assert!(counted.iter().any(|v| v.verdict == "absent"));
            assert!(store.known_counters(&place).await.unwrap().len() > boxes.len());
            assert_eq!(store.settled_months().await.unwrap().len(), 2);
        })
        .await;
    }

    #[tokio::test]
    async fn a_store_is_filled_with_alerts_that_can_be_checked_and_says_that_they_are_made_up() {
        on_both(async |store| {
            assert!(!store.is_made_up().await.unwrap());
            filled(&store, 2_000).await;
            assert!(store.is_made_up().await.unwrap());
            let filter = QueueFilter::default();
            let page = store.queue_page(&filter, QueueOrder::Serious, QueueFrom::Start, 2_000).await.unwrap();
            assert_eq!(page.rows.len(), 2_000);
            assert!(page.rows.iter().all(|r| r.alert.signature_valid && r.place.is_some()));
            let seriousness = |n| page.rows.iter().filter(|r| r.seriousness == n).count();
            assert!((0..=2).all(|n| seriousness(n) > 0));
            let counts = store.queue_counts(&filter).await.unwrap();
            assert_eq!(counts.open + counts.decided + counts.withdrawn, 2_000);
            assert!(counts.open > 200 && counts.decided > 100 && counts.withdrawn > 2, "{counts:?}");
            let one = &page.rows[0].alert;
            let settings = one.event.as_ref().unwrap().content.about().unwrap().settings.clone();
            let absences = page.rows.iter().filter(|r| r.claim == Claim::Absent);
            assert!((60..400).contains(&absences.clone().count()), "{}", absences.count());
            let of_absences = QueueFilter { claim: Some(Claim::Absent), ..filter.clone() };
            let counted = store.queue_counts(&of_absences).await.unwrap();
            assert_eq!((counted.open + counted.decided + counted.withdrawn) as usize, absences.count());
            for row in &page.rows {
                let said = row.alert.event.as_ref().unwrap();
                assert_eq!(Claim::of(&said.content), Some(row.claim));
                let found = row.decision.as_deref().map(|d| d.parse::<Decision>().unwrap());
                assert!(found.is_none_or(|d| d.fits(row.claim)), "{found:?} of {:?}", row.claim);
            }
            for digest in [settings.policy, settings.notice, settings.calibration] {
                assert!(store.document(digest).await.unwrap().is_some());
            }
            // An event that comes afterwards gets a number of its own.
            assert!(store.agents().await.unwrap().iter().all(|a| a.gaps == 0 && a.broken == 0));
        })
        .await;
    }

    #[tokio::test]
    async fn a_store_with_anything_real_in_it_is_refused() {
        on_both(async |store| {
            let (new, key) = box_with_key("box-1");
            store.add_agent(&new, WallTime::from_millis(0)).await.unwrap();
            let amount = Amount { alerts: 1, seed: 1 };
            let now = WallTime::from_millis(FILLED_AT);
            let refused = fill(&store, &key, &by(), amount, now, &mut std::io::sink()).await.unwrap_err();
            assert!(refused.to_string().contains("1 boxes on record"), "{refused}");
            assert!(!store.is_made_up().await.unwrap());
        })
        .await;
    }
}
