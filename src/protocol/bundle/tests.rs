//! A whole bundle made in memory: what passes, what fails, and why.

use proptest::prelude::*;

use super::check::{Pinned, check};
use super::report::{Outcome, Report};
use super::*;
use crate::crypto::sign::SigningKey;
use crate::protocol::alert::tests::example;
use crate::protocol::alert::{Content, Event, Expired, WithdrawalReason, Withdrawn};
use crate::protocol::countersign::Received;
use crate::protocol::id::Epoch;
use crate::protocol::posture::AuditHead;

const POLICY: &str = r#"{"controller":"hospital","basis":{"kind":"statutory_duty","instrument":"law","article":"1"},"notice":{"id":"N1","sha256":"NOTICE","posted_on":"2026-01-01"}}"#;
const NOTICE: &str = "At this window the cardholder is checked.\n";
const CALIBRATION: &str = "model = 'abc'\nsource = 'people'\n[thresholds]\nmatch_mean = 0.4\n";

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
}

const fn at(ms: i64) -> WallTime {
    WallTime::from_millis(ms)
}

/// When the example alert was signed, and a while around it.
const SIGNED: i64 = 1_795_309_820_000;
const RECEIVED: WallTime = at(SIGNED + 5_000);

struct Bench {
    bureau: SigningKey,
    agent: SigningKey,
    bundle: Bundle,
}

fn signed(event: &Event, key: &SigningKey) -> SignedEvent {
    let bytes = event.to_bytes().unwrap();
    SignedEvent { signature: key.sign(&bytes), bytes: Exact(bytes) }
}

fn bench() -> Bench {
    let (bureau, agent) = (key(), key());
    let epoch = Epoch::new();
    let before = Sha256::of(b"the event before");
    let mut event = example(2, Some(before), epoch);
    let policy = POLICY.replace("NOTICE", &Sha256::of(NOTICE.as_bytes()).to_string());
    let Content::Mismatch(data) = &mut event.content else { panic!() };
    data.settings.policy = Sha256::of(policy.as_bytes());
    data.settings.notice = Sha256::of(NOTICE.as_bytes());
    data.settings.calibration = Sha256::of(CALIBRATION.as_bytes());
    let alert = signed(&event, &agent);
    let digest = Sha256::of(&alert.bytes.0);
    let received = Received { agent: &event.source.0, epoch, seq: 2, digest };
    let head = |seq, ms| {
        let audit = AuditHead { epoch, seq, hash: Sha256::of(b"record") };
        Some(Countersigned::new(event.source.0.clone(), audit, at(ms), &bureau))
    };
    let withdrawn = Withdrawn { alert: event.id, reason: WithdrawalReason::SettlementCancelled };
    let withdrawn = Event { content: Content::Withdrawn(withdrawn), ..example(3, Some(digest), epoch) };
    let document = |kind, text: &str| Document { kind, bytes: Exact(text.as_bytes().to_vec()) };
    let bundle = Bundle {
        format: Format::V1,
        algorithms: ALGORITHMS,
        event: event.id,
        made_at: at(SIGNED + 99_000),
        bureau: BureauPart { public_key: bureau.public(), earlier_keys: vec![] },
        agent: Some(BoxPart {
            name: event.source.0.clone(),
            hospital: "H31010000001".parse().unwrap(),
            keys: vec![RegisteredKey { public_key: agent.public(), since: at(5), until: None }],
        }),
        receipt: Some(Receipt::new(received, RECEIVED, &bureau)),
        neighbours: Some(Neighbours {
            before: Some(Before { digest: before, expired: false }),
            after: Some(After {
                digest: Sha256::of(&withdrawn.to_bytes().unwrap()),
                link: Link { epoch, seq: 3, previous: Some(digest) },
            }),
        }),
        later: Some(vec![LaterWord { event: signed(&withdrawn, &agent), received_at: at(SIGNED + 9_000) }]),
        documents: vec![
            document(DocumentKind::Policy, &policy),
            document(DocumentKind::Notice, NOTICE),
            document(DocumentKind::Calibration, CALIBRATION),
        ],
        heads: Some(Heads { before: head(7, SIGNED), after: head(9, SIGNED + 60_000) }),
        alert: Some(alert),
    };
    Bench { bureau, agent, bundle }
}

impl Bench {
    fn pinned(&self) -> Pinned {
        Pinned { bureau: Some(self.bureau.public()), agent: Some(self.agent.public()) }
    }

    /// The report on a bundle that the bureau itself made wrongly.
    fn with(&self, change: impl FnOnce(&mut Bundle)) -> Report {
        let mut bundle = self.bundle.clone();
        change(&mut bundle);
        check(&bundle.to_file(&self.bureau).unwrap(), &self.pinned())
    }
}

