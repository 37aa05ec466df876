//! Commissioning boxes: a supervisor sees what a box counted in shadow, signs
//! that it may raise alerts, and can take that back.
//!
//! Promises: nothing is signed that is not written down first, with the name of
//! who signs; a box is signed for the model and the calibration that it shows,
//! and for no other; what is signed though the figures do not speak for it says
//! so, for good. Who the supervisor is, the program believes, as it does with
//! every act.

use std::path::Path;

use serde::Serialize;

use super::BureauError;
use super::acts::{self, Person, on_one_line};
use super::agents::unknown;
use super::store::{Agent, AgentChange, Store, StoredPosture};
use crate::clock::{Clock, SystemClock, WallTime};
use crate::commissioning::recommend::{LEAST_SETTLEMENTS, Recommendation, recommend};
use crate::commissioning::report::{CalibrationFile, Report};
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::protocol::commission::{
    Arm, Commission, Format, MAX_NAME, MAX_TEXT, Mode, Order, Revoke, Standing, Subject, Word,
};
use crate::protocol::figures::Figures;
use crate::protocol::id::AgentId;

/// What a supervisor says when signing.
pub struct Signing<'a> {
    /// Who signs.
    pub supervisor: String,
    /// A remark.
    pub note: Option<String>,
    /// Why, though the figures do not speak for it.
    pub without_figures: Option<String>,
    /// The calibration, where the box has not shown it yet.
    pub calibration: Option<&'a Path>,
}

fn refuse<T>(what: String) -> Result<T, BureauError> {
    Err(BureauError::Command(what))
}

/// What the bureau knows of a box.
struct Known {
    /// What it showed last, and when.
    posture: Option<StoredPosture>,
    /// The greatest number of an order, here or at the box.
    number: u64,
    /// The calibration it shows, if it is held here.
    shown: Option<(Sha256, CalibrationFile)>,
}

impl Known {
    async fn of(store: &Store, name: &AgentId) -> Result<Self, BureauError> {
        if store.agent(name).await?.is_none() {
            return Err(unknown(name));
        }
        let posture = store.posture(name).await?;
        let mut shown = None;
        if let Some(digest) = posture.as_ref().map(|p| p.posture.calibration)
            && let Some(bytes) = store.document(digest).await?
        {
            let file = CalibrationFile::read(&bytes)
                .map_err(|e| BureauError::Command(format!("the calibration {digest} of {name}: {e}")))?;
            shown = Some((digest, file));
        }
        let held = store.commission(name).await?.map_or(0, |(number, _)| number);
        // A bureau restored from a backup goes on behind what the box has seen.
        let seen = posture.as_ref().and_then(|p| p.posture.commissioning.as_ref()).map_or(0, |s| s.number);
        Ok(Self { posture, number: held.max(seen), shown })
    }

    fn standing(&self) -> Option<&Standing> {
        self.posture.as_ref()?.posture.commissioning.as_ref()
    }
}

/// A box's distributions beside its calibration's, and what to make of them.
///
/// # Errors
/// If there is no such box, or it has not shown its figures yet.
pub async fn report(store: &Store, name: &AgentId) -> Result<Report, BureauError> {
    let known = Known::of(store, name).await?;
    let (Some(standing), Some(posture)) = (known.standing().cloned(), &known.posture) else {
        return refuse(format!(
            "{name} has not told how it stands: it sends a posture every minute while it runs and reaches the bureau; a box older than this bureau tells nothing of commissioning"
        ));
    };
    let expected = known.shown.and_then(|(_, file)| file.expected);
    Ok(Report::new(name.clone(), posture.posture.calibration, standing, expected))
}

