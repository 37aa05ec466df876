//! The agent's configuration: `config/counterproof.example.toml` shows every key.
//!
//! Here is what it consists of and what follows from it; what is wrong with a value is
//! said by [`checks`].

mod checks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::camera::Source;
use crate::clock::ClockMap;
use crate::commissioning::drift::Limits;
use crate::crypto::Sha256;
use crate::crypto::keys;
use crate::crypto::sign::PublicKey;
use crate::crypto::tls::TlsFiles;
use crate::frame::Region;
use crate::http::metrics::Listen;
use crate::privacy::declared::Declared;
use crate::privacy::policy::{self, CounterKind, Policy};
use crate::protocol::id::{AgentId, CounterId, DiseaseCode, HospitalId, MedicalType};
use crate::protocol::settlement::{Channel, Settlement};
use crate::settings::{self, Problem, SettingsError};
use crate::verify::roster::Demands;
use crate::vision::Wanted;

use super::his::senders::Senders;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which box this is.
    pub agent: Agent,
    /// Its secrets.
    pub keys: Keys,
    /// Where alerts go and references come from.
    pub bureau: Bureau,
    /// Where settlements come from.
    pub his: His,
    /// Which models.
    pub models: Models,
    /// How verdicts are reached.
    pub decision: Decision,
    /// When an armed box goes back into shadow.
    #[serde(default)]
    pub commissioning: Limits,
    /// Presentation attack detection.
    pub liveness: Liveness,
    /// The places with a camera.
    pub counters: Vec<Counter>,
    /// Where metrics are read; without it none are recorded.
    pub metrics: Option<Listen>,
    /// When a session that was billed counts as billed for nobody.
    #[serde(default)]
    pub entrance: Entrance,
    /// What somebody signs for; see `privacy::declared`.
    #[serde(default)]
    pub privacy: Declared,
}

/// `[entrance]`: how well a dialysis room's entrance must have been observed before an
/// absence is told of. It can be made stricter than it is without the section, not laxer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entrance {
    /// Diseases whose settlements are sessions of dialysis.
    pub disease_codes: Vec<DiseaseCode>,
    /// Least share of the shift during which the entrance was observed.
    pub least_observed: f64,
    /// Greatest share of those who passed that may have been seen too badly.
    pub most_unclear: f64,
    /// Least share of the others on the roster who must have been seen.
    pub least_seen: f64,
    /// Fewest others on the roster: with fewer nobody knows whether the entrance works.
    pub least_others: u32,
}

impl Default for Entrance {
    fn default() -> Self {
        let demands = Demands::USUAL;
        Self {
            disease_codes: "M07801".parse().into_iter().collect(),
            least_observed: demands.least_observed,
            most_unclear: demands.most_unclear,
            least_seen: demands.least_seen,
            least_others: demands.least_others,
        }
    }
}

impl Entrance {
    /// What must hold before an absence is told of.
    pub fn demands(&self) -> Demands {
        Demands {
            least_observed: self.least_observed,
            most_unclear: self.most_unclear,
            least_seen: self.least_seen,
            least_others: self.least_others,
            ..Demands::USUAL
        }
    }

    /// Whether a settlement is one of a session of dialysis.
    pub fn asks_about(&self, settlement: &Settlement) -> bool {
        settlement.disease_code.as_ref().is_some_and(|code| self.disease_codes.contains(code))
    }
}

/// `[agent]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its name at the bureau.
    pub name: AgentId,
    /// The institution's code.
    pub hospital: HospitalId,
    /// Folder for journal, outbox and audit log.
    pub state: PathBuf,
}

/// `[keys]`: paths of files with mode 0600, or `credential:NAME`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Seals what is stored.
    pub root: String,
    /// The root key before it, until the store has changed over.
    #[serde(default)]
    pub root_previous: Option<String>,
    /// Signs alerts and the audit log.
    pub signing: String,
    /// The signing key before it, until it has handed over in the audit log.
    #[serde(default)]
    pub signing_previous: Option<String>,
}

