//! References: fetched from the bureau for one settlement, held until its
//! verdict, never stored.
//!
//! The fetch names the settlement, which tells the bureau of the visit; it is
//! limited there per box and leaves no history (`docs/privacy.md`).
//!
//! References come under this box's transform, whose key is fetched when it is
//! first needed and kept in memory. A reference that names another transform
//! means that the bureau has issued a new one: the key is fetched again, once,
//! within the same deadline, and so are the references. What still does not
//! fit is `not_assessed`; it is never compared.
//!
//! While a recognizer is replaced there are references of two. The best is used
//! for which everybody has some; one settlement is compared by one recognizer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::crypto::transform::Transform;
use crate::protocol::id::{CardholderId, SettlementId, ShiftId};
use crate::protocol::proxy::{CertificateDigest, ProxyKey, ProxyKeyGrant, ProxyMark};
use crate::protocol::reference::{Protected, ReferenceSet};
use crate::protocol::settlement::Settlement;
use crate::protocol::transform::TransformGrant;
use crate::protocol::verdict::NotAssessed;
use crate::protocol::{PROXIES_PATH, PROXY_KEY_PATH, REFERENCES_PATH, TRANSFORM_PATH};
use crate::verify::subjects::{SubjectError, Subjects};
use crate::vision::ModelIdentity;
use crate::vision::embed::DIMENSION;

use super::eyes::Which;

/// Largest accepted answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Fetches references over the bureau's connection.
#[derive(Clone)]
pub struct References {
    client: reqwest::Client,
    url: String,
    deadline: Duration,
    /// The best first.
    models: Vec<(Which, ModelIdentity)>,
    /// This box's transform, once it is known; shared by all counters.
    transform: Arc<Mutex<Option<Arc<Transform>>>>,
    /// The bureau's key for the certificates of proxies, once it is known.
    proxy_key: Arc<Mutex<Option<Arc<ProxyKey>>>>,
}

/// Everybody who may be at the counter, and by which recognizer.
pub struct Found {
    /// They.
    pub subjects: Subjects,
    /// How many of them are proxies: those that the HIS named, and those that the
    /// cardholder declared at the bureau.
    pub proxies: u32,
    /// The recognizer whose references these are.
    pub which: Which,
}

/// Somebody's references, and the transform that they are under.
pub type Known = (Arc<Transform>, Vec<Protected>);

/// Why there are no subjects.
enum Missing {
    /// Not to be had: the reason for the verdict.
    Reason(NotAssessed),
    /// A reference is under another transform than the one it was to fit.
    OtherTransform,
}

impl From<NotAssessed> for Missing {
    fn from(reason: NotAssessed) -> Self {
        Self::Reason(reason)
    }
}

fn unavailable(why: &str) -> NotAssessed {
    warn!(why, "references cannot be fetched");
    NotAssessed::ReferencesUnavailable
}

impl References {
    /// For one bureau and one model.
    pub fn new(
        client: reqwest::Client,
        url: &str,
        deadline: Duration,
        models: Vec<(Which, ModelIdentity)>,
    ) -> Self {
        Self {
            client,
            url: url.to_owned(),
            deadline,
            models,
            transform: Arc::default(),
            proxy_key: Arc::default(),
        }
    }

    /// The hash of a proxy's certificate under the bureau's key; nothing if the key cannot
    /// be had.
    pub async fn mark_of(&self, certificate: CertificateDigest) -> Option<ProxyMark> {
        let held = self.proxy_key.lock().unwrap_or_else(|e| e.into_inner()).clone();
        if let Some(key) = held {
            return Some(key.mark(certificate));
        }
        let grant = self.get::<ProxyKeyGrant>(PROXY_KEY_PATH);
        let grant = tokio::time::timeout(self.deadline, grant).await.ok()?.ok()??;
        let key = Arc::new(grant.key()?);
        *self.proxy_key.lock().unwrap_or_else(|e| e.into_inner()) = Some(Arc::clone(&key));
        Some(key.mark(certificate))
    }

    /// Everybody who may be at the counter: the cardholder, the proxies that the settlement
    /// declares, and those who act in its stay.
    ///
    /// # Errors
    /// The reason why the settlement cannot be assessed.
    pub async fn subjects(
        &self,
        settlement: &Settlement,
        acting: &[ProxyMark],
    ) -> Result<Found, NotAssessed> {
        tokio::time::timeout(self.deadline, self.fitting(settlement, acting)).await.unwrap_or_else(|_| {
            warn!(deadline_ms = self.deadline.as_millis() as u64, "the bureau gave no references in time");
            Err(NotAssessed::ReferencesUnavailable)
        })
    }