/// Signs that a box may raise alerts. What was signed, in words.
///
/// # Errors
/// If there is no such box, its calibration is not known, or its figures do not
/// speak for it and nobody said why it is signed all the same.
pub async fn sign(
    store: &Store,
    key: &SigningKey,
    name: &AgentId,
    signing: Signing<'_>,
) -> Result<String, BureauError> {
    let supervisor = on_one_line("--supervisor", signing.supervisor, MAX_NAME)?;
    let note = signing.note.map(|n| on_one_line("--note", n, MAX_TEXT)).transpose()?;
    let without =
        signing.without_figures.map(|r| on_one_line("--without-figures", r, MAX_TEXT)).transpose()?;
    let known = Known::of(store, name).await?;
    let (subject, file) = subject(&known, name, signing.calibration)?;
    let figures = figures(&known, &subject);
    let seen = figures.as_ref().map_or(0, |f| f.scores.total());
    let advice = recommend(&figures.clone().unwrap_or_default(), file.expected.as_ref(), LEAST_SETTLEMENTS);
    if advice != Recommendation::Arm && without.is_none() {
        return refuse(format!(
            "{name} was not armed; the figures say: {advice}. `commission report {name}` shows them. Who signs all the same says why: --without-figures REASON"
        ));
    }
    let arm = Arm {
        model: subject.model,
        preprocessing: subject.preprocessing,
        calibration: subject.calibration,
        note,
        settlements: seen,
        figures,
        without_figures: without.clone(),
    };
    let what = Word::Arm(Box::new(arm));
    let number = order(store, key, ("commission sign", &supervisor), (name, known.number), what).await?;
    let why = without.map_or_else(String::new, |r| format!(", without figures: {r}"));
    Ok(format!(
        "order {number}: {name} is armed for calibration {} after {seen} settlements in shadow{why}; it takes that up with its next posture",
        short(subject.calibration)
    ))
}

/// For what a box is signed: the calibration in the file, else the one it shows.
fn subject(
    known: &Known,
    name: &AgentId,
    file: Option<&Path>,
) -> Result<(Subject, CalibrationFile), BureauError> {
    let (digest, file) = match (file, &known.shown) {
        (Some(path), _) => {
            let refused = |e: String| BureauError::Command(format!("--calibration {}: {e}", path.display()));
            let bytes = std::fs::read(path).map_err(|e| refused(e.to_string()))?;
            (Sha256::of(&bytes), CalibrationFile::read(&bytes).map_err(refused)?)
        }
        (None, Some((digest, file))) => (*digest, file.clone()),
        (None, None) => {
            return refuse(format!(
                "the calibration of {name} is not held here: a box sends it with its first postures. To sign before, name the file: --calibration FILE"
            ));
        }
    };
    let recognizer = known.posture.as_ref().and_then(|p| p.posture.models.get("recognizer"));
    match recognizer {
        Some(found) if *found != file.model => refuse(format!(
            "the calibration is for model {}, but {name} runs {}: give the box the calibration that belongs to its model",
            file.model, found
        )),
        _ => Ok((file.subject(name.clone(), digest), file)),
    }
}

/// What the box counted in shadow under this calibration.
fn figures(known: &Known, subject: &Subject) -> Option<Figures> {
    let posture = &known.posture.as_ref()?.posture;
    let standing = posture.commissioning.as_ref()?;
    let about_it = posture.calibration == subject.calibration && !standing.mode.is_armed();
    about_it.then(|| standing.figures.in_known_words())
}

/// Takes a box's commission back. What was signed, in words.
///
/// # Errors
/// If there is no such box, or it was never commissioned.
pub async fn revoke(
    store: &Store,
    key: &SigningKey,
    name: &AgentId,
    supervisor: String,
    reason: String,
) -> Result<String, BureauError> {
    let supervisor = on_one_line("--supervisor", supervisor, MAX_NAME)?;
    let reason = on_one_line("--reason", reason, MAX_TEXT)?;
    let known = Known::of(store, name).await?;
    if known.number == 0 {
        return refuse(format!("{name} was never commissioned: it is in shadow and raises no alerts"));
    }
    let what = Word::Revoke(Revoke { reason });
    let number = order(store, key, ("commission revoke", &supervisor), (name, known.number), what).await?;
    Ok(format!("order {number}: {name} raises no alerts any more; it takes that up with its next posture"))
}

