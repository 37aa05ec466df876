//! Cases in the store: who may do what when, and what is kept.

use super::*;
use crate::bureau::accounts::Roles;
use crate::bureau::cases::texts::{IncomingText, LetterText, ReportText};
use crate::bureau::cases::words::{
    Authority, CaseState, Channel, Complexity, Finding, IncomingState, Outcome, ReportOutcome, ReportState,
    TransferState,
};
use crate::bureau::review::{Decision, Step};
use crate::bureau::store::tests::{at_both, box_with_key, on_both, store};
use crate::bureau::store::{NO_SCORE, NewAccount, NewStep, StepText};
use crate::crypto::seal::RootKey;
use crate::protocol::id::AlertId;

const DAY: i64 = 86_400_000;
/// 2026-09-28, 09:00 in China.
const DECIDED: i64 = 1_790_557_200_000;
const WITH: Approval<'static> =
    Approval { bureau: "某市医疗保障局", contact: "", prefix: "某医保移字" };

fn by(who: &str, day: i64) -> Actor<'_> {
    Actor { who, at: WallTime::from_millis(DECIDED + day * DAY) }
}

fn refused<T>(result: Result<T, CaseError>) -> CaseRefusal {
    match result {
        Err(CaseError::Refused(why)) => why,
        Err(CaseError::Store(e)) => panic!("{e}"),
        Ok(_) => panic!("it was not refused"),
    }
}

struct Desk {
    store: Store,
    seq: i64,
}

impl Desk {
    /// A store with a reviewer, li, who decides, and supervisors wu and zhao.
    async fn new(store: Store) -> Self {
        let (agent, _) = box_with_key("box-1");
        store.add_agent(&agent, WallTime::from_millis(0)).await.unwrap();
        for (name, roles) in
            [("li", "reviewer"), ("sun", "reviewer"), ("wu", "supervisor"), ("zhao", "reviewer supervisor")]
        {
            let roles: Roles = roles.parse().unwrap();
            let (name, display, password) = (name.parse().unwrap(), name.to_owned(), String::new());
            let new = NewAccount { name, display, roles, password };
            assert!(store.add_account(&new, WallTime::from_millis(0)).await.unwrap());
        }
        Self { store, seq: 0 }
    }

