//! Alerts: what leaves the box, and all that leaves it.
//!
//! One CloudEvents 1.0 event as JSON, at most [`MAX_BYTES`], with a detached
//! signature over its exact bytes. Every field is listed here; a field that is
//! not is refused by both ends, so none can carry a picture or a probe. Events
//! of one box and epoch form a chain: each holds its number and the digest of
//! the one before, so that a gap is seen. What an absence says is in [`super::absence`].

use serde::{Deserialize, Serialize};

use super::absence::Absent;
use super::id::{AgentId, AlertId, CardholderId, CounterId, Epoch, HospitalId, MedicalType, SettlementId};
use super::json;
use crate::clock::{HisTime, WallTime};
use crate::crypto::Sha256;

/// Largest accepted event, in bytes.
pub const MAX_BYTES: usize = 4096;

/// An event as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// `1.0`.
    pub specversion: SpecVersion,
    /// UUIDv7 of this event.
    pub id: AlertId,
    /// The box, as `/agents/NAME`.
    pub source: Source,
    /// When it was signed, by the box's clock.
    #[schema(value_type = String, format = DateTime)]
    pub time: jiff::Timestamp,
    /// The settlement it is about; absent where an event expired, for nothing
    /// of its settlement may outlive it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SettlementId>,
    /// `application/json`.
    pub datacontenttype: JsonType,
    /// Its place in the box's chain.
    pub chain: Link,
    /// What happened.
    #[serde(flatten)]
    pub content: Content,
}

/// Type and data of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", content = "data")]
pub enum Content {
    /// Somebody was seen well at the counter who is neither cardholder nor proxy.
    #[serde(rename = "counterproof.alert.mismatch.v1")]
    Mismatch(Box<Mismatch>),
    /// A session was billed for somebody whom the entrance was watched for and did not see.
    #[serde(rename = "counterproof.alert.absent.v1")]
    Absent(Box<Absent>),
    /// The settlement was cancelled after its alert was signed.
    #[serde(rename = "counterproof.alert.withdrawn.v1")]
    Withdrawn(Withdrawn),
    /// An event reached its limit on the box before the bureau took it.
    #[serde(rename = "counterproof.alert.expired.v1")]
    Expired(Expired),
}

/// What every alert says, whatever it claims: of whom, where, when and what it is about,
/// and what the box was set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct About<'a> {
    /// Where the box stands.
    pub hospital: &'a HospitalId,
    /// Which counter.
    pub counter: &'a CounterId,
    /// Whose card was settled.
    pub cardholder: &'a CardholderId,
    /// When, by the HIS's clock.
    pub occurred_at: HisTime,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Which kind of care.
    pub medical_type: &'a MedicalType,
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// The comparison score, where one stands behind the claim, -1 to 1.
    pub score: Option<f32>,
    /// What the box was set to.
    pub settings: &'a Settings,
}

impl Mismatch {
    /// What every alert says.
    pub fn about(&self) -> About<'_> {
        About {
            hospital: &self.hospital,
            counter: &self.counter,
            cardholder: &self.cardholder,
            occurred_at: self.occurred_at,
            amount_fen: self.amount_fen,
            medical_type: &self.medical_type,
            model: self.comparison.model,
            score: Some(self.comparison.score),
            settings: &self.settings,
        }
    }
}

impl Absent {
    /// What every alert says.
    pub fn about(&self) -> About<'_> {
        About {
            hospital: &self.hospital,
            counter: &self.counter,
            cardholder: &self.cardholder,
            occurred_at: self.occurred_at,
            amount_fen: self.amount_fen,
            medical_type: &self.medical_type,
            model: self.observation.model,
            score: None,
            settings: &self.settings,
        }
    }
}

impl Content {
    /// What it is about, if it is an alert; a later word about one says nothing itself.
    pub fn about(&self) -> Option<About<'_>> {
        match self {
            Self::Mismatch(data) => Some(data.about()),
            Self::Absent(data) => Some(data.about()),
            Self::Withdrawn(_) | Self::Expired(_) => None,
        }
    }
}

/// The only version of CloudEvents spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum SpecVersion {
    /// CloudEvents 1.0.
    #[serde(rename = "1.0")]
    V1,
}

/// The only content type of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum JsonType {
    /// JSON.
    #[serde(rename = "application/json")]
    Json,
}

/// The box that speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^/agents/[A-Za-z0-9.:_-]{1,64}$")]
pub struct Source(pub AgentId);

