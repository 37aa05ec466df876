//! Posture: once a minute the bureau hears what this box is and how it fares.
//! Counts only; a posture that cannot be sent is dropped, the next one is
//! complete.
//!
//! The answer is the bureau's countersignature of this box's audit head. It
//! counts only if it bears the pinned key and is for the head that was sent;
//! the latest one is kept in memory, and
//! once an hour one is written into the audit log. Its time, the bureau's, is
//! what the wall clock is held against. The answer also names the documents
//! (policy, notice, calibration) that the bureau lacks; they are sent then. And it
//! brings the newest order about this box's commissioning, which counts only if it
//! bears the pinned key too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tracing::{debug, error, info, warn};

use crate::clock::BoxTime;
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::privacy::age::Word;
use crate::privacy::audit::Kind;
use crate::privacy::notice;
use crate::privacy::policy::ASSESSMENT_GRACE_DAYS;
use crate::protocol::commission::{Commission, Mode, ShadowReason, Standing};
use crate::protocol::countersign::{HeadFinding, PostureAnswer, VerifiedHead};
use crate::protocol::document::{self, DocumentKind};
use crate::protocol::posture::Posture;
use crate::protocol::signed::Signed;
use crate::protocol::{DOCUMENTS_PATH, POSTURE_PATH, SIGNATURE_HEADER};

use super::commission::Heeded;
use super::context::Context;
use super::delivery::chain;
use super::papers::{Papers, ToDo};

const EVERY: Duration = Duration::from_secs(60);
/// The same while the wall clock is in doubt and the bureau answers: a slow
/// answer settles nothing, and the next one may be quicker.
const EVERY_IN_DOUBT: Duration = Duration::from_secs(5);
/// The same in shadow: a supervisor who has just signed need not wait.
const EVERY_IN_SHADOW: Duration = Duration::from_secs(10);
/// How often a countersignature goes into the audit log.
const WRITE_EVERY: Duration = Duration::from_secs(3600);

/// Says how the box fares.
pub struct Reporter {
    context: Arc<Context>,
    client: reqwest::Client,
    signer: SigningKey,
    models: BTreeMap<String, Sha256>,
    /// By which the bureau tells the counts of one run of the program from the next's.
    run: uuid::Uuid,
    latest: Mutex<Latest>,
    papers: Papers,
}

/// The latest countersignature, and when one was last written down.
#[derive(Default)]
struct Latest {
    head: Option<VerifiedHead>,
    written: Option<BoxTime>,
}

/// What keeps a countersignature from counting.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Uncountersigned {
    #[error(
        "it does not bear the pinned key: {0}; if the bureau has a new key, write the one that `counterproof-bureau show-key` prints there as bureau.public_key"
    )]
    Signature(#[from] crate::crypto::sign::SignatureError),
    #[error("it is for another head than the one that was sent")]
    OtherHead,
}

/// How long until the next posture, after one that the bureau answered or did not.
fn pause(answered: bool, in_doubt: bool, in_shadow: bool) -> Duration {
    match (answered, in_doubt, in_shadow) {
        (true, true, _) => EVERY_IN_DOUBT,
        (true, false, true) => EVERY_IN_SHADOW,
        _ => EVERY,
    }
}

impl Reporter {
    /// Reports over the bureau's connection; `models` are by role.
    pub fn new(
        context: Arc<Context>,
        client: reqwest::Client,
        signer: SigningKey,
        models: BTreeMap<String, Sha256>,
    ) -> Self {
        let config = &context.config;
        let papers = Papers::open(&config.agent.state, &config.bureau.public_key, &config.agent.name);
        let run = uuid::Uuid::now_v7();
        Self { papers, context, client, signer, models, run, latest: Mutex::default() }
    }

    /// Runs until the agent stops.
    pub async fn run(self) {
        let heart = self.context.watch.posture.clone();
        loop {
            let sent = self.report().await;
            if let Err(why) = &sent {
                debug!(why, "the posture could not be sent");
            }
            // Sooner when the clock is in doubt: the bureau's answer tells the time.
            let c = &self.context;
            let every = pause(sent.is_ok(), c.doubt().is_some(), c.armed().is_none());
            let rung = async {
                tokio::select! { () = c.clock_doubted.notified() => {}, () = c.turned.notified() => {} }
            };
            let _ = heart.rest(tokio::time::timeout(every, rung)).await;
        }
    }