    /// An alert that `who` decided so.
    async fn alert(&mut self, decision: &str, amount: i64, who: &str) -> AlertId {
        let id = AlertId::new();
        self.seq += 1;
        let key = id.to_string();
        self.store.make_month(WallTime::from_millis(DECIDED - DAY)).await.unwrap();
        sqlx::query(
            "INSERT INTO events (id, agent, epoch, seq, digest, kind, chain, received_at) \
             VALUES ($1, 'box-1', 'e', $2, $1, 'mismatch', 'ok', $3)",
        )
        .bind(&key)
        .bind(self.seq)
        .bind(DECIDED - DAY)
        .execute(&self.store.pool)
        .await
        .unwrap();
        sqlx::query("INSERT INTO payloads (event, sealed, signature, receipt) VALUES ($1, $2, '', '')")
            .bind(&key)
            .bind(vec![1_u8])
            .execute(&self.store.pool)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO alerts (id, arrival, agent, hospital, counter, cardholder, settlement, occurred_at, \
             received_at, amount_fen, medical_type, score_bin, seriousness, model, calibration, state, \
             changed_at) VALUES ($1, $2, 'box-1', 'H1', 'w1', 'm', 's', $3, $3, $4, '14', $5, 0, 'm', 'c', \
             'open', $3)",
        )
        .bind(&key)
        .bind(self.seq)
        .bind(DECIDED - DAY)
        .bind(amount)
        .bind(if decision == "not_rendered" { NO_SCORE } else { 3 })
        .execute(&self.store.pool)
        .await
        .unwrap();
        self.step(id, Step::Decide(decision.parse().unwrap()), who).await;
        id
    }

    async fn step(&self, alert: AlertId, step: Step, who: &str) {
        let seen = self.store.listing(alert).await.unwrap().unwrap().last_step;
        let (by, at, text) = (who.parse().unwrap(), WallTime::from_millis(DECIDED), StepText::default());
        let new = NewStep { alert, seen, step, by: &by, at, assignee: None, text: &text };
        self.store.take_step(&new).await.unwrap().unwrap();
    }

    async fn reopen(&self, alert: AlertId) {
        self.step(alert, Step::Reopen, "li").await;
    }

    async fn open(&self, alerts: &[AlertId]) -> Number {
        let new = NewCase { origin: Origin::Alerts, alerts, facts: "他人持卡结算" };
        self.store.open_case(&new, by("li", 0)).await.unwrap()
    }

    async fn propose(&self, case: Number, who: &str) -> Result<TransferId, CaseError> {
        let text = LetterText {
            to: "某市公安局".into(), facts: "他人持卡".into(), ..LetterText::default()
        };
        let new = NewTransfer { case, receiver: Authority::PublicSecurity, text, by: by(who, 1) };
        self.store.propose_transfer(new).await
    }

    async fn case(&self, number: Number) -> Case {
        self.store.case(number).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn confirmed_alerts_alone_become_a_case_and_each_one_case() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let first = desk.alert("impersonation", 300_000, "li").await;
        let second = desk.alert("undeclared_proxy", 250_000, "li").await;
        let other = desk.alert("not_established", 1, "li").await;
        let case = desk.open(&[first]).await;
        assert_eq!(case.to_string(), "C2026-0001");
        let new = NewCase { origin: Origin::Alerts, alerts: &[other], facts: "" };
        assert_eq!(refused(desk.store.open_case(&new, by("li", 0)).await), CaseRefusal::NotConfirmed);
        let new = NewCase { origin: Origin::Alerts, alerts: &[], facts: "" };
        assert_eq!(refused(desk.store.open_case(&new, by("li", 0)).await), CaseRefusal::NoOrigin);
        let taken = NewCase { origin: Origin::Alerts, alerts: &[second, first], facts: "" };
        assert_eq!(refused(desk.store.open_case(&taken, by("li", 0)).await), CaseRefusal::ElsewhereAlready);
        desk.store.join_case(case, second, by("sun", 1)).await.unwrap();
        let held = desk.case(case).await;
        assert_eq!((held.alerts, held.confirmed, held.amount_fen), (2, 2, 550_000));
        assert_eq!(held.decided_at, Some(WallTime::from_millis(DECIDED)));
        assert!(held.text.facts == "他人持卡结算" && held.state == CaseState::Open);
        // A session that did not take place joins as others do.
        let billed = desk.alert("not_rendered", 40_000, "li").await;
        assert!(desk.store.confirmed_alert(billed).await.unwrap().is_some());
        desk.store.join_case(case, billed, by("sun", 1)).await.unwrap();
        assert_eq!(desk.case(case).await.amount_fen, 590_000);
        let year = Span { from: WallTime::from_millis(0), to: by("li", 9).at };
        let found = desk.store.findings(year).await.unwrap();
        assert!(found.contains(&(Finding::NotRendered, 1, 40_000)), "{found:?}");
        // What was refused took no number.
        let third = desk.alert("impersonation", 1, "li").await;
        assert_eq!(desk.open(&[third]).await.to_string(), "C2026-0002");
        assert_eq!(desk.store.case_of(second).await.unwrap(), Some(case));
    })
    .await;
}

#[tokio::test]
async fn an_alert_that_is_reopened_counts_no_more_and_stops_a_transfer() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let alerts =
            [desk.alert("impersonation", 300_000, "li").await, desk.alert("impersonation", 5, "li").await];
        let case = desk.open(&alerts).await;
        desk.reopen(alerts[0]).await;
        let held = desk.case(case).await;
        assert_eq!((held.alerts, held.confirmed, held.amount_fen), (2, 1, 5));
        let listed = desk.store.case_alerts(case).await.unwrap();
        let findings: Vec<_> = listed.iter().map(|a| (a.alert, a.finding)).collect();
        assert!(findings.contains(&(alerts[0], None)));
        assert!(findings.contains(&(alerts[1], Some(Finding::Impersonation))));
        let transfer = desk.propose(case, "li").await.unwrap();
        let approved = desk.store.approve_transfer(transfer, WITH, by("wu", 2)).await;
        assert_eq!(refused(approved), CaseRefusal::NotConfirmed);
        assert_eq!(desk.store.transfer(transfer).await.unwrap().unwrap().state, TransferState::Proposed);
    })
    .await;
}