fn outcome(report: &Report, name: &str) -> Outcome {
    report.checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no check {name}")).outcome
}

fn why<'a>(report: &'a Report, name: &str) -> &'a str {
    report.checks.iter().find(|c| c.name == name).map_or("", |c| &c.explanation)
}

#[test]
fn a_whole_bundle_passes_every_check_and_says_what_it_does_not_prove() {
    let bench = bench();
    let report = bench.with(|_| ());
    assert!(report.checks.iter().all(|c| c.outcome == Outcome::Pass), "{}", report.table());
    assert_eq!(report.checks.len(), 15);
    assert!(why(&report, "later").contains("WITHDRAWN"));
    assert!(why(&report, "calibration").contains("match_mean = 0.4"));
    assert!(report.table().contains("who the person at the counter was"));
    // Without keys from elsewhere it cannot tell whose bundle it is.
    let file = bench.bundle.to_file(&bench.bureau).unwrap();
    let report = check(&file, &Pinned::default());
    assert!(report.passed);
    assert_eq!(outcome(&report, "bureau_key"), Outcome::CannotBeTold);
}

#[test]
fn one_changed_byte_anywhere_fails_with_a_reason() {
    let bench = bench();
    let file = bench.bundle.to_file(&bench.bureau).unwrap();
    for position in 0..file.len() {
        let mut changed = file.clone();
        changed[position] ^= 1;
        let report = check(&changed, &Pinned::default());
        let failed = report.checks.iter().find(|c| c.outcome == Outcome::Fail);
        let failed = failed.unwrap_or_else(|| panic!("byte {position} can be changed: {}", report.table()));
        assert!(["form", "bundle_signature"].contains(&failed.name), "byte {position}: {failed:?}");
        assert!(failed.explanation.len() > 20, "byte {position}: {failed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_edit_of_the_file_fails(at in any::<proptest::sample::Index>(), to in any::<u8>(), how in 0..3) {
        let bench = bench();
        let file = bench.bundle.to_file(&bench.bureau).unwrap();
        let mut changed = file.clone();
        let i = at.index(file.len());
        match how {
            0 => changed[i] = to,
            1 => changed.insert(i, to),
            _ => { changed.remove(i); }
        }
        prop_assume!(changed != file);
        prop_assert!(!check(&changed, &Pinned::default()).passed);
    }

    #[test]
    fn rubbish_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!check(&bytes, &Pinned::default()).passed);
    }
}

#[test]
fn a_missing_part_is_named() {
    let bench = bench();
    type Change = fn(&mut Bundle);
    let required: [(&str, Change, &str); 6] = [
        ("alert", |b| b.alert = None, "no alert"),
        ("box_key", |b| b.agent = None, "no box"),
        ("receipt", |b| b.receipt = None, "no receipt"),
        ("chain_before", |b| b.neighbours = None, "no place in the chain"),
        ("later", |b| b.later = None, "no list"),
        ("audit_head_before", |b| b.heads = None, "no countersigned audit heads"),
    ];
    for (name, change, words) in required {
        let report = bench.with(change);
        assert_eq!(outcome(&report, name), Outcome::Fail, "{name}: {}", report.table());
        assert!(why(&report, name).contains(words), "{name}: {}", why(&report, name));
        assert!(!report.passed);
    }
    let optional: [(&str, Change, &str); 7] = [
        ("policy", |b| b.documents.retain(|d| d.kind != DocumentKind::Policy), "no policy document"),
        ("notice", |b| b.documents.retain(|d| d.kind != DocumentKind::Notice), "no notice document"),
        ("calibration", |b| b.documents.truncate(2), "no calibration document"),
        ("audit_head_before", |b| b.heads.as_mut().unwrap().before = None, "before the receipt"),
        ("audit_head_after", |b| b.heads.as_mut().unwrap().after = None, "after the receipt"),
        ("chain_before", |b| b.neighbours.as_mut().unwrap().before = None, "does not hold event 1"),
        ("chain_after", |b| b.neighbours.as_mut().unwrap().after = None, "no later event"),
    ];
    for (name, change, words) in optional {
        let report = bench.with(change);
        assert_eq!(outcome(&report, name), Outcome::CannotBeTold, "{name}: {}", report.table());
        assert!(why(&report, name).contains(words), "{name}: {}", why(&report, name));
        assert!(report.passed);
    }
}