/// `[bureau]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bureau {
    /// `https://…`, without a path.
    pub url: String,
    /// The bureau's signing key, as `counterproof-bureau show-key` prints it:
    /// only what bears it counts as countersigned.
    pub public_key: PublicKey,
    /// Certificates.
    pub tls: TlsFiles,
    /// Deadline of a reference look-up.
    #[serde(default = "two_seconds")]
    pub reference_deadline_ms: u64,
}

fn two_seconds() -> u64 {
    2000
}

/// `[his]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct His {
    /// Address to listen on; another than loopback needs `[his.tls]`.
    pub listen: SocketAddr,
    /// Place of the bearer token.
    pub token: String,
    /// Certificates, for a hospital LAN.
    pub tls: Option<TlsFiles>,
    /// Largest assumed difference between the HIS's clock and this box's.
    pub clock_error_ms: u64,
    /// Longest accepted time from a settlement to its message.
    pub delay_ms: u64,
    /// Which terminals and operators are at which counter.
    #[serde(default)]
    pub senders: Vec<Senders>,
    /// Ports on which HL7 v2 messages are taken.
    #[serde(default)]
    pub hl7: Vec<Hl7Port>,
}

/// `[[his.hl7]]`: a port for HL7 v2 over MLLP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hl7Port {
    /// Address to listen on: loopback alone, since MLLP knows no callers.
    pub listen: SocketAddr,
    /// The counter of everything that comes here, if it is one.
    pub counter: Option<CounterId>,
}

/// `[models]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Path of `models.toml`.
    pub manifest: PathBuf,
    /// Ids in it.
    #[serde(default)]
    pub wanted: Wanted,
    /// The recognizer before, while photographs are enrolled anew for this one.
    pub previous: Option<Previous>,
}

/// `[models.previous]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its id in the manifest.
    pub recognizer: String,
    /// The calibration made for it.
    pub calibration: PathBuf,
}

/// `[decision]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Path of the calibration.
    pub calibration: PathBuf,
    /// How long a mismatch is held, so that the HIS may still cancel or name a
    /// neighbour, before its alert is signed.
    pub hold_ms: u64,
    /// Kinds of care that are verified. In-patients, where relatives usually pay,
    /// are left out by naming the others.
    pub medical_types: Vec<MedicalType>,
    /// Channels that are verified: nobody stands before the camera for the others,
    /// or it is not known who.
    #[serde(default = "window_only")]
    pub channels: Vec<Channel>,
    /// Cardholders below this age, in years, are not verified: somebody else
    /// settles for them, and their faces change.
    #[serde(default = "fourteen")]
    pub least_age_years: u8,
    /// Threads that own models.
    #[serde(default = "one")]
    pub workers: usize,
    /// Verifications that may wait for one.
    #[serde(default = "sixteen")]
    pub queue: usize,
}

fn window_only() -> Vec<Channel> {
    vec![Channel::Window]
}

fn fourteen() -> u8 {
    14
}

impl Decision {
    /// Whether a settlement is of a kind that is verified at all.
    pub fn asks_about(&self, settlement: &Settlement) -> bool {
        self.medical_types.contains(&settlement.medical_type)
            && self.channels.contains(&settlement.channel)
            && settlement.age_years.is_none_or(|age| age >= self.least_age_years)
    }
}

fn one() -> usize {
    1
}

fn sixteen() -> usize {
    16
}

/// `[liveness]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    /// Must be named, so that nobody believes it is on.
    pub mode: LivenessMode,
}

/// Presentation attack detection, on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LivenessMode {
    /// Off: a photograph held to the camera is not told from a face.
    Off,
    /// Averaged over the views of a face; a doubt, never an accusation.
    Averaged,
}

impl LivenessMode {
    /// Its word in configurations and postures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Averaged => "averaged",
        }
    }
}

