//! Check-ins: one photograph from a telephone, compared with one person, in memory.
//!
//! For ward rounds and doctors' sign-in. Promises: off unless the configuration declares
//! it with a basis, a notice, an assessment and a limit of its own; one to one, since
//! nothing here takes more than one cardholder; the fact is kept and no photograph; what
//! one photograph says becomes no alert and no case; each is in the record of acts before
//! it is looked at; who is exempt looks like who was never enrolled.
//!
//! [`api`] is the apps' side, the console's `check_in` page the people's; [`parts`] reads
//! what both send, [`eyes`] looks. It does not say who a photograph shows.

pub mod api;
pub mod config;
mod eyes;
pub mod parts;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use self::config::CheckInsConfig;
use self::eyes::{Eyes, Unreadable};
use self::parts::{Asked, Sent};
use super::BureauError;
use super::config::Config;
use super::metrics;
use super::rate::Limiter;
use super::store::{Act, CheckIn, Store, StoreError};
use crate::clock::{Clock, WallTime};
use crate::crypto::Sha256;
use crate::crypto::keys::read_token;
use crate::privacy::check_ins::CheckInPolicy;
use crate::protocol::check_in::{CheckInOutcome, ScoreBand};
use crate::protocol::reference::Template;
use crate::protocol::verdict::NotAssessed;
use crate::settings::{self, Problem};

pub use eyes::MOST_PIXELS;

/// So many are read or looked at at once; 8 MiB each at most.
const PLACES: usize = 8;
/// So often in a minute one cardholder may be asked about, by all callers together:
/// nobody improves a picture by trying.
const OF_ONE: u32 = 10;
/// After so many seconds there is room again.
const BUSY_S: u64 = 2;

/// Who asks, as the record of acts names them: an account, or `app:` and a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller(String);

