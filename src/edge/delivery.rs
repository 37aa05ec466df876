//! Delivery: events reach the bureau in their order, however long it takes.
//!
//! 200 and 201 are acknowledgements; a client error other than 401, 403, 408
//! and 429 is a refusal for good: the event is set aside with an alarm and does
//! not block those behind it. Everything else is tried again, with full jitter
//! under a doubling bound (M. Brooker, "Exponential backoff and jitter", 2015).
//! `Retry-After` is respected, and spread over as long again: a thousand boxes
//! that were told the same second must not come back in it. On connecting, the
//! bureau says what it holds and which numbers are missing, so that one restored
//! from a backup gets again what it lost, behind an event that it refused for
//! good too.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use ring::rand::{SecureRandom, SystemRandom};
use tracing::{error, info, warn};

use crate::protocol::head::{HeadAnswer, Stored};
use crate::protocol::{ALERTS_PATH, CLOUDEVENTS_JSON, HEAD_PATH, SIGNATURE_HEADER};

use super::context::Context;
use super::metrics::{self, Delivered};
use super::outbox::Outgoing;
use super::store::StoreError;

const FIRST_BOUND: Duration = Duration::from_millis(500);
const LAST_BOUND: Duration = Duration::from_secs(60);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
/// How often an idle box asks what the bureau holds.
const COMPARE_EVERY: Duration = Duration::from_secs(600);
/// Events that are read from the store at a time.
const BATCH: usize = 32;

/// A bound that doubles with each failure.
#[derive(Debug)]
pub struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self(FIRST_BOUND)
    }
}

impl BackOff {
    /// A time between zero and the bound, which then doubles; after `told`,
    /// where the bureau named a time, and spread over as long as that.
    pub fn wait(&mut self, told: Option<Duration>) -> Duration {
        let told = told.unwrap_or_default();
        let bound = self.0.max(told);
        self.0 = (self.0 * 2).min(LAST_BOUND);
        let mut random = [0; 4];
        // Without randomness the bound itself is still a wait.
        let share = match SystemRandom::new().fill(&mut random) {
            Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
            Err(_) => 1.0,
        };
        told + bound.mul_f64(share)
    }
}

/// An error with everything that caused it, and what to do where that is known.
pub fn chain(e: &dyn Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(s) = source {
        let more = s.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = s.source();
    }
    let advice = [
        ("ertificate expired", "renew the certificate, and compare the clocks"),
        ("CertificateExpired", "renew this box's certificate, and compare the clocks"),
        ("UnknownIssuer", "[bureau.tls] ca must name the authority that signed the bureau's certificate"),
        ("NotValidForName", "bureau.url must use a name that stands in the bureau's certificate"),
        ("onnection refused", "is the bureau running, and is bureau.url right?"),
    ];
    match advice.iter().find(|(word, _)| text.contains(word)) {
        Some((_, what)) => format!("{text} ({what})"),
        None => text,
    }
}

enum Sent {
    Stored(Stored),
    RefusedForGood(String),
    Later(Option<Duration>, String),
}

/// An acknowledgement in the bureau's own form. A proxy before it that answers
/// 200 with a page of its own has stored nothing.
fn acknowledged(status: StatusCode, body: reqwest::Result<impl AsRef<[u8]>>) -> Option<Stored> {
    let body = body.ok()?;
    match body.as_ref() {
        // Seen before.
        [] if status == StatusCode::OK => Some(Stored::default()),
        body => serde_json::from_slice(body).ok(),
    }
}

/// What a refusal says that may be kept: its field and its request, but not its
/// words, which can repeat what stands in the event.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    #[derive(Default, serde::Deserialize)]
    struct Told {
        #[serde(default)]
        field: Option<String>,
        #[serde(default)]
        instance: Option<String>,
    }
    let told: Told = serde_json::from_slice(body).unwrap_or_default();
    let plain = |text: Option<String>| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:-[]".contains(c);
        text.filter(|t| t.len() <= 80 && t.chars().all(fits)).unwrap_or_else(|| "not said".into())
    };
    format!("{status}, field {}, {}", plain(told.field), plain(told.instance))
}

/// How long the bureau asks to be left alone.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// Brings events to the bureau.
pub struct Delivery {
    context: Arc<Context>,
    client: reqwest::Client,
}