impl TryFrom<String> for Source {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        s.strip_prefix("/agents/").and_then(|a| a.parse().ok()).map(Self).ok_or_else(|| {
            format!("found `{}`; expected /agents/NAME", s.chars().take(80).collect::<String>())
        })
    }
}

impl From<Source> for String {
    fn from(s: Source) -> Self {
        format!("/agents/{}", s.0)
    }
}

/// The place of an event among all events of its box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The box's life between two re-imagings.
    pub epoch: Epoch,
    /// 1, 2, 3, … within the epoch.
    pub seq: u64,
    /// SHA-256 of the event before; absent on the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256>,
}

/// The head of a box's chain, as one of the two ends knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The epoch of the last event held.
    pub epoch: Epoch,
    /// Its number; every smaller one is held too.
    pub seq: u64,
}

/// What the bureau is told about a mismatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mismatch {
    /// Where the box stands.
    pub hospital: HospitalId,
    /// Which counter.
    pub counter: CounterId,
    /// Whose card was settled.
    pub cardholder: CardholderId,
    /// When, by the HIS's clock.
    pub occurred_at: HisTime,
    /// Bound on the difference between that clock and the camera's, in ms.
    pub clock_error_ms: u64,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Which kind of care.
    pub medical_type: MedicalType,
    /// How many proxies were declared; all of them were compared too.
    pub proxies_compared: u32,
    /// What was compared.
    pub comparison: Comparison,
    /// How well it was seen.
    pub quality: QualitySummary,
    /// What the box was set to.
    pub settings: Settings,
}

/// What was compared with what result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// SHA-256 of the recognizer's file.
    pub model: Sha256,
    /// Comparison score (cosine, -1 to 1) of all views together, of the best-fitting person.
    #[serde(deserialize_with = "finite")]
    pub score: f32,
    /// At or below this score of so many views the verdict is mismatch.
    #[serde(deserialize_with = "finite")]
    pub threshold: f32,
    /// What the score says, as the calibration has it: natural logarithm of how
    /// much likelier it is if the person may be there than if not.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "finite_if_any")]
    pub log_likelihood_ratio: Option<f32>,
    /// Separate probes of the face that was seen best.
    pub probes: u32,
    /// Milliseconds between the first and the last of them.
    pub span_ms: u64,
    /// Faces followed at the counter, every one of them a non-match.
    pub faces: u32,
}

/// How well the face was seen, as means over its probes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QualitySummary {
    /// Pixels between the eyes.
    #[serde(deserialize_with = "finite")]
    pub inter_eye_px: f32,
    /// Detector's confidence, 0 to 1.
    #[serde(deserialize_with = "finite")]
    pub detection: f32,
    /// Turn of the head from the landmarks, 0 (facing) to 1 (profile).
    #[serde(deserialize_with = "finite")]
    pub yaw: f32,
    /// Variance of the Laplacian of the aligned face, in grey levels squared.
    #[serde(deserialize_with = "finite")]
    pub sharpness: f32,
}

/// JSON has no infinity, but 1e39 is read as one into 32 bits: it could be shown
/// and compared, and not be written again.
pub(super) fn finite<'de, D: serde::Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
    let v = f32::deserialize(d)?;
    let what = || serde::de::Error::custom(format!("found {v}; expected a finite 32-bit number"));
    if v.is_finite() { Ok(v) } else { Err(what()) }
}

fn finite_if_any<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<f32>, D::Error> {
    finite(d).map(Some)
}

/// Digests of what was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Version of the agent.
    pub agent_version: String,
    /// The privacy policy.
    pub policy: Sha256,
    /// The text of the posted notice.
    pub notice: Sha256,
    /// The calibration: thresholds and where they come from.
    pub calibration: Sha256,
}

/// An alert that no longer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// The event that is withdrawn.
    pub alert: AlertId,
    /// Why.
    pub reason: WithdrawalReason,
}

/// An event that the box no longer holds: its place and digest, so that the
/// gap in the chain is explained, and nothing of what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expired {
    /// The event that expired.
    pub alert: AlertId,
    /// Its number in the same epoch; smaller than that of this event.
    pub seq: u64,
    /// SHA-256 of its exact bytes.
    pub digest: Sha256,
}

/// Why an alert was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalReason {
    /// The HIS cancelled the settlement.
    SettlementCancelled,
}