    /// Fetches the transform if it is not known, and once more if it was issued
    /// anew.
    async fn fitting(&self, settlement: &Settlement, acting: &[ProxyMark]) -> Result<Found, NotAssessed> {
        let held = self.transform.lock().unwrap_or_else(|e| e.into_inner()).clone();
        if let Some(held) = held {
            match self.under(held, settlement, acting).await {
                Ok(subjects) => return Ok(subjects),
                Err(Missing::Reason(reason)) => return Err(reason),
                Err(Missing::OtherTransform) => {}
            }
        }
        let fresh = self.fetch_transform().await?;
        self.under(fresh, settlement, acting).await.map_err(|missing| match missing {
            Missing::Reason(reason) => reason,
            Missing::OtherTransform => {
                unavailable("the bureau's references are not under the transform that it gave this box")
            }
        })
    }

    /// Everybody's references, as long as they are under this transform.
    async fn under(
        &self,
        transform: Arc<Transform>,
        settlement: &Settlement,
        acting: &[ProxyMark],
    ) -> Result<Found, Missing> {
        let sets = self.everybody(&transform, settlement, acting).await?;
        let proxies = u32::try_from(sets.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let mut lacking = NotAssessed::NoReference;
        'models: for (which, model) in &self.models {
            let mut subjects = Subjects::under(Arc::clone(&transform));
            for (set, missing) in &sets {
                let references = set
                    .usable(model.sha256, model.preprocessing)
                    .map_err(|e| unavailable(&format!("the bureau's answer is not understood: {e}")))?;
                if references.is_empty() {
                    lacking = *missing;
                    continue 'models;
                }
                subjects.add(references).map_err(|e| match e {
                    SubjectError::Nobody => Missing::Reason(*missing),
                    SubjectError::OtherTransform => Missing::OtherTransform,
                    // Of another length it would compare as nothing, which must not look like a stranger.
                    SubjectError::Dimension(..) => Missing::Reason(unavailable(&e.to_string())),
                })?;
            }
            return Ok(Found { subjects, proxies, which: *which });
        }
        Err(Missing::Reason(lacking))
    }

    /// The references of the cardholder, of the proxies that the HIS named, of those who act
    /// in the stay, and of those that the cardholder declared at the bureau, with the reason
    /// if somebody has none.
    async fn everybody(
        &self,
        transform: &Transform,
        settlement: &Settlement,
        acting: &[ProxyMark],
    ) -> Result<Vec<(ReferenceSet, NotAssessed)>, Missing> {
        let id = &settlement.settlement_id;
        let fitting = |found: Option<ReferenceSet>, missing: NotAssessed| match found {
            None => Err(Missing::Reason(missing)),
            Some(set) if set.transform != transform.id() => Err(Missing::OtherTransform),
            Some(set) => Ok(set),
        };
        let cardholder = self.fetch(&settlement.cardholder, id, "").await?;
        let mut cardholder = fitting(cardholder, NotAssessed::NoReference)?;
        let mut proxies = Vec::new();
        for proxy in &settlement.proxies {
            let found = self.fetch(proxy, id, "&as=proxy").await?;
            proxies.push(fitting(found, NotAssessed::ProxyUnknown)?);
        }
        for mark in acting {
            let found = self.get::<ReferenceSet>(&format!("{PROXIES_PATH}/{mark}?settlement={id}")).await?;
            let found = fitting(found, NotAssessed::ProxyUnknown)?;
            // The HIS may have named them too.
            if proxies.iter().all(|p| p.cardholder != found.cardholder) {
                proxies.push(found);
            }
        }
        let declared = cardholder
            .take_proxies(&proxies)
            .map_err(|e| unavailable(&format!("the bureau's answer is not understood: {e}")))?;
        let proxies = proxies.into_iter().chain(declared).map(|p| (p, NotAssessed::ProxyUnknown));
        Ok(std::iter::once((cardholder, NotAssessed::NoReference)).chain(proxies).collect())
    }

