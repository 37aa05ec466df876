use super::*;
use crate::bureau::retention::Kind;
use crate::bureau::review::agreement::Agreement;
use crate::bureau::review::letters::{LetterKind, LetterState};
use crate::bureau::review::proxies::{Declaration, MOST_PROXIES};
use crate::bureau::store::agents::tests::box_with_key;
use crate::bureau::store::erasures::tests::keep_in_a_case;
use crate::bureau::store::events::tests::{Bench, chain, withdrawal};
use crate::bureau::store::figures::Place;
use crate::bureau::store::tests::on_both;
use crate::protocol::alert::Event;
use crate::protocol::alert::tests::absent;
use crate::protocol::id::Epoch;

fn at(ms: i64) -> WallTime {
    WallTime::from_millis(ms)
}

fn name(name: &str) -> AccountName {
    name.parse().unwrap()
}

fn said(note: &str) -> StepText {
    StepText { note: note.into(), ..StepText::default() }
}

const FALSE: Step = Step::Decide(Decision::FalseAlert);

/// A desk with some alerts of one box on it, received at 10, 20, 30, …
struct Desk {
    bench: Bench,
    events: Vec<Event>,
}

impl Desk {
    async fn with(store: Store, alerts: u64) -> Self {
        let (bench, events) = (Bench::new(store).await, chain(alerts, Epoch::new()));
        for (event, n) in events.iter().zip(1..) {
            bench.put(event, n * 10).await;
        }
        Self { bench, events }
    }

    fn store(&self) -> &Store {
        &self.bench.store
    }

    async fn step(&self, n: usize, step: Step, seen: i64, by: &str, when: i64) -> Result<State, Refusal> {
        let (by, text) = (name(by), said("because I asked"));
        let new = NewStep {
            alert: self.events[n].id,
            seen,
            step,
            by: &by,
            at: at(when),
            assignee: None,
            text: &text,
        };
        self.store().take_step(&new).await.unwrap()
    }

    async fn state(&self, n: usize) -> State {
        self.store().listing(self.events[n].id).await.unwrap().unwrap().state
    }
}

#[tokio::test]
async fn an_absence_is_worked_on_like_any_alert_and_found_to_be_what_it_can_be() {
    on_both(async |store| {
        let (bench, event) = (Bench::new(store).await, absent(1, None, Epoch::new()));
        bench.put(&event, 10).await;
        let mut desk = Desk { bench, events: vec![event.clone()] };
        let listing = desk.store().listing(event.id).await.unwrap().unwrap();
        assert_eq!(listing.claim, Claim::Absent);
        let held = desk.store().listed_alert(&listing).await.unwrap().unwrap();
        assert!(held.signature_valid && held.event.as_ref() == Some(&event));
        // Nobody is treated by proxy; what a window's alert cannot be found to be is refused too.
        for wrong in [Decision::Impersonation, Decision::UndeclaredProxy] {
            assert_eq!(desk.step(0, Step::Decide(wrong), 0, "li", 100).await, Err(Refusal::Unfit));
        }
        let found = Step::Decide(Decision::NotRendered);
        assert_eq!(desk.step(0, found, 0, "li", 101).await, Ok(State::Decided(Decision::NotRendered)));
        // Blind it can be found to be no more either.
        assert_eq!(desk.store().ask_blind(&name("wu"), &name("boss"), 1, (at(0), at(102))).await.unwrap(), 1);
        let answer = |decision| BlindAnswer {
            alert: event.id,
            by: Box::leak(Box::new(name("wu"))),
            decision,
            note: "n",
            at: at(103),
        };
        assert!(!desk.store().answer_blind(&answer(Decision::Impersonation)).await.unwrap());
        assert!(desk.store().answer_blind(&answer(Decision::FalseAlert)).await.unwrap());
        let mismatch = chain(2, event.chain.epoch).remove(1);
        desk.bench.put(&mismatch, 20).await;
        desk.events.push(mismatch);
        assert_eq!(desk.step(1, found, 0, "li", 104).await, Err(Refusal::Unfit));
        let listing = desk.store().listing(desk.events[1].id).await.unwrap().unwrap();
        let beside = desk.store().of_same_cardholder(&listing, 9).await.unwrap();
        assert_eq!((beside.len(), beside[0].claim), (1, Claim::Absent));
    })
    .await;
}