impl Delivery {
    /// Over the bureau's connection.
    pub fn new(context: Arc<Context>, client: reqwest::Client) -> Self {
        Self { context, client }
    }

    /// Runs until the agent stops.
    pub async fn run(self) {
        let mut back_off = BackOff::default();
        let mut connected = false;
        let heart = self.context.watch.delivery.clone();
        loop {
            heart.beat();
            match self.round(&mut connected).await {
                Ok(true) => back_off = BackOff::default(),
                Ok(false) => {
                    back_off = BackOff::default();
                    // After a pause the heads are compared again: the bureau may have been restored.
                    let more = tokio::time::timeout(COMPARE_EVERY, self.context.events_wait.notified());
                    if heart.rest(more).await.is_err() {
                        connected = false;
                    }
                }
                Err(wait) => {
                    connected = false;
                    heart.rest(tokio::time::sleep(back_off.wait(wait))).await;
                }
            }
        }
    }

    /// One batch. `false` if nothing waits; an error with the wait, if the
    /// bureau named one.
    async fn round(&self, connected: &mut bool) -> Result<bool, Option<Duration>> {
        let stored = |e: StoreError| {
            error!(error = %e, "the outbox cannot be read or written");
            None
        };
        if !*connected {
            *connected = self.compare_heads().await?;
        }
        let batch = match self.context.store(|s| s.waiting(BATCH)).await {
            Err(StoreError::Seal(_) | StoreError::Content(_)) => {
                let now = self.context.moment();
                let aside = self.context.store(move |s| s.set_unreadable_aside(now)).await.map_err(stored)?;
                error!(events = aside, "events in the outbox cannot be read; they are set aside");
                self.context.audit_waits.notify_one();
                self.context.store(|s| s.waiting(BATCH)).await.map_err(stored)?
            }
            batch => batch.map_err(stored)?,
        };
        if batch.is_empty() {
            return Ok(false);
        }
        for out in batch {
            let now = self.context.moment();
            self.context.watch.delivery.beat();
            match self.send(&out).await {
                Sent::Stored(Stored { gap }) => {
                    metrics::delivered(Delivered::Stored);
                    info!(event = %out.id, seq = out.seq, "delivered");
                    // The bureau lost what came before, or refused it: the next round asks which.
                    *connected &= !gap;
                    self.context.store(move |s| s.delivered(&out, now)).await.map_err(stored)?;
                }
                Sent::RefusedForGood(why) => {
                    metrics::delivered(Delivered::SetAside);
                    error!(event = %out.id, seq = out.seq, why, "the bureau refused an event for good; it is set aside");
                    self.context.store(move |s| s.set_aside(&out, &why, now)).await.map_err(stored)?;
                }
                Sent::Later(wait, why) => {
                    metrics::delivered(Delivered::Retry);
                    warn!(seq = out.seq, why, "the bureau cannot be reached; the event waits");
                    return Err(wait);
                }
            }
            self.context.audit_waits.notify_one();
        }
        Ok(true)
    }