    /// The references of somebody whom a shift's roster names, for the present recognizer,
    /// and the transform that they are under; nothing if there are none.
    ///
    /// # Errors
    /// The reason why they are not to be had now.
    pub async fn expected(
        &self,
        person: &CardholderId,
        shift: &ShiftId,
    ) -> Result<Option<Known>, NotAssessed> {
        let found = tokio::time::timeout(self.deadline, self.fetch_expected(person, shift)).await;
        found.unwrap_or_else(|_| Err(unavailable("no answer in time")))
    }

    async fn fetch_expected(
        &self,
        person: &CardholderId,
        shift: &ShiftId,
    ) -> Result<Option<Known>, NotAssessed> {
        let path = format!("{REFERENCES_PATH}/{person}?shift={shift}");
        let Some(set) = self.get::<ReferenceSet>(&path).await? else { return Ok(None) };
        if set.cardholder != *person {
            return Err(unavailable("the bureau answered for somebody else"));
        }
        let Some((_, model)) = self.models.first() else { return Ok(None) };
        let references = set
            .usable(model.sha256, model.preprocessing)
            .map_err(|e| unavailable(&format!("the bureau's answer is not understood: {e}")))?;
        if references.is_empty() {
            return Ok(None);
        }
        let held = self.transform.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let transform = match held.filter(|t| t.id() == set.transform) {
            Some(held) => held,
            None => self.fetch_transform().await?,
        };
        if transform.id() != set.transform {
            return Err(unavailable(
                "the bureau's references are not under the transform that it gave this box",
            ));
        }
        Ok(Some((transform, references)))
    }

    /// Somebody's references; `None` if the bureau has none.
    async fn fetch(
        &self,
        person: &CardholderId,
        settlement: &SettlementId,
        role: &str,
    ) -> Result<Option<ReferenceSet>, NotAssessed> {
        let path = format!("{REFERENCES_PATH}/{person}?settlement={settlement}{role}");
        let Some(set) = self.get::<ReferenceSet>(&path).await? else { return Ok(None) };
        if set.cardholder != *person {
            return Err(unavailable("the bureau answered for somebody else"));
        }
        Ok(Some(set))
    }

    /// This box's transform, as the bureau issued it last; kept for the next settlement.
    async fn fetch_transform(&self) -> Result<Arc<Transform>, NotAssessed> {
        let grant = self.get::<TransformGrant>(TRANSFORM_PATH).await?.ok_or_else(|| {
            unavailable("the bureau has no transform for this box: bring it to this version")
        })?;
        let key = grant.key().map_err(|e| unavailable(&e.to_string()))?;
        let transform = Arc::new(key.transform(DIMENSION));
        info!(version = grant.version(), transform = %transform.id(), "the transform of references was fetched");
        *self.transform.lock().unwrap_or_else(|e| e.into_inner()) = Some(Arc::clone(&transform));
        Ok(transform)
    }