/// `[[counters]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// Its name in settlements.
    pub id: CounterId,
    /// Whom it looks for, and when.
    #[serde(default)]
    pub kind: CounterKind,
    /// How long before a settlement's moment its window begins; an entrance has none.
    #[serde(default)]
    pub before_ms: u64,
    /// How long after it the window ends.
    #[serde(default)]
    pub after_ms: u64,
    /// Most memory for the camera's pictures.
    #[serde(default = "ring_mb")]
    pub ring_mb: usize,
    /// Where in the picture people stand. Part of the privacy policy: where
    /// nobody stated it, nothing may be looked at, and that is refused.
    #[serde(default = "nowhere")]
    pub region: Region,
    /// What looks there.
    pub camera: Source,
}

fn ring_mb() -> usize {
    32
}

fn nowhere() -> Region {
    Region::NONE
}

impl Config {
    /// The models to load: the liveness model only where it is switched on.
    pub fn wanted(&self) -> Wanted {
        let named = self.models.wanted.clone();
        let liveness = named.liveness.unwrap_or_else(Wanted::liveness_model);
        let on = self.liveness.mode == LivenessMode::Averaged;
        Wanted { liveness: on.then_some(liveness), ..named }
    }
}

/// A configuration with everything that follows from it.
pub struct Effective {
    /// As written, paths made absolute.
    pub config: Config,
    /// The privacy policy in force.
    pub policy: Policy,
    /// SHA-256 of the file.
    pub digest: Sha256,
    /// What to warn of.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads a configuration and the policy declared in it.
    ///
    /// # Errors
    /// Every complaint: form, values, and what the policy lacks.
    pub fn read(path: &Path, today: jiff::civil::Date) -> Result<Effective, SettingsError> {
        Self::parse(path, &settings::text(path)?, today)
    }

