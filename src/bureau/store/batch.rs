//! Events of many boxes stored in one transaction.
//!
//! Promises: each event fares as if it had come alone, in the order given: stored
//! once, its place in the chain its own, gaps closed by what came later, withdrawals
//! and words of expiry heard; nothing of it is stored unless all of it is. Batches of
//! several processes on one database come one after the other, as they do in a file: so
//! nothing is stored twice, and who has seen the event of one number has seen all with
//! smaller numbers that there will ever be.
//!
//! What is read of the chains is read once for all, and kept up by [`Known`] while the
//! events are gone through; then it is written with few statements.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::Row;

use super::alerts::Listed;
use super::chain::{ChainState, Neighbour};
use super::events::{Insertion, kind, label, number};
use super::rows::{bind_all, made, portions, rows};
use super::{Agent, Database, Store, StoreError, Tx, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::Verified;
use crate::protocol::alert::{Content, Event};
use crate::protocol::countersign::Receipt;
use crate::protocol::id::{AgentId, AlertId, Epoch};

/// An event whose signature was checked, ready to be stored: sealed already, so that
/// the transaction has less to do.
pub struct Incoming {
    agent: AgentId,
    /// The box's record when its caller was looked up: newest key and certificate.
    record: (String, String),
    event: Event,
    digest: Sha256,
    sealed: Vec<u8>,
    signature: String,
    receipt: String,
    received_at: WallTime,
}

impl Incoming {
    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    fn place(&self) -> Result<Place, StoreError> {
        self.place_at(self.event.chain.seq)
    }

    fn place_at(&self, seq: u64) -> Result<Place, StoreError> {
        Ok((self.agent.clone(), self.event.chain.epoch, number(seq, self.event.id)?))
    }

    fn before(&self) -> Result<Place, StoreError> {
        self.place_at(self.event.chain.seq.saturating_sub(1))
    }
}

/// How a batch begins on a server. It waits for the one before it to be committed. A
/// process that stands still in the middle of one stands in the way of all, so the server
/// gives it up after a time. The server keeps the plan of each statement: planning over many
/// rows costs as much as carrying it out. A plan that was made for an empty table would read a
/// full one from end to end, so that only ways by an index are left to choose from.
const BEGIN: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; \
                     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
                     SET LOCAL enable_mergejoin = off; \
                     SET LOCAL idle_in_transaction_session_timeout = '30s'; \
                     SELECT pg_advisory_xact_lock(7166183713098886515)";

/// A place in a chain: box, epoch, number.
type Place = (AgentId, Epoch, i64);

fn after(place: &Place) -> Place {
    (place.0.clone(), place.1, place.2.saturating_add(1))
}

/// An event at a place: held before, or among those that are being stored.
struct Held {
    id: AlertId,
    digest: Sha256,
    previous: Option<Sha256>,
    chain: ChainState,
    /// Its row has another state than this.
    changed: bool,
}

/// What is known of the chains while a batch is gone through.
#[derive(Default)]
struct Known {
    held: HashMap<Place, Held>,
    ids: HashMap<AlertId, (AgentId, Sha256)>,
    /// The word of the smallest id counts, as it always did.
    expired: HashMap<Place, (AlertId, Sha256)>,
}

impl Known {
    fn at(&self, place: &Place) -> Option<Neighbour> {
        let held = self.held.get(place).map(|held| Neighbour { digest: held.digest, expired: false });
        held.or_else(|| {
            self.expired.get(place).map(|(_, digest)| Neighbour { digest: *digest, expired: true })
        })
    }

    fn expire(&mut self, place: Place, word: AlertId, digest: Sha256) {
        match self.expired.get(&place) {
            Some((first, _)) if *first <= word => {}
            _ => drop(self.expired.insert(place, (word, digest))),
        }
    }

    /// An event that came before what stands at this place now has its predecessor, or
    /// the word that it expired. An event that is held counts for more than such a word.
    fn settle(&mut self, place: &Place, digest: Sha256, fits: ChainState) {
        let Some(held) = self.held.get_mut(&after(place)) else { return };
        if fits != ChainState::Ok && held.chain != ChainState::Gap {
            return;
        }
        let state = if held.previous == Some(digest) { fits } else { ChainState::Broken };
        held.changed |= state != held.chain;
        held.chain = state;
    }
}

impl Store {
    /// Seals an event whose signature was checked, for [`Store::insert_events`].
    ///
    /// # Errors
    /// If the crypto library fails.
    pub fn incoming(
        &self,
        agent: &Agent,
        verified: &Verified<'_>,
        event: Event,
        receipt: &Receipt,
    ) -> Result<Incoming, StoreError> {
        Ok(Incoming {
            agent: agent.name.clone(),
            record: (agent.public_key.to_base64(), agent.certificate.to_string()),
            digest: Sha256::of(verified.bytes()),
            sealed: self.seal(&label(&event.id.to_string()), verified.bytes())?,
            signature: verified.signature().to_string(),
            receipt: receipt.signature.to_string(),
            received_at: receipt.received_at,
            event,
        })
    }

    /// Stores events, each once, with the bureau's receipts; answers after the commit,
    /// for each in the order given.
    ///
    /// # Errors
    /// If the database fails; nothing is stored then.
    pub async fn insert_events(&self, batch: &[Incoming]) -> Result<Vec<Insertion>, StoreError> {
        for month in batch.iter().map(|one| one.received_at).collect::<BTreeSet<_>>() {
            self.make_month(month).await?;
        }
        let mut tx = self.begin_batch().await?;
        let answers = self.insert_in(&mut tx, batch).await?;
        tx.commit().await?;
        Ok(answers)
    }

    /// Begins the transaction of a batch; in a file, its first write waits for others.
    pub(super) async fn begin_batch(&self) -> Result<Tx<'static>, StoreError> {
        Ok(match self.at {
            Database::File(_) => self.pool.begin().await?,
            Database::Server(_) => self.pool.begin_with(BEGIN).await?,
        })
    }

    /// Stores a batch; nothing counts before the commit.
    pub(super) async fn insert_in(
        &self,
        tx: &mut Tx<'_>,
        batch: &[Incoming],
    ) -> Result<Vec<Insertion>, StoreError> {
        let records = hear_boxes(tx, batch).await?;
        let mut known = known(tx, batch).await?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut stored = Vec::new();
        for one in batch {
            let answer = match records.get(one.agent.as_str()) {
                None => Insertion::Suspended,
                Some(record) if *record != one.record => Insertion::Stale,
                Some(_) => admit(&mut known, one)?,
            };
            if matches!(answer, Insertion::Stored(_)) {
                stored.push(one);
            }
            answers.push(answer);
        }
        if !stored.is_empty() {
            self.write(tx, &stored, &known).await?;
        }
        Ok(answers)
    }

    /// Writes those that are to be stored, and what they changed in the chains.
    async fn write(&self, tx: &mut Tx<'_>, stored: &[&Incoming], known: &Known) -> Result<(), StoreError> {
        let arrivals = insert_links(tx, stored, known).await?;
        for portion in portions(stored) {
            let head = "INSERT INTO payloads (event, sealed, signature, receipt) VALUES";
            let sql = rows(head, 4, portion.len(), "");
            let mut query = sqlx::query(made(sql));
            for one in portion {
                query = query.bind(one.event.id.to_string()).bind(&one.sealed);
                query = query.bind(&one.signature).bind(&one.receipt);
            }
            query.execute(&mut **tx).await?;
        }
        name_documents(tx, stored).await?;
        for one in stored {
            insert_word(tx, one).await?;
        }
        let mut listed = Vec::new();
        for one in stored {
            if let Some(about) = one.event.content.about() {
                let missing = || StoreError::Content { label: "events".into(), what: "no arrival".into() };
                let arrival = *arrivals.get(&one.event.id).ok_or_else(missing)?;
                let Incoming { agent, event, received_at, .. } = one;
                listed.push(Listed { arrival, agent, received_at: *received_at, event, about });
            }
        }
        self.list_alerts(tx, &listed).await?;
        let fresh: BTreeSet<AlertId> = stored.iter().map(|one| one.event.id).collect();
        for held in known.held.values().filter(|held| held.changed && !fresh.contains(&held.id)) {
            sqlx::query("UPDATE events SET chain = $1 WHERE id = $2")
                .bind(held.chain.as_str())
                .bind(held.id.to_string())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

/// Notes that the boxes were heard, those that are not suspended, and holds their rows
/// until the end; of each its newest key and certificate.
async fn hear_boxes(
    tx: &mut Tx<'_>,
    batch: &[Incoming],
) -> Result<HashMap<String, (String, String)>, StoreError> {
    let names: BTreeSet<&str> = batch.iter().map(|one| one.agent.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let latest = batch.iter().map(|one| one.received_at.as_millis()).max().unwrap_or_default();
    let mut records = HashMap::new();
    for names in portions(&names) {
        let sql = rows(
            &format!("UPDATE agents SET last_seen = ${} WHERE name IN (VALUES", names.len() + 1),
            1,
            names.len(),
            ") AND suspended = FALSE RETURNING name, public_key, certificate",
        );
        let query = bind_all(sqlx::query(made(sql)), names.iter().copied()).bind(latest);
        for row in query.fetch_all(&mut **tx).await? {
            records.insert(row.try_get("name")?, (row.try_get("public_key")?, row.try_get("certificate")?));
        }
    }
    Ok(records)
}

/// What is held at the places that a batch is about, and under its ids.
async fn known(tx: &mut Tx<'_>, batch: &[Incoming]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let ids: Vec<String> = batch.iter().map(|one| one.event.id.to_string()).collect();
    for portion in portions(&ids) {
        let sql = rows("SELECT id, agent, digest FROM events WHERE id IN (VALUES", 1, portion.len(), ")");
        let query = bind_all(sqlx::query(made(sql)), portion.iter().map(String::as_str));
        for row in query.fetch_all(&mut **tx).await? {
            let of = |column: &str| row.try_get::<String, _>(column);
            let held = (parse("events", &of("agent")?)?, parse("events", &of("digest")?)?);
            known.ids.insert(parse("events", &of("id")?)?, held);
        }
    }
    let mut places = BTreeSet::new();
    for one in batch {
        let place = one.place()?;
        places.extend([one.before()?, after(&place), place]);
        if let Content::Expired(expired) = &one.event.content {
            places.insert(after(&one.place_at(expired.seq)?));
        }
    }
    let places: Vec<Place> = places.into_iter().collect();
    for portion in portions(&places) {
        read_held(tx, portion, &mut known).await?;
    }
    let mut empty = Vec::new();
    for one in batch {
        let before = one.before()?;
        if before.2 > 0 && !known.held.contains_key(&before) {
            empty.push(before);
        }
    }
    for portion in portions(&empty) {
        read_expired(tx, portion, &mut known).await?;
    }
    Ok(known)
}

/// A join, and no `(agent, epoch, seq) IN (…)`: for that SQLite reads the whole index.
async fn read_held(tx: &mut Tx<'_>, places: &[Place], known: &mut Known) -> Result<(), StoreError> {
    let head = "SELECT e.agent, e.epoch, e.seq, e.id, e.digest, e.previous, e.chain FROM (VALUES";
    let tail = ") AS p JOIN events e ON e.agent = p.column1 AND e.epoch = p.column2 AND e.seq = p.column3";
    let mut query = sqlx::query(made(rows(head, 3, places.len(), tail)));
    for (agent, epoch, seq) in places {
        query = query.bind(agent.as_str()).bind(epoch.to_string()).bind(seq);
    }
    for row in query.fetch_all(&mut **tx).await? {
        let of = |column: &str| row.try_get::<String, _>(column);
        let place =
            (parse("events", &of("agent")?)?, parse("events", &of("epoch")?)?, row.try_get::<i64, _>("seq")?);
        let previous: Option<String> = row.try_get("previous")?;
        let held = Held {
            id: parse("events", &of("id")?)?,
            digest: parse("events", &of("digest")?)?,
            previous: previous.map(|p| parse("events", &p)).transpose()?,
            chain: ChainState::read(&of("chain")?),
            changed: false,
        };
        known.held.insert(place, held);
    }
    Ok(())
}

async fn read_expired(tx: &mut Tx<'_>, places: &[Place], known: &mut Known) -> Result<(), StoreError> {
    let head = "SELECT e.agent, e.epoch, e.seq, e.event, e.digest FROM (VALUES";
    let tail =
        ") AS p JOIN expirations e ON e.agent = p.column1 AND e.epoch = p.column2 AND e.seq = p.column3";
    let mut query = sqlx::query(made(rows(head, 3, places.len(), tail)));
    for (agent, epoch, seq) in places {
        query = query.bind(agent.as_str()).bind(epoch.to_string()).bind(seq);
    }
    for row in query.fetch_all(&mut **tx).await? {
        let of = |column: &str| row.try_get::<String, _>(column);
        let label = "expirations";
        let place = (parse(label, &of("agent")?)?, parse(label, &of("epoch")?)?, row.try_get("seq")?);
        known.expire(place, parse(label, &of("event")?)?, parse(label, &of("digest")?)?);
    }
    Ok(())
}

/// How an event fares, by what is known; it is known itself from then on.
fn admit(known: &mut Known, one: &Incoming) -> Result<Insertion, StoreError> {
    let event = &one.event;
    if let Some((agent, digest)) = known.ids.get(&event.id) {
        let same = *agent == one.agent && *digest == one.digest;
        return Ok(if same { Insertion::Duplicate } else { Insertion::OtherBytes });
    }
    let place = one.place()?;
    if let Some(held) = known.held.get(&place) {
        return Ok(Insertion::PlaceTaken(held.id));
    }
    let chain = ChainState::of(&event.chain, known.at(&one.before()?));
    let (digest, previous) = (one.digest, event.chain.previous);
    known.held.insert(place.clone(), Held { id: event.id, digest, previous, chain, changed: false });
    known.ids.insert(event.id, (one.agent.clone(), digest));
    if let Content::Expired(expired) = &event.content {
        let gone = one.place_at(expired.seq)?;
        known.settle(&gone, expired.digest, ChainState::Expired);
        known.expire(gone, event.id, expired.digest);
    }
    known.settle(&place, digest, ChainState::Ok);
    Ok(Insertion::Stored(chain))
}

/// Writes the links of the chains; the arrival of each.
async fn insert_links(
    tx: &mut Tx<'_>,
    stored: &[&Incoming],
    known: &Known,
) -> Result<BTreeMap<AlertId, i64>, StoreError> {
    let mut arrivals = BTreeMap::new();
    for portion in portions(stored) {
        let head =
            "INSERT INTO events (id, agent, epoch, seq, digest, previous, kind, chain, received_at) VALUES";
        let mut query = sqlx::query(made(rows(head, 9, portion.len(), "RETURNING id, arrival")));
        for one in portion {
            let place = one.place()?;
            let chain = known.held.get(&place).map_or(ChainState::Broken, |held| held.chain);
            query = query
                .bind(one.event.id.to_string())
                .bind(one.agent.as_str())
                .bind(place.1.to_string())
                .bind(place.2)
                .bind(one.digest.to_string())
                .bind(one.event.chain.previous.map(|p| p.to_string()))
                .bind(kind(&one.event.content))
                .bind(chain.as_str())
                .bind(one.received_at.as_millis());
        }
        for row in query.fetch_all(&mut **tx).await? {
            arrivals.insert(parse("events", row.try_get("id")?)?, row.try_get("arrival")?);
        }
    }
    Ok(arrivals)
}

/// Which documents the alerts name.
async fn name_documents(tx: &mut Tx<'_>, stored: &[&Incoming]) -> Result<(), StoreError> {
    let mut named = Vec::new();
    for one in stored {
        if let Some(about) = one.event.content.about() {
            let settings = about.settings;
            let digests = BTreeSet::from([settings.policy, settings.notice, settings.calibration]);
            named.extend(digests.into_iter().map(|digest| (one.event.id, digest)));
        }
    }
    for portion in portions(&named) {
        let sql = rows("INSERT INTO named_documents (event, digest) VALUES", 2, portion.len(), "");
        let values = portion.iter().flat_map(|(event, digest)| [event.to_string(), digest.to_string()]);
        bind_all(sqlx::query(made(sql)), values).execute(&mut **tx).await?;
    }
    Ok(())
}

/// A withdrawal or a word of expiry. They are few.
async fn insert_word(tx: &mut Tx<'_>, one: &Incoming) -> Result<(), StoreError> {
    let (id, agent) = (one.event.id.to_string(), one.agent.as_str());
    match &one.event.content {
        Content::Mismatch(_) | Content::Absent(_) => {}
        Content::Withdrawn(w) => {
            sqlx::query("INSERT INTO withdrawals (event, agent, alert) VALUES ($1, $2, $3)")
                .bind(&id)
                .bind(agent)
                .bind(w.alert.to_string())
                .execute(&mut **tx)
                .await?;
            // A decision stays; whoever has its page open hears of it all the same.
            sqlx::query(
                "UPDATE alerts SET state = CASE WHEN state = 'open' THEN 'withdrawn' ELSE state END, \
                 changed_at = $1 WHERE id = $2 AND agent = $3",
            )
            .bind(one.received_at.as_millis())
            .bind(w.alert.to_string())
            .bind(agent)
            .execute(&mut **tx)
            .await?;
        }
        Content::Expired(e) => {
            sqlx::query(
                "INSERT INTO expirations (event, agent, epoch, seq, alert, digest) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(&id)
            .bind(agent)
            .bind(one.event.chain.epoch.to_string())
            .bind(number(e.seq, one.event.id)?)
            .bind(e.alert.to_string())
            .bind(e.digest.to_string())
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