    /// A document of the bureau; `None` for 404.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, NotAssessed> {
        let broken = |e: reqwest::Error| unavailable(&super::delivery::chain(&e.without_url()));
        let mut answer = self.client.get(format!("{}{path}", self.url)).send().await.map_err(broken)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(unavailable(&format!("the bureau answered {other}"))),
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(unavailable(&format!("the bureau's answer is longer than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map(Some).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            unavailable(&format!("the bureau's answer is not understood (line {line}, column {column})"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Sha256;
    use crate::crypto::transform::TransformKey;
    use crate::http::server::{Handle, Listener};
    use crate::protocol::reference::Template;
    use axum::extract::{Path, State};
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A bureau that hands out transforms and references as a test says.
    struct Bureau {
        /// Number of the key that the nth fetch of the transform gives.
        granted: fn(usize) -> u8,
        /// Number of the key that the nth fetch of references is under.
        under: fn(usize) -> u8,
        grants: AtomicUsize,
        fetches: AtomicUsize,
        dimension: usize,
    }

    fn key(n: u8) -> TransformKey {
        TransformKey::new([n; 32])
    }

    async fn grant(State(b): State<Arc<Bureau>>) -> Json<TransformGrant> {
        let n = (b.granted)(b.grants.fetch_add(1, Ordering::Relaxed));
        Json(TransformGrant::new(n.into(), &key(n)))
    }

    async fn references(
        State(b): State<Arc<Bureau>>,
        Path(person): Path<CardholderId>,
    ) -> Json<ReferenceSet> {
        let key = key((b.under)(b.fetches.fetch_add(1, Ordering::Relaxed)));
        let template = Template::from_raw((0..b.dimension).map(|i| i as f32 + 1.0).collect()).unwrap();
        let mut set = ReferenceSet::new(person, key.id());
        assert!(set.add(Sha256::of(b"m"), 1, &template.protect(&key.transform(b.dimension)).unwrap()));
        Json(set)
    }

    async fn ask(
        granted: fn(usize) -> u8,
        under: fn(usize) -> u8,
        dimension: usize,
    ) -> (Vec<bool>, Arc<Bureau>) {
        let bureau = Bureau { granted, under, grants: 0.into(), fetches: 0.into(), dimension };
        let bureau = Arc::new(bureau);
        let references = served(&bureau, vec![(Which::Present, made_with(b"m"))]);
        let mut fitted = Vec::new();
        for _ in 0..2 {
            match references.subjects(&settlement(), &[]).await {
                Ok(_) => fitted.push(true),
                Err(NotAssessed::ReferencesUnavailable) => fitted.push(false),
                Err(other) => panic!("{other:?}"),
            }
        }
        (fitted, bureau)
    }

    fn made_with(model: &[u8]) -> ModelIdentity {
        ModelIdentity { sha256: Sha256::of(model), preprocessing: 1 }
    }

    fn served(bureau: &Arc<Bureau>, models: Vec<(Which, ModelIdentity)>) -> References {
        crate::crypto::tls::install_provider();
        let app = Router::new()
            .route(TRANSFORM_PATH, get(grant))
            .route(&format!("{REFERENCES_PATH}/{{person}}"), get(references))
            .with_state(Arc::clone(bureau));
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let url = format!("http://{}", listener.address().unwrap());
        tokio::spawn(listener.serve(app, Handle::new()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        References::new(client, &url, Duration::from_secs(20), models)
    }

    fn settlement() -> Settlement {
        serde_json::from_value(json!({
            "settlement_id": "S1", "counter": "w01", "cardholder": "P1", "proxies": ["P2"],
            "occurred_at": "2026-11-22T09:10:15+08:00", "amount_fen": 1, "medical_type": "11",
        }))
        .unwrap()
    }

    impl Bureau {
        fn counts(&self) -> (usize, usize) {
            (self.grants.load(Ordering::Relaxed), self.fetches.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn the_best_recognizer_is_used_for_which_everybody_has_references() {
        // The bureau of this test has references of `m` alone.
        let which = async |models: [(Which, &[u8]); 2]| {
            let (grants, fetches) = (0.into(), 0.into());
            let bureau = Bureau { granted: |_| 1, under: |_| 1, grants, fetches, dimension: DIMENSION };
            let models = models.map(|(which, model)| (which, made_with(model))).into();
            served(&Arc::new(bureau), models).subjects(&settlement(), &[]).await.map(|f| f.which)
        };
        let (new, old) = (Which::Present, Which::Previous);
        assert_eq!(which([(new, b"m"), (old, b"o")]).await, Ok(new));
        assert_eq!(which([(new, b"n"), (old, b"m")]).await, Ok(old));
        assert_eq!(which([(new, b"n"), (old, b"o")]).await, Err(NotAssessed::NoReference));
    }

    #[tokio::test]
    async fn one_fetch_of_the_transform_serves_all_settlements() {
        let (fitted, bureau) = ask(|_| 1, |_| 1, DIMENSION).await;
        assert_eq!((fitted, bureau.counts()), (vec![true, true], (1, 4)));
    }

    #[tokio::test]
    async fn a_transform_issued_anew_is_fetched_again_even_between_two_people() {
        // Cardholder under the old one, proxy under the new one: all are fetched again.
        let (fitted, bureau) =
            ask(|n| if n == 0 { 1 } else { 2 }, |n| if n < 3 { 1 } else { 2 }, DIMENSION).await;
        assert_eq!((fitted, bureau.counts()), (vec![true, true], (2, 6)));
    }

    #[tokio::test]
    async fn references_that_never_fit_are_never_compared_and_do_not_go_on_for_ever() {
        let (fitted, bureau) = ask(|_| 1, |_| 2, DIMENSION).await;
        assert_eq!((fitted, bureau.counts()), (vec![false, false], (2, 3)));
        let (fitted, _) = ask(|_| 1, |_| 1, DIMENSION - 1).await;
        assert_eq!(fitted, [false, false]);
    }
}