#[tokio::test]
async fn a_transfer_needs_a_supervisor_who_neither_proposed_it_nor_decided_an_alert() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let alert = desk.alert("impersonation", 300_000, "li").await;
        // Decided before, and decided otherwise since, is decided all the same.
        desk.reopen(alert).await;
        desk.step(alert, Step::Decide(Decision::Impersonation), "zhao").await;
        desk.reopen(alert).await;
        desk.step(alert, Step::Decide(Decision::UndeclaredProxy), "sun").await;
        let case = desk.open(&[alert]).await;
        let transfer = desk.propose(case, "wu").await.unwrap();
        for (who, why) in [
            ("wu", CaseRefusal::Proposer),
            ("zhao", CaseRefusal::Decider),
            ("sun", CaseRefusal::NotSupervisor),
            ("nobody", CaseRefusal::NotSupervisor),
        ] {
            let approved = desk.store.approve_transfer(transfer, WITH, by(who, 2)).await;
            assert_eq!(refused(approved), why, "{who}");
            let held = desk.store.transfer(transfer).await.unwrap().unwrap();
            assert!(held.state == TransferState::Proposed && held.decided_by.is_none(), "{who}");
            assert_eq!(desk.case(case).await.state, CaseState::Open);
        }
        desk.store.refuse_transfer(transfer, "材料不全", by("zhao", 2)).await.unwrap();
        let again = desk.propose(case, "li").await.unwrap();
        assert_eq!(refused(desk.propose(case, "li").await), CaseRefusal::Pending);
        let number = desk.store.approve_transfer(again, WITH, by("wu", 3)).await.unwrap();
        let held = desk.store.transfer(again).await.unwrap().unwrap();
        assert_eq!(held.text.number, "某医保移字〔2026〕1号");
        assert_eq!((held.number, held.amount_fen, held.alerts), (Some(number), 300_000, 1));
        assert_eq!(held.text.alerts[0].finding, "undeclared_proxy");
        assert_eq!(desk.case(case).await.state, CaseState::Transferred);
        let twice = desk.store.approve_transfer(again, WITH, by("wu", 3)).await;
        assert_eq!(refused(twice), CaseRefusal::State);
    })
    .await;
}

#[tokio::test]
async fn letters_are_numbered_without_gaps_whoever_approves_at_once() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let mut transfers = Vec::new();
        for n in 0..8 {
            let alert = desk.alert("impersonation", 1, "li").await;
            let case = desk.open(&[alert]).await;
            if n % 2 == 0 {
                desk.reopen(alert).await;
            }
            transfers.push(desk.propose(case, "li").await.unwrap());
        }
        let approve = |id| desk.store.approve_transfer(id, WITH, by("wu", 2));
        let (a, b, c, d) = tokio::join!(
            approve(transfers[1]),
            approve(transfers[3]),
            approve(transfers[5]),
            approve(transfers[7])
        );
        let (e, f) = tokio::join!(approve(transfers[0]), approve(transfers[2]));
        assert!(e.is_err() && f.is_err());
        let mut numbers: Vec<u32> = [a, b, c, d].into_iter().map(|r| r.unwrap().n).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4]);
        let next_year = by("wu", 120);
        let alert = desk.alert("impersonation", 1, "li").await;
        let case = desk.open(&[alert]).await;
        let id = desk.propose(case, "li").await.unwrap();
        let number = desk.store.approve_transfer(id, WITH, next_year).await.unwrap();
        assert_eq!((number.year, number.n), (2027, 1));
    })
    .await;
}

/// Twelve reports that become cases, each transferred; every number that was given.
async fn at_work(store: &Store) -> Vec<Number> {
    let received_at = WallTime::from_millis(DECIDED);
    let mut given = Vec::new();
    for _ in 0..12 {
        let new =
            NewReport { channel: Channel::Visit, received_at, text: ReportText::default(), by: by("li", 0) };
        let report = store.register_report(new).await.unwrap();
        let case = NewCase { origin: Origin::Report(report), alerts: &[], facts: "" };
        // Refused in the midst of it: the number that it took is given to the next one.
        assert_eq!(refused(store.open_case(&case, by("li", 0)).await), CaseRefusal::State);
        store.answer_report(report, (ReportAnswer::TakenUp, ""), by("li", 1)).await.unwrap();
        let case = store.open_case(&case, by("li", 1)).await.unwrap();
        let new = NewTransfer {
            case,
            receiver: Authority::HealthCommission,
            text: LetterText::default(),
            by: by("li", 1),
        };
        let transfer = store.propose_transfer(new).await.unwrap();
        let letter = store.approve_transfer(transfer, WITH, by("wu", 2)).await.unwrap();
        given.extend([report, case, letter]);
    }
    given
}