    /// The same of a text that does not stand in its file yet.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(path: &Path, text: &str, today: jiff::civil::Date) -> Result<Effective, SettingsError> {
        let config = Self::parse_form(path, text)?;
        let (policy, mut warnings) = config
            .privacy
            .policy(&config.capture_regions(), today)
            .map_err(|problems| settings::refuse(path, text, problems))?;
        let unfit: Vec<Problem> =
            config.ring_problems(&policy).into_iter().chain(config.stays_problem(&policy)).collect();
        if !unfit.is_empty() {
            return Err(settings::refuse(path, text, unfit));
        }
        let least = config.his.delay_ms.saturating_add(2 * config.his.clock_error_ms);
        if config.decision.hold_ms < least {
            warnings.push(format!(
                "decision.hold_ms is {}; below {least} (delay_ms + 2 x clock_error_ms) a neighbour that the HIS names late can come after an alert was signed: raise it to {least} or more",
                config.decision.hold_ms
            ));
        }
        let digest = Sha256::of(text.as_bytes());
        Ok(Effective { config, policy, digest, warnings })
    }

    /// Reads the policy as it would be in force once its notice is posted: what
    /// the notice is printed from, before anybody knows its digest.
    ///
    /// # Errors
    /// Every complaint but those about the notice's digest and date.
    pub fn read_draft(path: &Path, today: jiff::civil::Date) -> Result<Policy, SettingsError> {
        Self::read_before_notice(path, today).map(|(_, policy)| policy)
    }

    /// A configuration whose notice need not be posted yet, with the policy as
    /// it would be then: for what a technician does before that.
    ///
    /// # Errors
    /// Every complaint but those about the notice's digest and date.
    pub fn read_before_notice(
        path: &Path,
        today: jiff::civil::Date,
    ) -> Result<(Self, Policy), SettingsError> {
        Self::parse_before_notice(path, &settings::text(path)?, today)
    }

    /// The same of a text that does not stand in its file yet.
    ///
    /// # Errors
    /// As [`Config::read_before_notice`].
    pub fn parse_before_notice(
        path: &Path,
        text: &str,
        today: jiff::civil::Date,
    ) -> Result<(Self, Policy), SettingsError> {
        let config = Self::parse_form(path, text)?;
        let draft = config.privacy.draft(&config.capture_regions(), today);
        let policy = draft.map_err(|problems| settings::refuse(path, text, problems))?;
        Ok((config, policy))
    }

    fn parse_form(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let mut config: Self = settings::parse(path, text)?;
        config.make_absolute(path.parent().unwrap_or(Path::new(".")));
        Ok(config)
    }

    fn capture_regions(&self) -> Vec<(&CounterId, CounterKind, Region)> {
        self.counters.iter().map(|c| (&c.id, c.kind, c.region)).collect()
    }

    /// The ring must reach back over window, delay and clock error, or frames
    /// of a settlement would be gone when its message comes.
    fn ring_problems(&self, policy: &Policy) -> Vec<Problem> {
        let keep = policy.limit(policy::FRAMES).as_millis() as u64;
        let needed = |c: &Counter| {
            let camera = (c.camera.delay() + c.camera.group()).as_millis() as u64;
            [c.after_ms, self.his.delay_ms, self.his.clock_error_ms, camera]
                .into_iter()
                .fold(c.before_ms, u64::saturating_add)
        };
        self.counters
            .iter()
            .filter(|c| needed(c) > keep)
            .map(|c| {
                Problem::new(
                    "privacy.retention.frames_seconds",
                    keep / 1000,
                    format!("at least {} for counter {}", needed(c).div_ceil(1000), c.id),
                    "The pictures kept must reach over the window, the HIS's delay, the clocks' error, the camera's delay and its time between key pictures together; shorten those, or keep pictures longer (at most 60 s).",
                )
            })
            .collect()
    }

    /// The HIS's own messages say who acts for a cardholder, and who does must not look
    /// like a stranger.
    fn stays_problem(&self, policy: &Policy) -> Option<Problem> {
        let reads = !(self.his.senders.is_empty() && self.his.hl7.is_empty());
        (reads && !policy.keeps(policy::STAYS)).then(|| {
            Problem::new(
                "privacy.retention.stays_days",
                "nothing",
                "1 to 180",
                "[[his.senders]] and [[his.hl7]] are for the HIS's own messages, which say who acts for a cardholder: say how long that may be kept, and post the new notice.",
            )
        })
    }

    /// How near, by the HIS's times, a settlement of somebody else may come
    /// before the face in a counter's window may have been that person's: windows
    /// are cut at the middle between two settlements, less the clocks' error.
    pub fn neighbour_reach(&self, counter: &Counter) -> Duration {
        Duration::from_millis(2 * (counter.before_ms.max(counter.after_ms) + self.his.clock_error_ms))
    }

    /// How HIS times are placed on this box's time line.
    pub fn clock_map(&self) -> ClockMap {
        ClockMap {
            error: Duration::from_millis(self.his.clock_error_ms),
            delay: Duration::from_millis(self.his.delay_ms),
        }
    }

    fn make_absolute(&mut self, base: &Path) {
        let secret = |place: &mut String| keys::resolve(place, base);
        let tls = |t: &mut TlsFiles| {
            t.ca = base.join(&t.ca);
            t.certificate = base.join(&t.certificate);
            secret(&mut t.key);
        };
        self.agent.state = base.join(&self.agent.state);
        self.models.manifest = base.join(&self.models.manifest);
        self.decision.calibration = base.join(&self.decision.calibration);
        if let Some(previous) = &mut self.models.previous {
            previous.calibration = base.join(&previous.calibration);
        }
        secret(&mut self.keys.root);
        secret(&mut self.keys.signing);
        self.keys.root_previous.as_mut().map(secret);
        self.keys.signing_previous.as_mut().map(secret);
        secret(&mut self.his.token);
        tls(&mut self.bureau.tls);
        self.his.tls.as_mut().map(tls);
        for counter in &mut self.counters {
            counter.camera.resolve(base);
        }
    }
}