impl Caller {
    /// Somebody with a session of the console.
    pub fn account(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// Room to send a photograph.
pub struct Room(OwnedSemaphorePermit);

/// Why a check-in was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// This caller, or about this cardholder, too often; seconds to wait.
    TooOften(u64),
    /// Too many at once; seconds to wait.
    Busy(u64),
    /// The photograph is no whole picture, or has too many pixels.
    Unreadable(String),
    /// The store failed: nothing is kept.
    Store(StoreError),
}

impl Refusal {
    /// Its word in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooOften(_) => "too_often",
            Self::Busy(_) => "busy",
            Self::Unreadable(_) => "unreadable",
            Self::Store(_) => "store",
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

/// What takes check-ins.
pub struct CheckIns {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    eyes: Arc<Eyes>,
    policy: CheckInPolicy,
    /// Each app with the digest of its token.
    apps: Vec<(Caller, Sha256)>,
    callers: Limiter<Caller>,
    people: Limiter<String>,
    places: Arc<Semaphore>,
}

/// Complaints with their places in the file.
fn refuse(config: &Config, problems: Vec<Problem>) -> BureauError {
    let text = settings::text(&config.file).unwrap_or_default();
    settings::refuse(&config.file, &text, problems).into()
}

/// Reads the apps' tokens.
fn apps(check_ins: &CheckInsConfig) -> Result<Vec<(Caller, Sha256)>, BureauError> {
    let mut apps: Vec<(Caller, Sha256)> = Vec::new();
    for app in &check_ins.apps {
        let digest = Sha256::of(read_token(&app.token)?.as_bytes());
        if apps.iter().any(|(_, held)| *held == digest) {
            let what =
                format!("check_ins.apps: the token of {} is another app's too: make one for each", app.name);
            return Err(BureauError::Command(what));
        }
        apps.push((Caller(format!("app:{}", app.name)), digest));
    }
    Ok(apps)
}

/// The notice that `[check_ins]` makes, as text, and its digest.
///
/// # Errors
/// If the section is not there, or something is missing in it.
pub fn notice(config: &Config, now: WallTime) -> Result<(String, Sha256), BureauError> {
    let Some(check_ins) = &config.check_ins else {
        return Err(BureauError::Command("check_ins: found nothing; write the section first".into()));
    };
    let draft = config::draft(config, check_ins, now).map_err(|p| refuse(config, p))?;
    Ok((draft.printed().text(), draft.notice.sha256))
}

impl CheckIns {
    /// Makes ready what the configuration asks for; nothing if it asks for none.
    ///
    /// # Errors
    /// Everything that is not declared, a model or calibration that cannot be used, a
    /// token that cannot be read.
    pub fn open(
        config: &Config,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, BureauError> {
        let Some(check_ins) = &config.check_ins else { return Ok(None) };
        let (policy, warnings) =
            config::policy(config, check_ins, clock.now().wall).map_err(|p| refuse(config, p))?;
        for warning in warnings {
            tracing::warn!(warning, "check-ins: something will end soon");
        }
        let apps = apps(check_ins)?;
        let eyes = Arc::new(Eyes::open(config, check_ins)?);
        tracing::info!(apps = apps.len(), notice = policy.notice.id, "check-ins are taken");
        Ok(Some(Self {
            store,
            clock,
            eyes,
            policy,
            apps,
            callers: Limiter::new(check_ins.per_minute),
            people: Limiter::new(OF_ONE),
            places: Arc::new(Semaphore::new(PLACES)),
        }))
    }

    /// What was declared.
    pub const fn policy(&self) -> &CheckInPolicy {
        &self.policy
    }

    /// The app whose token this is. Digests are compared, all of them: how long that takes
    /// says nothing of a token.
    fn app(&self, token: &str) -> Option<Caller> {
        let given = Sha256::of(token.as_bytes());
        self.apps
            .iter()
            .fold(None, |found, (app, digest)| if *digest == given { Some(app.clone()) } else { found })
    }

    /// Room for one photograph, before it is read.
    ///
    /// # Errors
    /// If this caller asks too often, or there is none.
    pub fn room(&self, by: &Caller) -> Result<Room, Refusal> {
        self.callers.admit(by, self.clock.now().boot).map_err(Refusal::TooOften)?;
        Arc::clone(&self.places).try_acquire_owned().map(Room).map_err(|_| Refusal::Busy(BUSY_S))
    }

    /// Looks at one photograph, and keeps what came of it: what was begun is finished, though
    /// whoever asked may be gone.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is kept then but the act.
    pub async fn check(self: &Arc<Self>, room: Room, by: &Caller, sent: Sent) -> Result<CheckIn, Refusal> {
        let (this, by) = (Arc::clone(self), by.clone());
        let checking = tokio::spawn(async move { this.check_to_the_end(room, by, sent).await });
        let ended = |_| Refusal::Store(StoreError::Database(sqlx::Error::WorkerCrashed));
        checking.await.map_err(ended)?
    }

    async fn check_to_the_end(&self, room: Room, by: Caller, sent: Sent) -> Result<CheckIn, Refusal> {
        let Sent { asked: Asked { cardholder, purpose, place }, photo } = sent;
        let (now, mark) = (self.clock.now(), self.store.mark(&cardholder));
        self.people.admit(&mark, now.boot).map_err(Refusal::TooOften)?;
        let (at, by) = (now.wall, by.0);
        let detail = purpose.as_str().to_owned();
        self.store.act(&Act { at, by: by.clone(), what: "check-in".into(), about: mark, detail }).await?;
        let identity = self.eyes.identity();
        let held = self.store.references(&cardholder, at).await?;
        let fits = held
            .into_iter()
            .filter(|r| r.model == identity.sha256 && r.preprocessing == identity.preprocessing);
        let references: Vec<Template> = fits.map(|r| r.template).collect();
        let (outcome, score_band) =
            self.look(room, photo, references).await.map_err(|e| Refusal::Unreadable(e.0))?;
        let made = CheckIn {
            id: uuid::Uuid::now_v7().to_string(),
            at,
            cardholder,
            by,
            purpose,
            place,
            verdict: outcome.verdict(),
            reason: outcome.reason().map(str::to_owned),
            score_band,
        };
        self.store.keep_check_in(&made).await?;
        metrics::checked_in(made.verdict);
        Ok(made)
    }

    async fn look(
        &self,
        room: Room,
        photo: Zeroizing<Vec<u8>>,
        references: Vec<Template>,
    ) -> Result<(CheckInOutcome, Option<ScoreBand>), Unreadable> {
        // Without a reference nobody is looked at.
        if references.is_empty() {
            return Ok((CheckInOutcome::NotAssessed(NotAssessed::NoReference), None));
        }
        let eyes = Arc::clone(&self.eyes);
        let looking = tokio::task::spawn_blocking(move || {
            // The room is given back when this is done, though nobody may wait for it any more.
            let _room = room.0;
            eyes.look(photo, &references)
        });
        looking.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a check-in broke off");
            Ok((CheckInOutcome::NotAssessed(NotAssessed::Fault), None))
        })
    }
}