#[tokio::test]
async fn two_processes_on_one_database_give_no_number_twice_and_leave_none_out() {
    at_both(async |at| {
        let open = async || Store::open(at.clone(), &RootKey::new([7; 32])).await.unwrap();
        let one = Desk::new(open().await).await.store;
        let two = open().await;
        let (mut all, theirs) = tokio::join!(at_work(&one), at_work(&two));
        all.extend(theirs);
        for series in [Series::Report, Series::Case, Series::Letter] {
            let mut numbers: Vec<u32> = all.iter().filter(|n| n.series == series).map(|n| n.n).collect();
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(1..=24), "{series:?}: {numbers:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_transfer_comes_back_step_by_step() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let alert = desk.alert("impersonation", 1, "li").await;
        let case = desk.open(&[alert]).await;
        let id = desk.propose(case, "li").await.unwrap();
        let at = |day| WallTime::from_millis(DECIDED + day * DAY);
        let step = |step, day| desk.store.step_transfer(id, step, at(day));
        assert_eq!(refused(step(TransferStep::Received("收到"), 2).await), CaseRefusal::State);
        assert_eq!(refused(desk.store.close_case(case, "不移送", by("wu", 2)).await), CaseRefusal::Pending);
        desk.store.approve_transfer(id, WITH, by("wu", 2)).await.unwrap();
        assert_eq!(refused(step(TransferStep::Supplied, 3).await), CaseRefusal::State);
        step(TransferStep::Asked("结算清单"), 3).await.unwrap();
        step(TransferStep::Supplied, 4).await.unwrap();
        step(TransferStep::Received("收到"), 5).await.unwrap();
        step(TransferStep::Concluded(Outcome::TakenUp, "已立案"), 9).await.unwrap();
        assert_eq!(refused(step(TransferStep::Asked("x"), 10).await), CaseRefusal::State);
        let held = desk.store.transfer(id).await.unwrap().unwrap();
        assert_eq!((held.state, held.outcome), (TransferState::Concluded, Some(Outcome::TakenUp)));
        assert_eq!((held.received_at, held.concluded_at), (Some(at(5)), Some(at(9))));
        assert!(held.text.asked == "结算清单" && held.text.receipt == "收到" && held.text.result == "已立案");
        assert_eq!(refused(desk.store.close_case(case, "x", by("wu", 9)).await), CaseRefusal::State);
        desk.store.conclude_case(case, "已立案侦查", by("wu", 10)).await.unwrap();
        let ended = desk.case(case).await;
        assert!(ended.state == CaseState::Concluded && ended.text.ending == "已立案侦查");
    })
    .await;
}

#[tokio::test]
async fn what_comes_in_is_answered_and_may_become_a_case() {
    on_both(async |store| {
        let desk = Desk::new(store).await;
        let text = IncomingText {
            from: "某市卫生健康委".into(),
            facts: "虚假住院".into(),
            ..IncomingText::default()
        };
        let received_at = WallTime::from_millis(DECIDED);
        let new = NewIncoming { sender: Authority::HealthCommission, received_at, text, by: by("li", 0) };
        let number = desk.store.register_incoming(new).await.unwrap();
        assert_eq!(number.to_string(), "I2026-0001");
        let early = desk.store.conclude_incoming(number, (Outcome::TakenUp, ""), by("li", 1)).await;
        assert_eq!(refused(early), CaseRefusal::State);
        desk.store.ask_sender(number, "病历", by("li", 1)).await.unwrap();
        desk.store.sender_supplied(number, by("li", 2)).await.unwrap();
        desk.store.answer_incoming(number, "已收到", by("li", 2)).await.unwrap();
        let new = NewCase { origin: Origin::Incoming(number), alerts: &[], facts: "移送线索" };
        let case = desk.store.open_case(&new, by("li", 3)).await.unwrap();
        assert_eq!(refused(desk.store.open_case(&new, by("li", 3)).await), CaseRefusal::State);
        desk.store.conclude_incoming(number, (Outcome::Sanctioned, "已处理"), by("li", 4)).await.unwrap();
        let held = desk.store.incoming_transfer(number).await.unwrap().unwrap();
        assert_eq!((held.state, held.case), (IncomingState::Concluded, Some(case)));
        assert!(held.text.asked == "病历" && held.text.receipt == "已收到" && held.text.result == "已处理");
    })
    .await;
}

#[tokio::test]
async fn a_report_is_answered_extended_linked_and_concluded() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let text =
            ReportText { reporter: "张三".into(), text: "冒用医保卡".into(), ..ReportText::default() };
        let received_at = WallTime::from_millis(DECIDED);
        let new = NewReport { channel: Channel::Telephone, received_at, text, by: by("li", 0) };
        let number = desk.store.register_report(new).await.unwrap();
        let alert = desk.alert("impersonation", 1, "li").await;
        let case = desk.open(&[alert]).await;
        assert_eq!(refused(desk.store.link_report(number, case).await), CaseRefusal::State);
        desk.store.answer_report(number, (ReportAnswer::TakenUp, "已受理"), by("li", 1)).await.unwrap();
        desk.store.extend_report(number, (Complexity::Complex, "涉及多家医院")).await.unwrap();
        assert_eq!(
            refused(desk.store.extend_report(number, (Complexity::Complex, "")).await),
            CaseRefusal::State
        );
        desk.store.link_report(number, case).await.unwrap();
        desk.store.conclude_report(number, (ReportOutcome::Confirmed, "查实"), by("li", 9)).await.unwrap();
        let held = desk.store.report(number).await.unwrap().unwrap();
        assert_eq!((held.state, held.case), (ReportState::Concluded, Some(case)));
        assert!(held.text.reporter == "张三" && held.text.extension == "涉及多家医院");
    })
    .await;
}