/// An event that was not understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// More than [`MAX_BYTES`].
    #[error("the event has {0} bytes; at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// Not of the contract's form.
    #[error("{field}: {what}")]
    Form {
        /// Path of the field.
        field: String,
        /// What is wrong.
        what: String,
    },
}

impl Event {
    /// Reads the exact bytes of an event.
    ///
    /// # Errors
    /// [`EventError`] naming the field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EventError> {
        if bytes.len() > MAX_BYTES {
            return Err(EventError::TooLong(bytes.len()));
        }
        let event: Self = json::read(bytes).map_err(|e| EventError::Form { field: e.field, what: e.what })?;
        event.check()?;
        Ok(event)
    }

    /// When it was signed, by the box's clock.
    pub fn signed_at(&self) -> WallTime {
        WallTime::from_millis(self.time.as_millisecond())
    }

    /// What the types alone do not say.
    fn check(&self) -> Result<(), EventError> {
        let wrong = |field: &str, what: String| Err(EventError::Form { field: field.into(), what });
        match (&self.content, &self.subject) {
            (Content::Expired(_), Some(_)) => {
                wrong("subject", "an expired event says nothing of its settlement: leave it out".into())
            }
            (Content::Mismatch(_) | Content::Absent(_) | Content::Withdrawn(_), None) => {
                wrong("subject", "nothing; expected the settlement's number".into())
            }
            (Content::Withdrawn(w), _) if w.alert == self.id => wrong(
                "data.alert",
                format!("found {}, this event's own id; expected that of an alert", w.alert),
            ),
            (Content::Expired(e), None) if e.seq == 0 || e.seq >= self.chain.seq => {
                let allowed = self.chain.seq.saturating_sub(1);
                wrong(
                    "data.seq",
                    format!("found {}; only an earlier event can have expired: 1 to {allowed}", e.seq),
                )
            }
            (Content::Absent(data), _) => data.problem().map_or(Ok(()), |(field, what)| wrong(field, what)),
            _ => Ok(()),
        }
    }

    /// The exact bytes that are signed and sent.
    ///
    /// # Errors
    /// If it would exceed [`MAX_BYTES`], or would be refused when read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EventError> {
        self.check()?;
        let bytes = serde_json::to_vec(self)
            .map_err(|e| EventError::Form { field: "event".into(), what: e.to_string() })?;
        if bytes.len() > MAX_BYTES {
            return Err(EventError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example(seq: u64, previous: Option<Sha256>, epoch: Epoch) -> Event {
        Event {
            specversion: SpecVersion::V1,
            id: AlertId::new(),
            source: Source("box-1".parse().unwrap()),
            time: "2026-11-22T01:10:20Z".parse().unwrap(),
            subject: Some("S1".parse().unwrap()),
            datacontenttype: JsonType::Json,
            chain: Link { epoch, seq, previous },
            content: Content::Mismatch(Box::new(Mismatch {
                hospital: "H31010000001".parse().unwrap(),
                counter: "w03".parse().unwrap(),
                cardholder: "P0001".parse().unwrap(),
                occurred_at: HisTime::new("2026-11-22T01:10:15Z".parse().unwrap()),
                clock_error_ms: 2000,
                amount_fen: 41250,
                medical_type: "14".parse().unwrap(),
                proxies_compared: 0,
                comparison: Comparison {
                    model: Sha256::of(b"m"),
                    score: 0.04,
                    threshold: 0.25,
                    log_likelihood_ratio: Some(-7.5),
                    probes: 5,
                    span_ms: 3200,
                    faces: 1,
                },
                quality: QualitySummary { inter_eye_px: 62.0, detection: 0.93, yaw: 0.1, sharpness: 210.0 },
                settings: Settings {
                    agent_version: "0.1.0".into(),
                    policy: Sha256::of(b"p"),
                    notice: Sha256::of(b"n"),
                    calibration: Sha256::of(b"c"),
                },
            })),
        }
    }

    pub(crate) fn absent(seq: u64, previous: Option<Sha256>, epoch: Epoch) -> Event {
        let event = example(seq, previous, epoch);
        let Content::Mismatch(m) = event.content else { panic!() };
        let hour = |h: u8| HisTime::new(format!("2026-11-22T0{h}:00:00Z").parse().unwrap());
        let content = Content::Absent(Box::new(Absent {
            hospital: m.hospital,
            counter: "d01".parse().unwrap(),
            cardholder: m.cardholder,
            occurred_at: hour(5),
            clock_error_ms: m.clock_error_ms,
            amount_fen: m.amount_fen,
            medical_type: m.medical_type,
            shift: super::super::absence::Shift { begins_at: hour(0), ends_at: hour(4) },
            observation: super::super::absence::Observation {
                model: m.comparison.model,
                observed_permille: 970,
                expected: 40,
                seen: 39,
                faces: 212,
                unclear: 3,
                log_likelihood_ratio: -6.5,
            },
            settings: m.settings,
        }));
        Event { content, ..event }
    }

    #[test]
    fn an_absence_survives_the_wire_and_what_contradicts_itself_is_refused() {
        let event = absent(1, None, Epoch::new());
        let bytes = event.to_bytes().unwrap();
        assert_eq!(Event::from_bytes(&bytes).unwrap(), event);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to, field) in [
            ("\"seen\":39", "\"seen\":40", "data.observation.seen"),
            ("\"unclear\":3", "\"unclear\":213", "data.observation.unclear"),
            ("permille\":970", "permille\":1001", "data.observation.observed_permille"),
            ("T04:00:00Z", "T00:00:00Z", "data.shift.ends_at"),
        ] {
            assert!(text.contains(from), "{from}: {text}");
            match Event::from_bytes(text.replace(from, to).as_bytes()) {
                Err(EventError::Form { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{other:?}"),
            }
        }
        let smuggled = text.replace("{\"model\"", "{\"image\":\"/9j/4AAQ\",\"model\"");
        assert!(Event::from_bytes(smuggled.as_bytes()).is_err());
    }

    #[test]
    fn an_event_survives_the_wire_and_is_small() {
        let event = example(1, None, Epoch::new());
        let bytes = event.to_bytes().unwrap();
        assert!(bytes.len() < 1800, "{}", bytes.len());
        assert_eq!(Event::from_bytes(&bytes).unwrap(), event);
    }

    #[test]
    fn what_follows_an_event_or_cannot_be_written_again_is_refused() {
        let text = String::from_utf8(example(1, None, Epoch::new()).to_bytes().unwrap()).unwrap();
        assert!(Event::from_bytes(format!("{text}\n").as_bytes()).is_ok());
        for (changed, word) in [(format!("{text}{{}}"), "trailing"), (text.replace("0.04", "1e39"), "finite")]
        {
            let e = Event::from_bytes(changed.as_bytes()).unwrap_err().to_string();
            assert!(e.contains(word), "{e}");
        }
    }

    #[test]
    fn an_expired_event_names_an_earlier_one_and_no_settlement_and_none_withdraws_itself() {
        let expired = |seq, subject: Option<SettlementId>| {
            let data = Expired { alert: AlertId::new(), seq, digest: Sha256::of(b"gone") };
            Event {
                subject,
                content: Content::Expired(data),
                ..example(3, Some(Sha256::of(b"x")), Epoch::new())
            }
        };
        let good = expired(2, None);
        let bytes = good.to_bytes().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("subject"));
        assert_eq!(Event::from_bytes(&bytes).unwrap(), good);
        let mut of_itself = example(1, None, Epoch::new());
        of_itself.content = Content::Withdrawn(Withdrawn {
            alert: of_itself.id,
            reason: WithdrawalReason::SettlementCancelled,
        });
        for (wrong, field) in [
            (expired(2, Some("S1".parse().unwrap())), "subject"),
            (expired(3, None), "data.seq"),
            (expired(0, None), "data.seq"),
            (Event { subject: None, ..example(1, None, Epoch::new()) }, "subject"),
            (of_itself, "data.alert"),
        ] {
            let bytes = serde_json::to_vec(&wrong).unwrap();
            assert!(wrong.to_bytes().is_err());
            match Event::from_bytes(&bytes) {
                Err(EventError::Form { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_field_that_is_not_named_is_refused_wherever_it_stands() {
        let text = String::from_utf8(example(1, None, Epoch::new()).to_bytes().unwrap()).unwrap();
        for (at, what) in
            [("{\"specversion\"", "top"), ("{\"hospital\"", "data"), ("{\"model\"", "comparison")]
        {
            let smuggled = text.replacen(at, &at.replacen('{', "{\"image\":\"/9j/4AAQ\",", 1), 1);
            assert_ne!(smuggled, text);
            assert!(Event::from_bytes(smuggled.as_bytes()).is_err(), "{what}");
        }
    }
}