/// Writes the act down, signs the order with the number after `last`, keeps it.
async fn order(
    store: &Store,
    key: &SigningKey,
    (act, supervisor): (&str, &str),
    (name, last): (&AgentId, u64),
    word: Word,
) -> Result<u64, BureauError> {
    let number = last.saturating_add(1);
    if i64::try_from(number).is_err() {
        return refuse(format!(
            "{name} tells of order {last}: no number is left; put it on record under another name"
        ));
    }
    let detail = match &word {
        Word::Arm(a) => format!(
            "order {number}, calibration {}, {} settlements, note {}, without figures {}",
            short(a.calibration),
            a.settlements,
            a.note.as_deref().unwrap_or("none"),
            a.without_figures.as_deref().unwrap_or("no")
        ),
        Word::Revoke(r) => format!("order {number}, {}", r.reason),
    };
    acts::note(store, &Person::of(Some(supervisor.to_owned()))?, act, name.as_str(), detail).await?;
    let order = Order {
        format: Format::V1,
        agent: name.clone(),
        number,
        signed_at: SystemClock.now().wall,
        supervisor: supervisor.to_owned(),
        order: word,
    };
    let commission = Commission::sign(&order, key).map_err(std::io::Error::from)?;
    match store.keep_commission(&order, &commission).await? {
        AgentChange::Done => Ok(number),
        AgentChange::Refused => refuse(format!(
            "somebody else signed order {number} to {name} at the same moment: look, and sign again"
        )),
    }
}

fn short(digest: Sha256) -> String {
    digest.to_string().chars().take(16).collect()
}

/// A box with the newest order to it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    name: AgentId,
    /// As it told last.
    mode: Option<Mode>,
    since: Option<WallTime>,
    /// Of the newest order.
    order: Option<Order>,
    /// Whether the box has seen it.
    seen: bool,
}

/// Every box on record with the newest order to it.
///
/// # Errors
/// If the store fails.
pub async fn list(store: &Store) -> Result<Vec<Listed>, BureauError> {
    let postures = store.postures().await?;
    let mut listed = Vec::new();
    for Agent { name, .. } in store.boxes().await? {
        let standing =
            postures.iter().find(|p| p.agent == name).and_then(|p| p.posture.commissioning.as_ref());
        let newest = store.commission(&name).await?;
        let seen = newest.as_ref().is_some_and(|(n, _)| standing.is_some_and(|s| s.number >= *n));
        listed.push(Listed {
            mode: standing.map(|s| s.mode),
            since: standing.map(|s| s.since),
            order: newest.and_then(|(_, c)| serde_json::from_str(&c.0.document).ok()),
            seen,
            name,
        });
    }
    Ok(listed)
}