#[tokio::test]
async fn a_running_or_held_case_keeps_its_alerts() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let alert = desk.alert("impersonation", 1, "li").await;
        let free = desk.alert("impersonation", 1, "li").await;
        let case = desk.open(&[alert]).await;
        assert!(desk.store.is_held(alert).await.unwrap() && !desk.store.is_held(free).await.unwrap());
        desk.store.hold_case(case, "行政诉讼", by("wu", 1)).await.unwrap();
        assert_eq!(refused(desk.store.hold_case(case, "again", by("wu", 1)).await), CaseRefusal::State);
        desk.store.close_case(case, "金额未达标准", by("wu", 2)).await.unwrap();
        assert_eq!(desk.store.held_alerts().await.unwrap(), [Held { alert, case, legal_hold: true }]);
        desk.store.lift_hold(case, "诉讼终结", by("wu", 3)).await.unwrap();
        assert!(!desk.store.is_held(alert).await.unwrap());
        assert!(desk.case(case).await.text.hold == "诉讼终结");
    })
    .await;
}

#[tokio::test]
async fn a_purge_leaves_what_a_case_keeps_and_a_held_case_itself() {
    on_both(async |store| {
        use crate::bureau::retention::Kind;

        let mut desk = Desk::new(store).await;
        let alert = desk.alert("impersonation", 9, "li").await;
        let free = desk.alert("impersonation", 1, "li").await;
        let case = desk.open(&[alert]).await;
        let text = ReportText::default();
        let received_at = WallTime::from_millis(DECIDED);
        let new = NewReport { channel: Channel::Visit, received_at, text, by: by("li", 0) };
        let report = desk.store.register_report(new).await.unwrap();
        desk.store.answer_report(report, (ReportAnswer::TakenUp, ""), by("li", 0)).await.unwrap();
        desk.store.link_report(report, case).await.unwrap();
        desk.store.conclude_report(report, (ReportOutcome::Confirmed, ""), by("li", 1)).await.unwrap();
        let late = WallTime::from_millis(DECIDED + 1000 * DAY);
        let purge = async |kind| desk.store.purge(kind, late, late).await.unwrap();
        let left = async |id: AlertId| -> i64 {
            let count = sqlx::query_scalar("SELECT COUNT(*) FROM payloads WHERE event = $1");
            count.bind(id.to_string()).fetch_one(&desk.store.pool).await.unwrap()
        };
        let done = purge(Kind::DecidedAlerts).await;
        assert_eq!((left(alert).await, left(free).await, done.oldest_left), (1, 0, None));
        assert_eq!(purge(Kind::Cases).await.deleted, 0);
        desk.store.hold_case(case, "诉讼", by("wu", 1)).await.unwrap();
        desk.store.close_case(case, "", by("wu", 2)).await.unwrap();
        for kind in [Kind::OpenAlerts, Kind::DecidedAlerts, Kind::Cases, Kind::Reports] {
            let done = purge(kind).await;
            assert_eq!((done.deleted, done.oldest_left), (0, None), "{kind:?}");
        }
        desk.store.lift_hold(case, "", by("wu", 3)).await.unwrap();
        assert!(purge(Kind::DecidedAlerts).await.deleted > 0);
        // The alert has gone; the case knows its sum still.
        assert_eq!(desk.case(case).await.amount_fen, 9);
        assert_eq!(purge(Kind::Cases).await.deleted, 1);
        assert!(desk.store.case(case).await.unwrap().is_none());
        assert_eq!(desk.store.report(report).await.unwrap().unwrap().case, None);
        assert_eq!(purge(Kind::Reports).await.deleted, 1);
    })
    .await;
}

