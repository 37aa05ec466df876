//! The bureau: whether it answers, knows this box, and what time it has.

use crate::crypto::sign::PublicKey;
use crate::edge::agent::bureau_client;
use crate::edge::config::Config;
use crate::edge::delivery::chain;
use crate::protocol::HEAD_PATH;
use crate::protocol::head::HeadAnswer;
use crate::protocol::rollout::WantedVersion;
use crate::protocol::signed::SignedError;

use super::Level;

/// What was found, and how far this box's clock is from the bureau's, in
/// milliseconds, where that answered.
pub(super) struct Answer {
    pub(super) level: Level,
    pub(super) found: String,
    pub(super) clock_off_ms: Option<i64>,
    /// The version that it wants here, where it answered.
    pub(super) wanted: Option<Result<WantedVersion, SignedError>>,
}

/// Asks the bureau for this box's head.
pub(super) async fn ask(config: &Config) -> Answer {
    let mut answer = Answer { level: Level::Failure, found: String::new(), clock_off_ms: None, wanted: None };
    (answer.level, answer.found) = head(config, &mut answer).await;
    answer
}

/// This box's clock less the time of an answer, which tells whole seconds.
fn clock_off(answer: &reqwest::Response) -> Option<i64> {
    let date = answer.headers().get(reqwest::header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(jiff::Timestamp::now().as_millisecond() - theirs.as_millisecond())
}

async fn head(config: &Config, told: &mut Answer) -> (Level, String) {
    let client = match bureau_client(config) {
        Ok(c) => c,
        Err(e) => return (Level::Failure, e.to_string()),
    };
    let answer = client.get(format!("{}{HEAD_PATH}", config.bureau.url)).send().await;
    told.clock_off_ms = answer.as_ref().ok().and_then(clock_off);
    match answer {
        Ok(a) if a.status().is_success() => match a.json::<HeadAnswer>().await {
            Ok(held) => {
                let word = held.wanted.as_ref();
                told.wanted = word.map(|w| w.read(&config.bureau.public_key, &config.agent.name));
                on_record(config, &held)
            }
            Err(e) => (
                Level::Failure,
                format!("its head is not understood: {}: is bureau.url the bureau's?", chain(&e)),
            ),
        },
        Ok(a) => (
            Level::Failure,
            format!(
                "{} answered {}: let its operator register this box (`counterproof-bureau agents add`), or resume it",
                config.bureau.url,
                a.status()
            ),
        ),
        Err(e) => (
            Level::Failure,
            format!(
                "{}: {}; look at the network too: a firewall, the unit's drop-in for addresses",
                config.bureau.url,
                chain(&e.without_url())
            ),
        ),
    }
}

/// Whether this is the version that the bureau wants here.
pub(super) fn version(wanted: Option<&Result<WantedVersion, SignedError>>) -> (Level, String) {
    let own = env!("CARGO_PKG_VERSION");
    match wanted {
        None => (Level::Ok, format!("{own}; the bureau names no other")),
        Some(Ok(w)) if w.version == own => {
            (Level::Ok, format!("{own}, as the bureau wants it (roll-out {})", w.rollout))
        }
        Some(Ok(w)) => (
            Level::Warning,
            format!(
                "{own}; the bureau wants {} here (roll-out {}): install the package of SHA-256 {}, which `sha256sum` shows; nothing is installed by itself",
                w.version.chars().filter(|c| !c.is_control()).collect::<String>(),
                w.rollout,
                w.package
            ),
        ),
        Some(Err(e)) => {
            (Level::Warning, format!("{own}; the bureau's word about another does not count: {e}"))
        }
    }
}

/// Whether the bureau has this box on record for the hospital that is set, and
/// signs with the pinned key. An older bureau does not name the hospital.
fn on_record(config: &Config, held: &HeadAnswer) -> (Level, String) {
    let set = &config.agent.hospital;
    match &held.hospital {
        Some(found) if found != set => (
            Level::Failure,
            format!(
                "{} has this box on record for hospital {found}, agent.hospital is {set}: it would refuse every \
                 posture and alert; correct the one that is wrong",
                config.bureau.url
            ),
        ),
        _ => pinned(config, held.public_key.as_ref()),
    }
}

/// Whether the bureau signs with the key that is pinned.
fn pinned(config: &Config, key: Option<&PublicKey>) -> (Level, String) {
    let (url, pinned) = (&config.bureau.url, &config.bureau.public_key);
    match key {
        Some(key) if key == pinned => {
            (Level::Ok, format!("{url} knows this box, and signs with the pinned key {}", key.id()))
        }
        Some(key) => (
            Level::Failure,
            format!(
                "{url} signs with key {}, pinned is {}: ask its operator, and write the key that `counterproof-bureau show-key` prints there as bureau.public_key",
                key.id(),
                pinned.id()
            ),
        ),
        None => (
            Level::Failure,
            format!(
                "{url} names no signing key: it is older than this box; let its operator install the version of this box"
            ),
        ),
    }
}