#[tokio::test]
async fn an_absence_goes_at_its_limit_and_its_withdrawal_with_it() {
    on_both(async |store| {
        let (bench, event) = (Bench::new(store).await, absent(1, None, Epoch::new()));
        bench.put(&event, 10).await;
        bench.put(&withdrawal(&event, 2), 11).await;
        let listing = bench.store.listing(event.id).await.unwrap().unwrap();
        assert_eq!(listing.state, State::Withdrawn);
        let early = bench.store.purge(Kind::OpenAlerts, at(10), at(50)).await.unwrap();
        assert_eq!((early.deleted, early.oldest_left), (0, Some(at(10))));
        let done = bench.store.purge(Kind::OpenAlerts, at(12), at(51)).await.unwrap();
        assert_eq!((done.oldest_deleted, done.oldest_left), (Some(at(10)), None));
        assert!(bench.store.listing(event.id).await.unwrap().is_none());
        assert!(bench.store.alerts(i64::MAX, 9).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_decision_on_a_page_that_is_out_of_date_is_refused_and_the_history_only_grows() {
    on_both(async |store| {
        let desk = Desk::with(store, 1).await;
        let id = desk.events[0].id;
        assert_eq!(desk.step(0, FALSE, 0, "li", 100).await, Ok(State::Decided(Decision::FalseAlert)));
        // Wu's page was made before that.
        let wu = Step::Decide(Decision::Impersonation);
        assert_eq!(desk.step(0, wu, 0, "wu", 101).await, Err(Refusal::Stale));
        let since = desk.store().steps(id, 0).await.unwrap();
        assert_eq!(
            (since.len(), since[0].by.as_str(), since[0].decision),
            (1, "li", Some(Decision::FalseAlert))
        );
        assert_eq!(since[0].text.note, "because I asked");
        assert_eq!(desk.step(0, wu, 1, "wu", 102).await, Err(Refusal::Decided));
        assert_eq!(desk.step(0, Step::Appeal, 1, "wu", 103).await, Ok(State::Open));
        assert_eq!(desk.step(0, wu, 2, "wu", 104).await, Ok(State::Decided(Decision::Impersonation)));
        let listing = desk.store().listing(id).await.unwrap().unwrap();
        assert_eq!((listing.last_step, listing.decided_at), (3, Some(at(104))));
        let words: Vec<String> =
            desk.store().steps(id, 0).await.unwrap().into_iter().map(|s| s.step).collect();
        assert_eq!(words, ["decided", "appealed", "decided"]);
        let deciders: Vec<(String,)> = sqlx::query_as("SELECT by_whom FROM decisions ORDER BY at")
            .fetch_all(&desk.store().pool)
            .await
            .unwrap();
        assert_eq!(deciders, [("li".to_owned(),), ("wu".to_owned(),)]);
    })
    .await;
}

#[tokio::test]
async fn what_the_box_took_back_is_nobodys_to_decide_unless_somebody_had() {
    on_both(async |store| {
        let desk = Desk::with(store, 2).await;
        desk.step(1, FALSE, 0, "li", 100).await.unwrap();
        for (event, seq) in desk.events.iter().zip(3..) {
            desk.bench.put(&withdrawal(event, seq), 200).await;
        }
        assert_eq!(desk.step(0, FALSE, 0, "li", 300).await, Err(Refusal::Withdrawn));
        assert_eq!(desk.state(1).await, State::Decided(Decision::FalseAlert));
    })
    .await;
}

#[tokio::test]
async fn a_decided_alert_that_is_taken_back_is_told_and_is_not_opened_again() {
    on_both(async |store| {
        let desk = Desk::with(store, 1).await;
        desk.step(0, FALSE, 0, "li", 100).await.unwrap();
        desk.bench.put(&withdrawal(&desk.events[0], 2), 200).await;
        let changes = desk.store().alert_changes(at(150), 9).await.unwrap();
        assert_eq!(changes.iter().map(|c| c.changed_at).collect::<Vec<_>>(), [at(200)]);
        let listing = desk.store().listing(desk.events[0].id).await.unwrap().unwrap();
        assert_eq!(
            (listing.state, listing.decided_at),
            (State::Decided(Decision::FalseAlert), Some(at(100)))
        );
        assert!(desk.store().listed_alert(&listing).await.unwrap().unwrap().withdrawn_at.is_some());
        // An appeal is recorded, and leaves nothing to decide.
        assert_eq!(desk.step(0, Step::Appeal, 1, "wu", 300).await, Ok(State::Withdrawn));
        let listing = desk.store().listing(desk.events[0].id).await.unwrap().unwrap();
        assert_eq!((listing.state, listing.decided_at), (State::Withdrawn, None));
        assert_eq!(desk.store().steps(desk.events[0].id, 0).await.unwrap().len(), 2);
        assert_eq!(desk.step(0, FALSE, 2, "li", 400).await, Err(Refusal::Withdrawn));
    })
    .await;
}

#[tokio::test]
async fn an_alert_is_given_to_somebody_and_stays_open() {
    on_both(async |store| {
        let desk = Desk::with(store, 1).await;
        let (li, wu, text) = (name("li"), name("wu"), StepText::default());
        let alert = desk.events[0].id;
        let new = NewStep {
            alert,
            seen: 0,
            step: Step::Assign,
            by: &wu,
            at: at(50),
            assignee: Some(&li),
            text: &text,
        };
        assert_eq!(desk.store().take_step(&new).await.unwrap(), Ok(State::Open));
        assert_eq!(desk.store().next_alert(&li).await.unwrap(), Some(alert));
        assert_eq!(desk.store().next_alert(&wu).await.unwrap(), None);
        // Deciding leaves whose it was; opening it again gives it to nobody.
        desk.step(0, FALSE, 1, "li", 60).await.unwrap();
        let assignee = async || desk.store().listing(alert).await.unwrap().unwrap().assignee;
        assert_eq!(assignee().await.as_deref(), Some("li"));
        desk.step(0, Step::Reopen, 2, "wu", 70).await.unwrap();
        assert_eq!(assignee().await, None);
    })
    .await;
}

#[tokio::test]
async fn letters_wait_are_answered_and_are_late() {
    on_both(async |store| {
        let desk = Desk::with(store, 1).await;
        let alert = desk.events[0].id;
        let new =
            NewLetter { alert, kind: LetterKind::Documents, by: "li", at: at(50), due: at(100), asked: "S1" };
        let id = desk.store().draft_letter(&new).await.unwrap().unwrap();
        let overdue = async |now: i64| desk.store().overdue_alerts(at(now)).await.unwrap();
        assert!(overdue(100).await.is_empty());
        assert_eq!(overdue(101).await, [alert]);
        let text = LetterText { answer: "the daughter signed".into(), ..LetterText::default() };
        let answer = |state, now| Answer { letter: &id, alert, state, at: at(now), text: &text };
        assert!(desk.store().answer_letter(&answer(LetterState::Sent, 60)).await.unwrap());
        assert!(desk.store().answer_letter(&answer(LetterState::Answered, 70)).await.unwrap());
        assert!(!desk.store().answer_letter(&answer(LetterState::Refused, 80)).await.unwrap());
        assert!(overdue(101).await.is_empty());
        let letters = desk.store().letters(alert).await.unwrap();
        let letter = &letters[0];
        assert_eq!(
            (letter.state, letter.sent_at, letter.ended_at),
            (LetterState::Answered, Some(at(60)), Some(at(70)))
        );
        assert_eq!((letter.text.asked.as_str(), letter.text.answer.as_str()), ("S1", "the daughter signed"));
        let nobody = NewLetter { alert: AlertId::new(), ..new };
        assert_eq!(desk.store().draft_letter(&nobody).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_hospital_is_late_with_what_it_was_asked_for_in_time() {
    on_both(async |store| {
        let desk = Desk::with(store, 1).await;
        let alert = desk.events[0].id;
        let hospital = desk.store().listing(alert).await.unwrap().unwrap().hospital;
        let text = LetterText::default();
        // Kind, when it was sent, when it was answered; all are due at 100.
        for (kind, sent, ended) in [
            (LetterKind::Recording, Some(60), None),
            (LetterKind::Recording, Some(60), Some(150)),
            (LetterKind::Recording, Some(60), Some(90)),
            (LetterKind::Recording, Some(101), None),
            (LetterKind::Recording, None, None),
            (LetterKind::Documents, Some(60), None),
        ] {
            let new = NewLetter { alert, kind, by: "li", at: at(50), due: at(100), asked: "" };
            let letter = desk.store().draft_letter(&new).await.unwrap().unwrap();
            let steps = [(sent, LetterState::Sent), (ended, LetterState::Refused)];
            for (now, state) in steps.into_iter().filter_map(|(now, state)| Some((now?, state))) {
                let answer = Answer { letter: &letter, alert, state, at: at(now), text: &text };
                assert!(desk.store().answer_letter(&answer).await.unwrap());
            }
        }
        let overdue = async |now, place: &Place| desk.store().overdue_requests(at(now), place).await.unwrap();
        let everywhere = Place::default();
        assert_eq!(overdue(100, &everywhere).await, []);
        assert_eq!(overdue(101, &everywhere).await, [(hospital.to_string(), 2)]);
        assert_eq!(overdue(151, &everywhere).await, [(hospital.to_string(), 1)]);
        let elsewhere = Place { district: "nowhere".into(), ..Place::default() };
        assert_eq!(overdue(151, &elsewhere).await, []);
    })
    .await;
}

fn declaration(proxy: &str) -> Declaration {
    Declaration {
        cardholder: "P0001".parse().unwrap(),
        proxy: proxy.parse().unwrap(),
        relation: "daughter".into(),
        cardholder_consent: "signed".into(),
        proxy_consent: "signed".into(),
        consented_on: "2026-11-22".into(),
    }
}

#[tokio::test]
async fn a_declared_proxy_holds_until_its_end_and_nobody_has_many() {
    on_both(async |store| {
        let (boxed, _) = box_with_key("box-1");
        store.add_agent(&boxed, at(0)).await.unwrap();
        let agent = store.agent(&boxed.name).await.unwrap().unwrap();
        let is_told = async |person: &str, now: i64| {
            let found = store.references_for(&agent, &person.parse().unwrap(), at(now)).await.unwrap();
            found.unwrap().has_proxies
        };
        assert!(!is_told("P0001", 50).await);
        let declare = async |proxy: &str, until: i64| {
            let declaration = declaration(proxy);
            let new = NewProxy { declaration: &declaration, by: "li", at: at(1), until: at(until) };
            store.declare_proxy(&new).await.unwrap()
        };
        assert_eq!(declare("P2", 100).await, ProxyAddition::Added);
        assert_eq!(declare("P2", 200).await, ProxyAddition::Declared);
        for n in 1..MOST_PROXIES {
            assert_eq!(declare(&format!("P2{n}"), 90).await, ProxyAddition::Added);
        }
        assert_eq!(declare("P9", 90).await, ProxyAddition::Full);
        let cardholder = "P0001".parse().unwrap();
        let held = store.proxies_of(&cardholder, at(99)).await.unwrap();
        assert_eq!((held.len(), &held[0].declaration), (1, &declaration("P2")));
        assert!(store.proxies_of(&cardholder, at(100)).await.unwrap().is_empty());
        assert_eq!((is_told("P0001", 99).await, is_told("P0001", 100).await), (true, false));
        assert!(!is_told("P2", 50).await);
        assert!(store.proxies_of(&"P2".parse().unwrap(), at(50)).await.unwrap().is_empty());
        assert_eq!(store.purge(Kind::DeclaredProxies, at(99), at(99)).await.unwrap().deleted, 3);
        assert!(!store.end_proxy(&held[0].id, &"P2".parse().unwrap()).await.unwrap());
        assert!(store.end_proxy(&held[0].id, &cardholder).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_blind_check_goes_to_who_had_nothing_to_do_with_it_and_changes_nothing() {
    on_both(async |store| {
        let desk = Desk::with(store, 2).await;
        desk.step(0, FALSE, 0, "li", 100).await.unwrap();
        let (li, wu, boss) = (name("li"), name("wu"), name("boss"));
        let store = desk.store();
        assert_eq!(store.ask_blind(&li, &boss, 9, (at(0), at(110))).await.unwrap(), 0);
        assert_eq!(store.ask_blind(&wu, &boss, 9, (at(11), at(111))).await.unwrap(), 0, "too old");
        assert_eq!(store.ask_blind(&wu, &boss, 9, (at(0), at(111))).await.unwrap(), 1);
        assert_eq!(store.ask_blind(&boss, &boss, 9, (at(0), at(112))).await.unwrap(), 0);
        let id = desk.events[0].id;
        assert_eq!(store.blind_for(&wu).await.unwrap(), [id]);
        let decision = Decision::UndeclaredProxy;
        let answer = |by| BlindAnswer { alert: id, by, decision, note: "she said so", at: at(120) };
        assert!(!store.answer_blind(&answer(&li)).await.unwrap());
        assert!(store.answer_blind(&answer(&wu)).await.unwrap());
        assert!(!store.answer_blind(&answer(&wu)).await.unwrap());
        assert_eq!(desk.state(0).await, State::Decided(Decision::FalseAlert));
        assert_eq!(store.steps(id, 0).await.unwrap().len(), 1);
        let pairs = store.blind_pairs().await.unwrap();
        assert_eq!(pairs, [(Decision::FalseAlert, decision)]);
        assert_eq!(Agreement::of(&pairs), Agreement::TooFew { pairs: 1 });
        assert!(store.blind_for(&wu).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_decided_alert_goes_by_its_decision_with_all_that_belongs_to_it_and_an_appeal_begins_anew() {
    on_both(async |store| {
        let desk = Desk::with(store, 3).await;
        desk.step(0, FALSE, 0, "li", 1_000).await.unwrap();
        desk.step(1, FALSE, 0, "li", 1_000).await.unwrap();
        desk.step(1, Step::Appeal, 1, "li", 2_000).await.unwrap();
        let kept = async || {
            let mut kept = Vec::new();
            for (n, event) in desk.events.iter().enumerate() {
                if desk.store().listing(event.id).await.unwrap().is_some() {
                    kept.push(n);
                }
            }
            kept
        };
        let purge = async |kind, before: i64| desk.store().purge(kind, at(before), at(9_000)).await.unwrap();
        let done = purge(Kind::OpenAlerts, 1_500).await;
        assert_eq!((kept().await, done.oldest_left), (vec![0, 1], Some(at(2_000))));
        let done = purge(Kind::DecidedAlerts, 1_000).await;
        assert_eq!((done.deleted, done.oldest_left), (0, Some(at(1_000))));
        purge(Kind::DecidedAlerts, 1_001).await;
        assert_eq!(kept().await, [1]);
        assert!(desk.store().steps(desk.events[0].id, 0).await.unwrap().is_empty());
        purge(Kind::OpenAlerts, 2_001).await;
        assert!(kept().await.is_empty());
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM review_steps")
            .fetch_one(&desk.store().pool)
            .await
            .unwrap();
        assert_eq!(left, 0);
    })
    .await;
}

#[tokio::test]
async fn what_a_case_keeps_is_not_purged_before_the_case_has_ended() {
    for hold in [("open", 0), ("transferred", 0), ("closed", 1)] {
        on_both(async |store| {
            let desk = Desk::with(store, 3).await;
            let store = desk.store();
            // The first is decided and in a case; the second goes by its age.
            desk.step(0, FALSE, 0, "li", 1_000).await.unwrap();
            keep_in_a_case(store, &desk.events[0], hold).await;
            let purge = async |kind| store.purge(kind, at(2_000), at(9_000)).await.unwrap();
            let done = purge(Kind::DecidedAlerts).await;
            assert_eq!((done.deleted, done.oldest_left), (0, None), "{hold:?}");
            assert_eq!(purge(Kind::OpenAlerts).await.deleted, 2);
            // Decided otherwise on appeal, it is still what the case is about.
            desk.step(0, Step::Appeal, 1, "wu", 1_500).await.unwrap();
            let done = purge(Kind::OpenAlerts).await;
            assert_eq!((done.deleted, done.oldest_left), (0, None), "{hold:?}");
            let end = "UPDATE cases SET state = 'closed', held = 0";
            sqlx::query(end).execute(&store.pool).await.unwrap();
            let done = purge(Kind::OpenAlerts).await;
            assert_eq!((done.deleted, done.oldest_deleted), (1, Some(at(1_500))), "{hold:?}");
        })
        .await;
    }
}
