//! How a box joins: an administrator makes a one-time code for a name and a
//! hospital; the box shows it on a listener of its own, with its keys, and is on
//! record from then on.
//!
//! Promises: a code is shown once and held as its SHA-256; it is good for
//! [`CODE_HOURS`] and for one box; nothing is done that is not written down first.
//! The listener has one path, asks for no certificate, and shows nothing of the
//! store. A box that joins raises no alert by that: it begins in shadow.
//!
//! A code for a box that is on record gives it new keys, after a re-imaging or
//! before its certificate ends: the old ones end then, or after the overlap.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::BureauError;
use super::acts::{self, Person};
use super::api::Body;
use super::config::Config;
use super::metrics;
use super::store::{Code, Joined, Joining, NewCode, Store, StoreError};
use crate::clock::{Clock, WallTime};
use crate::crypto::Sha256;
use crate::crypto::authority::{Authority, Point};
use crate::crypto::sign::{PublicKey, Signature, Unverified};
use crate::http::problem::Problem;
use crate::http::request::{self, Routes};
use crate::protocol::SIGNATURE_HEADER;
use crate::protocol::id::{AgentId, HospitalId};
use crate::protocol::join::{JOIN_PATH, JoinAnswer, JoinCode, JoinRequest, MAX_BYTES, Tls, digest_of};
use crate::protocol::json;

/// For how many hours a code is good.
pub const CODE_HOURS: u64 = 24;

/// As logs and metrics name them.
const ROUTES: Routes = Routes(&[JOIN_PATH]);

/// For which box a code is.
#[derive(Debug, Clone)]
pub struct For {
    /// Its name.
    pub agent: AgentId,
    /// Where it stands; for a box on record, where it is on record for.
    pub hospital: Option<HospitalId>,
    /// For a box on record: how long its old keys stay good after it joined.
    pub overlap: Duration,
}

/// A code, to be shown once.
pub struct Shown {
    /// The line.
    pub line: Zeroizing<String>,
    /// From when on it is of no use.
    pub expires_at: WallTime,
    /// Whether it gives new keys to a box on record.
    pub replaces: bool,
}

/// Makes codes, for a listener that shows one certificate.
pub struct Codes {
    pin: Sha256,
}

fn refuse<T>(what: String) -> Result<T, BureauError> {
    Err(BureauError::Command(what))
}

impl Codes {
    /// For the listener of this configuration.
    ///
    /// # Errors
    /// If boxes cannot join here, or the bureau's certificate cannot be read.
    pub fn of(config: &Config) -> Result<Self, BureauError> {
        if config.join.is_none() {
            return refuse(
                "boxes cannot join here: the configuration has no [join] (docs/operating.md, \"Boxes join\")"
                    .into(),
            );
        }
        Ok(Self { pin: config.server.tls.pin()? })
    }

    /// Makes a code. A former one for the same name ends.
    ///
    /// # Errors
    /// If a new box has no hospital, or one on record is said to stand elsewhere.
    pub async fn make(
        &self,
        store: &Store,
        by: &Person,
        wish: For,
        now: WallTime,
    ) -> Result<Shown, BureauError> {
        let held = store.agent(&wish.agent).await?;
        let replaces = held.is_some();
        let hospital = match (held.map(|a| a.hospital), wish.hospital) {
            (Some(held), Some(said)) if held != said => {
                return refuse(format!(
                    "{}: on record for hospital {held}, not {said}; a box that moves gets another name",
                    wish.agent
                ));
            }
            (Some(held), _) => held,
            (None, Some(said)) => said,
            (None, None) => return refuse(format!("{}: a new box needs its hospital's code", wish.agent)),
        };
        let overlap = if replaces { wish.overlap } else { Duration::ZERO };
        let expires_at = now.plus(Duration::from_secs(CODE_HOURS * 3600));
        let detail = format!(
            "hospital {hospital}, until {expires_at}{}",
            if replaces { ", new keys in place of those on record" } else { "" }
        );
        acts::note(store, by, "agents code", wish.agent.as_str(), detail).await?;
        let mut secret = Zeroizing::new([0; 32]);
        if SystemRandom::new().fill(secret.as_mut()).is_err() {
            return refuse("the system gave no randomness".into());
        }
        let code = JoinCode::new(secret, self.pin);
        let new = NewCode {
            secret: digest_of(&code.secret()),
            agent: wish.agent,
            hospital,
            replaces,
            overlap,
            by: by.name().to_owned(),
            expires_at,
        };
        store.keep_code(&new, now).await?;
        Ok(Shown { line: code.to_line(), expires_at, replaces })
    }
}

/// What the listener works with.
pub struct Joins {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    authority: Option<Authority>,
    ca: String,
    url: Option<String>,
    port: u16,
    key: PublicKey,
}

impl Joins {
    /// With what the configuration names; `port` is where boxes are heard.
    ///
    /// # Errors
    /// If the authority's key or the authority to trust cannot be read; `None`
    /// where boxes cannot join.
    pub fn open(
        config: &Config,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        (port, key): (u16, PublicKey),
    ) -> Result<Option<Self>, BureauError> {
        let Some(join) = &config.join else { return Ok(None) };
        let authority = join.authority_key.as_deref().map(Authority::read).transpose()?;
        let trust: PathBuf = join.trust.clone().unwrap_or_else(|| config.server.tls.ca.clone());
        let ca = std::fs::read_to_string(&trust)
            .map_err(|e| BureauError::Command(format!("join.trust {}: {e}", trust.display())))?;
        Ok(Some(Self { store, clock, authority, ca, url: join.url.clone(), port, key }))
    }