#[test]
fn a_part_that_does_not_belong_fails_though_the_bureau_signed_it() {
    let bench = bench();
    let other = self::bench().bundle;
    type Change<'a> = Box<dyn Fn(&mut Bundle) + 'a>;
    let cases: Vec<(&str, Change<'_>)> = vec![
        ("alert", Box::new(|b| b.alert = other.alert.clone())),
        (
            "alert_signature",
            Box::new(|b| {
                b.alert.as_mut().unwrap().signature = other.alert.as_ref().unwrap().signature.clone()
            }),
        ),
        ("box_key", Box::new(|b| b.agent.as_mut().unwrap().keys[0].until = Some(at(SIGNED - 1)))),
        ("box_key", Box::new(|b| b.agent.as_mut().unwrap().keys[0].since = at(SIGNED + 6_000))),
        ("receipt", Box::new(|b| b.receipt.as_mut().unwrap().received_at = at(SIGNED + 4_000))),
        ("receipt", Box::new(|b| b.receipt = other.receipt.clone())),
        (
            "chain_before",
            Box::new(|b| b.neighbours.as_mut().unwrap().before.as_mut().unwrap().digest = Sha256::of(b"z")),
        ),
        ("chain_after", Box::new(|b| b.neighbours = other.neighbours)),
        ("later", Box::new(|b| b.later = other.later.clone())),
        ("policy", Box::new(|b| b.documents[0].bytes.0.push(b' '))),
        ("notice", Box::new(|b| b.documents[1].bytes.0[0] = b'a')),
        ("calibration", Box::new(|b| b.documents[2].bytes.0.clear())),
        (
            "audit_head_before",
            Box::new(|b| b.heads.as_mut().unwrap().before = b.heads.as_ref().unwrap().after.clone()),
        ),
        ("audit_head_after", Box::new(|b| b.heads = other.heads.clone())),
    ];
    for (name, change) in cases {
        let report = bench.with(|b| change(b));
        assert_eq!(outcome(&report, name), Outcome::Fail, "{name}: {}", report.table());
    }
}

#[test]
fn a_bundle_by_somebody_else_fails_against_the_pinned_key() {
    let (ours, theirs) = (bench(), bench());
    let file = theirs.bundle.to_file(&theirs.bureau).unwrap();
    assert!(check(&file, &Pinned::default()).passed);
    let report = check(&file, &ours.pinned());
    assert_eq!(outcome(&report, "bureau_key"), Outcome::Fail);
    assert_eq!(outcome(&report, "alert_signature"), Outcome::Fail);
}

#[test]
fn what_an_older_key_of_the_bureau_signed_still_holds() {
    let bench = bench();
    let new = key();
    let mut bundle = bench.bundle.clone();
    bundle.bureau = BureauPart { public_key: new.public(), earlier_keys: vec![bench.bureau.public()] };
    let pinned = Pinned { bureau: Some(new.public()), agent: None };
    let report = check(&bundle.to_file(&new).unwrap(), &pinned);
    assert!(report.passed, "{}", report.table());
    bundle.bureau.earlier_keys.clear();
    assert!(!check(&bundle.to_file(&new).unwrap(), &pinned).passed);
}

#[test]
fn another_version_or_algorithm_is_refused_by_name() {
    let bench = bench();
    let file = String::from_utf8(bench.bundle.to_file(&bench.bureau).unwrap()).unwrap();
    for (from, to, named) in [
        ("counterproof.bundle.v1", "counterproof.bundle.v7", "counterproof.bundle.v7"),
        ("\"digest\":\"sha256\"", "\"digest\":\"sm3\"", "sm3"),
        ("\"signature\":\"ed25519\"", "\"signature\":\"sm2-sm3\"", "sm2-sm3"),
        ("\"signature\":\"alg=ed25519", "\"signature\":\"alg=sm2-sm3", "sm2-sm3"),
    ] {
        let changed = file.replacen(from, to, 1);
        assert_ne!(changed, file);
        let report = check(changed.as_bytes(), &Pinned::default());
        assert!(why(&report, "form").contains(named), "{}", report.table());
    }
}

#[test]
fn the_word_that_an_alert_expired_is_read_too() {
    let bench = bench();
    let Some(alert) = &bench.bundle.alert else { panic!() };
    let data = Expired { alert: bench.bundle.event, seq: 2, digest: Sha256::of(&alert.bytes.0) };
    let chain = Event::from_bytes(&alert.bytes.0).unwrap().chain;
    let word = Event {
        subject: None,
        content: Content::Expired(data),
        ..example(9, Some(Sha256::of(b"8")), chain.epoch)
    };
    let word = LaterWord { event: signed(&word, &bench.agent), received_at: at(SIGNED + 9_000) };
    let report = bench.with(|b| b.later = Some(vec![word]));
    assert!(report.passed && why(&report, "later").contains("no longer holds"), "{}", report.table());
}