#[tokio::test]
async fn no_name_narrative_or_contact_stands_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(store(dir.path()).await).await;
    let alert = desk.alert("impersonation", 1, "li").await;
    let case = desk.open(&[alert]).await;
    let text = LetterText {
        to: "NEEDLE-to".into(),
        to_contact: "NEEDLE-contact".into(),
        subject: "NEEDLE-subject".into(),
        facts: "NEEDLE-facts".into(),
        ..LetterText::default()
    };
    let new = NewTransfer { case, receiver: Authority::PublicSecurity, text, by: by("li", 1) };
    let id = desk.store.propose_transfer(new).await.unwrap();
    desk.store.refuse_transfer(id, "NEEDLE-refusal", by("wu", 1)).await.unwrap();
    desk.store.fill_case(case, "NEEDLE-case", by("li", 1)).await.unwrap();
    let text = ReportText {
        reporter: "NEEDLE-reporter".into(),
        contact: "NEEDLE".into(),
        text: "NEEDLE".into(),
        ..ReportText::default()
    };
    let received_at = WallTime::from_millis(DECIDED);
    let new = NewReport { channel: Channel::Visit, received_at, text, by: by("li", 0) };
    desk.store.register_report(new).await.unwrap();
    desk.store.empty_log().await.unwrap();
    let file = std::fs::read(dir.path().join("b.db")).unwrap();
    assert!(!file.windows(6).any(|w| w == b"NEEDLE"));
}

#[tokio::test]
async fn the_lists_of_a_year_hold_what_touches_it() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let alert = desk.alert("impersonation", 7, "li").await;
        let case = desk.open(&[alert]).await;
        let transfer = desk.propose(case, "li").await.unwrap();
        let year = crate::bureau::cases::ledger::year_of;
        for (of, found) in [(2025, 0), (2026, 1), (2027, 1)] {
            assert_eq!(desk.store.cases(year(of)).await.unwrap().len(), found, "{of}");
            assert_eq!(desk.store.transfers(year(of)).await.unwrap().len(), found, "{of}");
        }
        assert_eq!(desk.store.findings(year(2026)).await.unwrap(), [(Finding::Impersonation, 1, 7)]);
        assert!(desk.store.findings(year(2027)).await.unwrap().is_empty());
        desk.store.refuse_transfer(transfer, "", by("wu", 2)).await.unwrap();
        desk.store.close_case(case, "", by("wu", 2)).await.unwrap();
        assert!(desk.store.cases(year(2027)).await.unwrap().is_empty());
        assert!(desk.store.all_incoming(year(2026)).await.unwrap().is_empty());
        assert!(desk.store.reports(year(2026)).await.unwrap().is_empty());
    })
    .await;
}