    async fn report(&self) -> Result<(), String> {
        let posture = self.posture().await?;
        let bytes = serde_json::to_vec(&posture).map_err(|e| e.to_string())?;
        let asked = self.context.clock.now().boot;
        let answer = self.send(Method::POST, POSTURE_PATH, "application/json", bytes).await?;
        self.context.watch.bureau_answered();
        let status = answer.status();
        if status.is_client_error() {
            error!(%status, "the bureau refused this box's posture: is the box registered and not suspended?");
        }
        if status != StatusCode::OK {
            return Err(format!("the bureau answered {status}"));
        }
        let answer: PostureAnswer = answer.json().await.map_err(|e| {
            error!("the bureau's answer to the posture is not understood: nothing is countersigned");
            chain(&e)
        })?;
        match self.accept(&posture, &answer) {
            Ok(head) => self.countersigned(&head, asked).await,
            Err(e) => error!(error = %e, "the bureau's countersignature does not count"),
        }
        self.heed(answer.finding);
        if let Some(commission) = &answer.commission {
            self.heed_commission(commission).await;
        }
        for digest in answer.missing {
            self.send_document(digest).await?;
        }
        self.heed_wanted(answer.wanted.as_ref());
        for word in &answer.handouts {
            self.heed_handout(word).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        bytes: Vec<u8>,
    ) -> Result<reqwest::Response, String> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.context.config.bureau.url))
            .header(CONTENT_TYPE, kind)
            .header(SIGNATURE_HEADER, self.signer.sign(&bytes).to_string())
            .body(bytes);
        #[cfg(feature = "leak")]
        let request = super::leak::onto_request("posture", request);
        request.send().await.map_err(|e| chain(&e))
    }

    /// The countersignature, if it is the pinned bureau's and for this posture.
    fn accept(&self, sent: &Posture, answer: &PostureAnswer) -> Result<VerifiedHead, Uncountersigned> {
        let head = answer.countersigned.verify(&self.context.config.bureau.public_key)?;
        if *head.agent() != sent.agent || head.audit() != sent.audit {
            return Err(Uncountersigned::OtherHead);
        }
        Ok(head)
    }

    /// Called with each countersignature that counts: its time, the bureau's, is
    /// a witness beside this box's own clock; once an hour it goes into the audit
    /// log that it is about.
    async fn countersigned(&self, head: &VerifiedHead, asked: BoxTime) {
        let word = |trip| Word::exact(head.received_at(), trip);
        if let Err(e) = self.context.hear_bureau_time(asked, word).await {
            error!(error = %e, "the bureau's time could not be taken");
        }
        let now = self.context.clock.now();
        let due = {
            let mut latest = self.latest.lock().unwrap_or_else(|e| e.into_inner());
            let due = latest.written.is_none_or(|t| now.boot.since(t) >= WRITE_EVERY);
            latest.head = Some(head.clone());
            if due {
                latest.written = Some(now.boot);
            }
            due
        };
        if due {
            let record = json!({ "countersigned": head.countersigned() });
            if let Err(e) = self.context.record(now.wall, Kind::Countersigned, record).await {
                error!(error = %e, "the bureau's countersignature could not be recorded");
            }
        }
    }

    /// The latest countersignature that counts, since the start.
    pub fn latest(&self) -> Option<VerifiedHead> {
        self.latest.lock().unwrap_or_else(|e| e.into_inner()).head.clone()
    }

    fn heed(&self, finding: Option<HeadFinding>) {
        let what = match finding {
            None => return,
            Some(HeadFinding::CutShort) => "records that it showed the bureau before are missing at its end",
            Some(HeadFinding::Rewritten) => "a record that it showed the bureau before is another one now",
        };
        error!(
            what,
            "the bureau says that this box's audit log was changed: keep the box as it is and find out who changed it"
        );
    }

    /// Takes the bureau's newest order about this box's commissioning.
    async fn heed_commission(&self, commission: &Commission) {
        let c = &self.context;
        let word = match commission.verify(&c.config.bureau.public_key, &c.config.agent.name) {
            Ok(word) => word,
            Err(e) => {
                error!(error = %e, "the bureau's order about this box's commissioning does not count");
                return;
            }
        };
        let (number, now) = (word.order().number, c.moment());
        match c.store(move |s| s.heed(&word, now)).await {
            Ok(Heeded::Known) => {}
            Ok(Heeded::Taken) => info!(number, "an order about this box's commissioning was taken"),
            Ok(Heeded::Old { seen }) => warn!(
                number,
                seen,
                "the bureau's order about this box's commissioning is older than one seen before; it is not heeded"
            ),
            Err(e) => {
                error!(error = %e, "the bureau's order about this box's commissioning could not be kept")
            }
        }
        c.audit_waits.notify_one();
    }

    /// Takes the version that the bureau wants here.
    fn heed_wanted(&self, word: Option<&Signed>) {
        let c = &self.context;
        let before = c.watch.wanted.told();
        match c.watch.wanted.heed(word, &c.config.bureau.public_key, &c.config.agent.name) {
            Err(e) => error!(error = %e, "the bureau's word about the version to run does not count"),
            Ok(()) if c.watch.wanted.told() != before && c.watch.wanted.differs() => {
                let version = c.watch.wanted.told().map(|t| t.version);
                warn!(version, "the bureau wants another version here; nothing is installed by itself");
            }
            Ok(()) => {}
        }
    }

    /// Fetches and keeps a document that the bureau hands to this box.
    async fn heed_handout(&self, word: &Signed) -> Result<(), String> {
        let handout = match self.papers.look(word) {
            Ok(ToDo::Fetch(handout)) => handout,
            Ok(ToDo::Nothing) => return Ok(()),
            Err(e) => {
                error!(error = %e, "the bureau's word about a document does not count");
                return Ok(());
            }
        };
        let url = format!("{}{DOCUMENTS_PATH}/{}", self.context.config.bureau.url, handout.digest);
        let mut answer = self.client.get(url).send().await.map_err(|e| chain(&e))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the bureau answered {} to a document it handed out", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| chain(&e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > document::MAX_BYTES {
                return Err("a document is longer than was signed".into());
            }
        }
        let in_force = &self.context.in_force.settings;
        let kept = self.papers.keep(&handout, word, &bytes, &[in_force.policy, in_force.calibration]);
        kept.map_err(|e| format!("the {} that the bureau handed out: {e}", handout.kind))?;
        info!(kind = %handout.kind, digest = %handout.digest, "a document of the bureau arrived; it is in force only once the configuration names it");
        self.context.turned.notify_one();
        Ok(())
    }

    /// Sends a document that the bureau asks for, if it is one of this box's.
    async fn send_document(&self, digest: Sha256) -> Result<(), String> {
        let Some((kind, bytes)) = self.document(digest) else {
            warn!(%digest, "the bureau asks for a document that this box no longer has: the file was changed since the start, or is over 256 KiB");
            return Ok(());
        };
        let path = format!("{DOCUMENTS_PATH}/{digest}?kind={kind}");
        let status = self.send(Method::PUT, &path, "application/octet-stream", bytes).await?.status();
        if !status.is_success() {
            return Err(format!("the bureau answered the {kind} with {status}"));
        }
        info!(%kind, %digest, "the bureau has the document");
        Ok(())
    }

    /// The exact bytes of a document in force.
    fn document(&self, digest: Sha256) -> Option<(DocumentKind, Vec<u8>)> {
        let c = &self.context;
        let text = || Some(notice::of(&c.policy).text().into_bytes());
        let calibration = || std::fs::read(&c.config.decision.calibration).ok();
        let in_force = &c.in_force.settings;
        let (kind, bytes) = match digest {
            d if d == in_force.policy => {
                (DocumentKind::Policy, Some(c.policy.document().canonical().into_bytes()))
            }
            d if d == in_force.notice => (DocumentKind::Notice, text()),
            d if c.policy.entrance.as_ref().is_some_and(|e| e.notice.sha256 == d) => {
                (DocumentKind::Notice, notice::of_entrance(&c.policy).map(|n| n.text().into_bytes()))
            }
            d if d == in_force.calibration => (DocumentKind::Calibration, calibration()),
            _ => return None,
        };
        let fits = |b: &Vec<u8>| b.len() <= document::MAX_BYTES && Sha256::of(b) == digest;
        bytes.filter(fits).map(|b| (kind, b))
    }

    async fn posture(&self) -> Result<Posture, String> {
        let c = &self.context;
        let read = c.store(|s| Ok((s.outbox()?, s.standing()))).await;
        let (outbox, commissioning) = read.map_err(|e| e.to_string())?;
        let mut troubles: Vec<String> = c.trouble().iter().map(ToString::to_string).collect();
        troubles.extend(c.doubt().map(|d| d.to_string()));
        let overdue = c.overdue_days();
        if (1..=ASSESSMENT_GRACE_DAYS).contains(&overdue) {
            troubles.push(format!(
                "the review of the impact assessment is {overdue} days overdue; beyond {ASSESSMENT_GRACE_DAYS} nothing is verified"
            ));
        }
        if let Some(Standing { mode: Mode::Shadow(ShadowReason::Drift), detail, .. }) = &commissioning {
            let why = detail.as_deref().unwrap_or_default();
            troubles.push(format!("the box went back into shadow and raises no alerts: {why}"));
        }
        troubles.extend(c.watch.cameras.troubles());
        troubles.extend(c.watch.places.troubles());
        if outbox.set_aside > 0 {
            troubles.push(format!("{} events were refused by the bureau and set aside", outbox.set_aside));
        }
        Ok(Posture {
            agent: c.config.agent.name.clone(),
            hospital: c.config.agent.hospital.clone(),
            at: c.wall(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            models: self.models.clone(),
            policy: c.in_force.settings.policy,
            notice: Some(c.in_force.settings.notice),
            calibration: c.in_force.settings.calibration,
            retention_s: c.policy.retention_s.clone(),
            purges: c.watch.purges.all(),
            arrived: self.papers.arrived(),
            wanted: c.watch.wanted.told(),
            run: Some(self.run),
            // Before those by counter: what ends in between is then among the latter alone,
            // and never counted for no counter as well (see `Context::ended`).
            verdicts: c.verdicts(),
            counters: c.watch.places.counts(),
            cameras: c.watch.cameras.states(),
            outbox_waiting: outbox.waiting,
            outbox_set_aside: outbox.set_aside,
            audit: c.audit_head().ok_or("the audit log is empty")?,
            liveness: c.config.liveness.mode.as_str().into(),
            commissioning,
            troubles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::tests::context;
    use super::*;
    use crate::clock::WallTime;
    use crate::privacy::audit::Kind;
    use crate::protocol::countersign::Countersigned;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    #[test]
    fn a_doubt_is_asked_about_soon_where_the_bureau_answers() {
        assert_eq!([pause(true, true, true), pause(true, true, false)], [EVERY_IN_DOUBT; 2]);
        assert_eq!(pause(true, false, true), EVERY_IN_SHADOW);
        // A bureau that is down is not asked more often for it.
        assert_eq!(
            [pause(true, false, false), pause(false, true, true), pause(false, false, true)],
            [EVERY; 3]
        );
    }

    /// What the bureau hears if the review of the impact assessment was due `days` ago.
    async fn troubles_after(days: i64) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut context = Arc::into_inner(context(dir.path())).unwrap();
        let now = context.clock.now();
        let today = jiff::Timestamp::from_millisecond(now.wall.as_millis()).unwrap();
        let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
        context.policy.impact_assessment.review_by = today - jiff::Span::new().days(days);
        let context = Arc::new(context);
        context.hear_bureau_time(now.boot, |trip| Word::exact(now.wall, trip)).await.unwrap();
        context.export_audit(&context.watch.audit_export).unwrap();
        assert!(context.look_at_assessment().is_some());
        crate::crypto::tls::install_provider();
        let reporter = Reporter::new(context, reqwest::Client::new(), key(), BTreeMap::new());
        reporter.posture().await.unwrap().troubles
    }

    #[tokio::test]
    async fn an_overdue_assessment_is_a_trouble_that_the_bureau_hears() {
        assert_eq!(troubles_after(0).await, [""; 0]);
        for (days, word) in [(7, "7 days overdue"), (31, "31 days ago")] {
            let troubles = troubles_after(days).await;
            assert!(matches!(&troubles[..], [one] if one.contains(word)), "{troubles:?}");
        }
    }

    #[tokio::test]
    async fn only_the_pinned_bureau_s_word_on_the_head_that_was_sent_counts() {
        let dir = tempfile::tempdir().unwrap();
        let bureau = key();
        let mut context = Arc::into_inner(context(dir.path())).unwrap();
        context.config.bureau.public_key = bureau.public();
        let context = Arc::new(context);
        context
            .store(|s| s.record(WallTime::from_millis(1), Kind::Started, &serde_json::json!({})))
            .await
            .unwrap();
        context.export_audit(&context.watch.audit_export).unwrap();
        crate::crypto::tls::install_provider();
        let reporter = Reporter::new(context, reqwest::Client::new(), key(), BTreeMap::new());
        let posture = reporter.posture().await.unwrap();
        let answer = |agent: &str, head, by: &SigningKey| {
            let countersigned =
                Countersigned::new(agent.parse().unwrap(), head, WallTime::from_millis(5), by);
            let statement = countersigned.statement();
            PostureAnswer {
                countersigned,
                statement,
                finding: None,
                missing: vec![],
                commission: None,
                handouts: vec![],
                wanted: None,
                public_key: by.public(),
            }
        };
        let name = posture.agent.as_str();
        let good = reporter.accept(&posture, &answer(name, posture.audit, &bureau)).unwrap();
        assert_eq!(reporter.latest(), None);
        let asked = reporter.context.clock.now().boot;
        reporter.countersigned(&good, asked).await;
        assert_eq!(reporter.latest(), Some(good));
        let forged = reporter.accept(&posture, &answer(name, posture.audit, &key()));
        assert!(matches!(forged, Err(Uncountersigned::Signature(_))));
        let mut other = posture.audit;
        other.seq += 1;
        let other = reporter.accept(&posture, &answer(name, other, &bureau));
        assert_eq!(other, Err(Uncountersigned::OtherHead));
        let stranger = reporter.accept(&posture, &answer("box-9", posture.audit, &bureau));
        assert_eq!(stranger, Err(Uncountersigned::OtherHead));
    }
}