    fn certificate(&self, code: &Code, tls: &Tls, now: WallTime) -> Result<Certificate, Problem> {
        let wrong = |what: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what).about("tls");
        let (point, authority) = match (tls, &self.authority) {
            (Tls::Certificate(pem), _) => {
                let der = CertificateDer::from_pem_slice(pem.as_bytes())
                    .map_err(|e| wrong(&format!("no certificate as PEM: {e}")))?;
                return Ok(Certificate { digest: Sha256::of(&der), made: None });
            }
            (Tls::Key(text), Some(authority)) => {
                let point = Point::from_base64(text);
                (point.ok_or_else(|| wrong("no P-256 point: 65 bytes as base64"))?, authority)
            }
            (Tls::Key(_), None) => {
                let detail = "this bureau makes no certificates for boxes (join.authority_key is not set): let your \
                              authority make one from tls.csr, and join with --certificate; the code stays good";
                return Err(Problem::new(StatusCode::CONFLICT, detail).about("tls"));
            }
        };
        let failed = |what: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what);
        let today = day(now).map_err(failed)?;
        let made = authority.issue(code.agent.as_str(), &point, today).map_err(|e| failed(e.to_string()))?;
        let end = made.last_day.to_zoned(TimeZone::UTC).map_err(|e| failed(e.to_string()))?;
        let until = WallTime::from_millis(end.timestamp().as_millisecond());
        Ok(Certificate { digest: made.digest, made: Some((made.pem, until)) })
    }
}

/// The certificate of a box that joins.
struct Certificate {
    digest: Sha256,
    /// If it was made here: the PEM, and when it ends.
    made: Option<(String, WallTime)>,
}

fn day(at: WallTime) -> Result<Date, String> {
    let at = Timestamp::from_millisecond(at.as_millis()).map_err(|e| e.to_string())?;
    Ok(at.to_zoned(TimeZone::UTC).date())
}

/// The listener's one path.
pub fn router(joins: Arc<Joins>) -> Router {
    Router::new()
        .route(JOIN_PATH, post(receive).layer(DefaultBodyLimit::max(MAX_BYTES)))
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "boxes join here; see docs/contracts.md, \"Joining\"")
        })
        .layer(from_fn_with_state(ROUTES, metrics::observe))
        .layer(from_fn_with_state(ROUTES, request::identify))
        .with_state(joins)
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::error!(%error, "the store failed");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the bureau's store failed; the code stays good: try again")
}

fn no_code() -> Problem {
    tracing::warn!("somebody tried to join with a code that is not good");
    let detail =
        "this code is not known, was used, or its time is over: ask the bureau's administrator for another";
    Problem::new(StatusCode::FORBIDDEN, detail).about("secret")
}

async fn receive(State(joins): State<Arc<Joins>>, headers: HeaderMap, Body(body): Body) -> Response {
    match joins.receive(&headers, &body).await {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Joins {
    async fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<JoinAnswer, Problem> {
        let request: JoinRequest = json::read(body)
            .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, e.what).about(e.field))?;
        let secret = digest_of(&request.secret);
        let now = self.clock.now().wall;
        let held = self.store.code(secret).await.map_err(|e| unavailable(&e))?;
        let code = held.filter(|c| c.is_good(now)).ok_or_else(no_code)?;
        signed(headers, body, &request.public_key)?;
        let certificate = self.certificate(&code, &request.tls, now)?;
        self.note(&code, &request.public_key, certificate.digest).await?;
        let joining = Joining {
            public_key: request.public_key,
            certificate: certificate.digest,
            certificate_until: certificate.made.as_ref().map(|(_, until)| *until),
        };
        match self.store.join(secret, &joining, now).await.map_err(|e| unavailable(&e))? {
            (Joined::NoCode, _) => Err(no_code()),
            (Joined::Taken, _) => Err(Problem::new(
                StatusCode::CONFLICT,
                "this signing key, this certificate or this name is or was on record: each box has its own, and new \
                 keys are made anew (`counterproof keys --out DIR --name NAME` in an empty folder); the code stays good",
            )),
            (Joined::Done, _) => {
                tracing::info!(agent = %code.agent, hospital = %code.hospital, replaces = code.replaces, version = request.agent_version, "a box joined");
                Ok(JoinAnswer {
                    agent: code.agent,
                    hospital: code.hospital,
                    certificate: certificate.made.map(|(pem, _)| pem),
                    ca: self.ca.clone(),
                    url: self.url.clone(),
                    port: self.port,
                    bureau_key: self.key.clone(),
                })
            }
        }
    }

    async fn note(&self, code: &Code, key: &PublicKey, certificate: Sha256) -> Result<(), Problem> {
        let what = if code.replaces { "agents rejoin" } else { "agents join" };
        let detail =
            format!("by code, hospital {}, key {}, certificate {certificate}", code.hospital, key.id());
        let noted = async {
            let by = Person::of(Some(code.by.clone()))?;
            acts::note(&self.store, &by, what, code.agent.as_str(), detail).await
        };
        noted.await.map_err(|error: BureauError| {
            tracing::error!(%error, "a box could not join: the act cannot be written down");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the bureau's store failed; the code stays good: try again",
            )
        })
    }
}

/// Whether the request bears the signature of the key that it brings.
fn signed(headers: &HeaderMap, body: &[u8], key: &PublicKey) -> Result<(), Problem> {
    let wrong = |what: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what).about(SIGNATURE_HEADER);
    let text = headers.get(SIGNATURE_HEADER).and_then(|v| v.to_str().ok());
    let text =
        text.ok_or_else(|| wrong("the header is missing: alg=ed25519,key=…,sig=… over the body".into()))?;
    let signature: Signature =
        text.parse().map_err(|e: crate::crypto::sign::SignatureError| wrong(e.to_string()))?;
    Unverified::new(body, signature).verify(key).map(|_| ()).map_err(|e| wrong(e.to_string()))
}