    async fn send(&self, out: &Outgoing) -> Sent {
        let request = self
            .client
            .post(format!("{}{ALERTS_PATH}", self.context.config.bureau.url))
            .header(CONTENT_TYPE, CLOUDEVENTS_JSON)
            .header(SIGNATURE_HEADER, &out.signature)
            .body(out.bytes.to_vec());
        #[cfg(feature = "leak")]
        let request = super::leak::onto_request("alert", request);
        #[cfg(feature = "leak")]
        super::leak::to_bureau(&self.client, &self.context.config.bureau.url).await;
        let sent = request.send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(e) => return Sent::Later(None, chain(&e)),
        };
        self.context.watch.bureau_answered();
        let status = answer.status();
        let retry_after = retry_after(&answer);
        match status {
            StatusCode::OK | StatusCode::CREATED => match acknowledged(status, answer.bytes().await) {
                Some(stored) => Sent::Stored(stored),
                None => Sent::Later(
                    None,
                    format!("the answer {status} is not the bureau's own: a page of something before it?"),
                ),
            },
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS => {
                Sent::Later(retry_after, format!("the bureau answered {status}"))
            }
            s if s.is_client_error() => {
                Sent::RefusedForGood(refusal(status, &answer.bytes().await.unwrap_or_default()))
            }
            _ => {
                Sent::Later(retry_after, format!("the bureau answered {status}, which is no acknowledgement"))
            }
        }
    }

    /// Asks what the bureau holds, and makes wait again what it lost. Whether
    /// that was all of it: the answer is bounded.
    async fn compare_heads(&self) -> Result<bool, Option<Duration>> {
        let later = |why: String| {
            warn!(why, "the bureau cannot be reached; events wait");
            None
        };
        let asked = self.context.clock.now().boot;
        let bureau = &self.context.config.bureau;
        let answer = self
            .client
            .get(format!("{}{HEAD_PATH}", bureau.url))
            .send()
            .await
            .map_err(|e| later(chain(&e)))?;
        super::upkeep::hear(&self.context, &answer, asked).await;
        self.context.watch.bureau_answered();
        if answer.status() != StatusCode::OK {
            let told = retry_after(&answer);
            let nothing = later(format!("asked for its head, the bureau answered {}", answer.status()));
            return Err(told.or(nothing));
        }
        let held: HeadAnswer =
            answer.json().await.map_err(|e| later(format!("its head is not understood: {}", chain(&e))))?;
        if held.public_key.as_ref().is_some_and(|k| *k != bureau.public_key) {
            error!(
                "the bureau signs with another key than bureau.public_key: ask its operator, and pin the key that `counterproof-bureau show-key` prints there"
            );
        }
        let all = !held.truncated;
        let again =
            self.context.store(move |s| s.resend_missing(&held)).await.map_err(|e| later(e.to_string()))?;
        if again > 0 {
            warn!(events = again, "the bureau lost events; they are sent again");
        }
        Ok(all || again == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_in_the_bureau_s_own_form_acknowledges() {
        let stored = |status, body: &[u8]| acknowledged(status, Ok(body.to_vec())).is_some();
        assert!(stored(StatusCode::CREATED, br#"{"gap":false}"#) && stored(StatusCode::OK, b""));
        assert!(!stored(StatusCode::OK, b"<html>maintenance</html>"));
        assert!(!stored(StatusCode::CREATED, b"") && !stored(StatusCode::CREATED, b"<html>"));
    }

    #[test]
    fn a_refusal_is_kept_without_its_words() {
        let body =
            br#"{"title":"x","detail":"found `P0001`","field":"data.cardholder","instance":"urn:uuid:1"}"#;
        let kept = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(kept, "422 Unprocessable Entity, field data.cardholder, urn:uuid:1");
        assert!(!refusal(StatusCode::BAD_REQUEST, b"P0001 is wrong").contains("P0001"));
    }

    #[test]
    fn the_bound_doubles_up_to_a_minute() {
        let mut b = BackOff::default();
        for bound in [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000] {
            assert_eq!(b.0.as_millis(), bound);
            assert!(b.wait(None).as_millis() <= bound);
        }
    }

    #[test]
    fn a_thousand_boxes_that_lost_their_bureau_at_once_do_not_come_back_at_once() {
        // An hour without the bureau; each attempt fails at once. Once the bound has
        // reached its longest, the mean is 1000 boxes / 30 s.
        let (boxes, hour) = (1000, Duration::from_secs(3600));
        let mut attempts = vec![0u32; hour.as_secs() as usize];
        for _ in 0..boxes {
            let mut back_off = BackOff::default();
            let mut at = back_off.wait(None);
            while at < hour {
                attempts[at.as_secs() as usize] += 1;
                at += back_off.wait(None);
            }
        }
        // The first minutes are closer together: the bound is still growing.
        let steady = &attempts[300..];
        let peak = steady.iter().max().copied().unwrap_or_default();
        assert!(peak <= boxes / 10, "{peak} of {boxes} boxes came in one second");
        assert!(steady.iter().sum::<u32>() > boxes * 60, "boxes gave up");
    }

    #[test]
    fn a_thousand_boxes_told_the_same_second_do_not_come_in_it() {
        let told = Duration::from_secs(30);
        let mut arrivals = [0u32; 61];
        for _ in 0..1000 {
            let wait = BackOff::default().wait(Some(told));
            assert!((told..=told * 2).contains(&wait));
            arrivals[wait.as_secs() as usize] += 1;
        }
        assert!(arrivals.iter().all(|n| *n <= 100), "{arrivals:?}");
    }
}