/// One line per box.
pub fn table(listed: &[Listed]) -> String {
    let mut text = format!(
        "{:<20} {:<28} {:<25} {:>6} {:<8} {:<5} {:<16} signed at\n",
        "name", "mode", "since", "order", "what", "seen", "supervisor"
    );
    for Listed { name, mode, since, order, seen, .. } in listed {
        let mode = mode.map_or_else(|| "not told".to_owned(), |m| m.to_string());
        let since = since.map(|t| t.to_string()).unwrap_or_default();
        let (number, what, by, at) = order.as_ref().map_or_else(Default::default, |o| {
            let what = if matches!(o.order, Word::Arm(_)) { "arm" } else { "revoke" };
            (o.number.to_string(), what, o.supervisor.clone(), o.signed_at.to_string())
        });
        let seen = if *seen { "yes" } else { "no" };
        text.push_str(&format!(
            "{:<20} {mode:<28} {since:<25} {number:>6} {what:<8} {seen:<5} {by:<16} {at}\n",
            name.as_str()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::{box_with_key, store};
    use crate::crypto::sign::Unverified;
    use crate::protocol::commission::tests::key;
    use crate::protocol::countersign::Countersigned;
    use crate::protocol::document::DocumentKind;
    use crate::protocol::posture::Posture;
    use crate::protocol::verdict::Outcome;

    const SHIPPED: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml"));
    const MODEL: &str = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79";

    /// A box on record that showed its calibration and these figures.
    async fn shown(store: &Store, matches: u64, mismatches: u64, model: &str) -> AgentId {
        let (new, boxed) = box_with_key("box-1");
        let at = WallTime::from_millis(1);
        store.add_agent(&new, at).await.unwrap();
        let mut figures = Figures::default();
        (0..matches).for_each(|_| figures.count(Outcome::Match, Some(0.85)));
        (0..mismatches).for_each(|_| figures.count(Outcome::Mismatch, Some(0.1)));
        figures.verdicts.insert("a word of a hostile box".repeat(99), 1);
        let digest = Sha256::of(SHIPPED.as_bytes());
        let posture: Posture = serde_json::from_value(serde_json::json!({
            "agent": "box-1", "hospital": "H31010000001", "at": 1, "agent_version": "0.1.0",
            "models": {"recognizer": model}, "policy": digest, "calibration": digest, "retention_s": {},
            "verdicts": {}, "outbox_waiting": 0, "outbox_set_aside": 0, "liveness": "off", "troubles": [],
            "audit": {"epoch": "01938a00-0000-7000-8000-000000000000", "seq": 1, "hash": digest},
            "commissioning": {"mode": "shadow(drift)", "since": 1, "number": 7, "figures": figures},
        }))
        .unwrap();
        let bytes = serde_json::to_vec(&posture).unwrap();
        let verified = Unverified::new(&bytes, boxed.sign(&bytes)).verify(&boxed.public()).unwrap();
        let head = Countersigned::new(new.name.clone(), posture.audit, at, &boxed);
        store.keep_posture(&posture, &verified, &head).await.unwrap().unwrap();
        store.keep_document(&new.name, DocumentKind::Calibration, SHIPPED.as_bytes(), at).await.unwrap();
        new.name
    }

    fn by(supervisor: &str, without: Option<&str>) -> Signing<'static> {
        Signing {
            supervisor: supervisor.into(),
            note: None,
            without_figures: without.map(str::to_owned),
            calibration: None,
        }
    }

    #[tokio::test]
    async fn good_figures_are_signed_with_what_was_seen_behind_every_number_the_box_knows() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (store(dir.path()).await, key());
        let name = shown(&store, 240, 2, MODEL).await;
        assert_eq!(report(&store, &name).await.unwrap().recommendation, Recommendation::Arm);
        let said = sign(&store, &key, &name, by("li", None)).await.unwrap();
        assert!(said.starts_with("order 8: box-1 is armed") && said.contains("242 settlements"), "{said}");
        let (_, signed) = store.commission(&name).await.unwrap().unwrap();
        let word = signed.verify(&key.public(), &name).unwrap();
        let Word::Arm(arm) = &word.order().order else { panic!() };
        assert_eq!((arm.settlements, arm.figures.as_ref().unwrap().verdicts.len()), (242, 2));
        let said = revoke(&store, &key, &name, "wu".into(), "moved".into()).await.unwrap();
        assert!(said.starts_with("order 9"), "{said}");
        let acts: Vec<_> = store.acts(9).await.unwrap().into_iter().map(|a| (a.what, a.by)).collect();
        assert_eq!(acts[0], ("commission revoke".into(), "wu".into()));
        assert_eq!(acts[1], ("commission sign".into(), "li".into()));
        let table = table(&list(&store).await.unwrap());
        assert!(
            table.contains("revoke") && table.contains(" no ") && table.contains("shadow(drift)"),
            "{table}"
        );
    }

    #[tokio::test]
    async fn too_little_or_the_wrong_thing_is_refused_unless_somebody_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (store(dir.path()).await, key());
        let refused =
            async |name: &AgentId, signing| sign(&store, &key, name, signing).await.unwrap_err().to_string();
        let nobody: AgentId = "box-9".parse().unwrap();
        assert!(refused(&nobody, by("li", None)).await.contains("no box is called box-9"));
        let name = shown(&store, 150, 90, MODEL).await;
        let said = refused(&name, by("li", None)).await;
        assert!(
            said.contains("do not arm: ")
                && said.contains("38 % of the decided")
                && said.contains("--without-figures"),
            "{said}"
        );
        for bad in ["", " ", "li\nwu", &"x".repeat(65)] {
            let said = refused(&name, by(bad, Some("a reason"))).await;
            assert!(said.starts_with("--supervisor: found") && !said.contains('\n'), "{said}");
        }
        assert!(refused(&name, by("li", Some(" "))).await.starts_with("--without-figures"));
        assert_eq!(store.commission(&name).await.unwrap(), None);
        let said = sign(&store, &key, &name, by("li", Some("a small place"))).await.unwrap();
        assert!(said.contains("without figures: a small place"), "{said}");
    }

    #[tokio::test]
    async fn a_calibration_of_another_model_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (store(dir.path()).await, key());
        let name = shown(&store, 240, 0, &"00".repeat(32)).await;
        let said = sign(&store, &key, &name, by("li", Some("a reason"))).await.unwrap_err().to_string();
        assert!(said.contains("the calibration is for model 0ba9fbfa"), "{said}");
    }
}
