//! The console as people meet it: the real program behind a real browser.

mod axe;
mod check_in;
mod chromium;
mod looks;
mod paper;
mod pictures;
mod signing_in;
mod workday;

use std::cell::RefCell;

use crate::support::bureau::{Bureau, Chain, TestBox};
use crate::support::person::Person;
use crate::support::worker::Worker;

const EVERY_ROLE: [&str; 4] = ["reviewer", "supervisor", "privacy_officer", "administrator"];

/// A bureau with something on its pages, and the box that it came from.
struct Furnished {
    bureau: Bureau,
    boxed: TestBox,
    chain: RefCell<Chain>,
}

impl std::ops::Deref for Furnished {
    type Target = Bureau;

    fn deref(&self) -> &Bureau {
        &self.bureau
    }
}

impl Furnished {
    /// The box raises one alert more: its page.
    async fn another_alert(&self) -> String {
        let (id, alert) = self.chain.borrow_mut().mismatch();
        assert_eq!(self.boxed.alert(&self.bureau, &alert).await, 201);
        format!("/alerts/{id}")
    }
}

/// An absence of the same box: its page.
async fn an_absence(of: &Furnished) -> String {
    let (id, alert) = of.chain.borrow_mut().absence();
    assert_eq!(of.boxed.alert(&of.bureau, &alert).await, 201);
    format!("/alerts/{id}")
}

/// A bureau with the made-up alerts of a made-up city, for somebody with every role.
async fn made_up() -> Bureau {
    let bureau = Bureau::start(BUREAU);
    let filled = bureau.command(&["seed", "--alerts", "400", "--by", "test"]).output().unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    bureau.add_account("everything", &EVERY_ROLE);
    bureau
}

async fn furnished() -> Furnished {
    furnished_as("").await
}

/// The same, with this in its configuration.
async fn furnished_as(extra: &str) -> Furnished {
    let bureau = Bureau::start(extra);
    let boxed = bureau.add_box("box-1");
    bureau.add_account("everything", &EVERY_ROLE);
    let furnished = Furnished { bureau, boxed, chain: RefCell::new(Chain::new("box-1")) };
    for _ in 0..6 {
        furnished.another_alert().await;
    }
    furnished
}

/// What a bureau calls itself on its letters.
const BUREAU: &str = "[cases]\nbureau = '某市医疗保障局'\nletter_prefix = '某市局（委）案移字'\n\
                      contact = '基金监管科 000-0000 0000'\n";

/// What people have done at a desk: the paths of it.
struct Work {
    /// An alert, and a letter of each kind about it.
    asked: String,
    letters: Vec<String>,
    /// An alert about an entrance.
    absence: String,
    /// The page that makes a case of a confirmed alert.
    new_case: String,
    case: String,
    transfer: String,
    incoming: String,
    report: String,
}

/// A bureau at which people work: letters, a case that was transferred, what came in.
async fn at_work() -> (Furnished, Work) {
    let bureau = furnished_as(BUREAU).await;
    let names = bureau.dir.path().join("hospitals.csv");
    std::fs::write(&names, "code,name,district\nH31010000001,某市第一人民医院,某区\n").unwrap();
    let imported = bureau.command(&["hospitals", "import", "--by", "test"]).arg(&names).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let li = Worker::new(&bureau, "li", &["reviewer"]).await;
    let (asked, open, confirmed) =
        (bureau.another_alert().await, bureau.another_alert().await, bureau.another_alert().await);
    let mut letters = Vec::new();
    for kind in ["recording", "inquiry", "statement", "documents"] {
        letters.push(li.done(&format!("{asked}/letters"), &[("kind", kind), ("asked", "")]).await);
    }
    for alert in [&open, &confirmed] {
        li.decide(alert, "0", "impersonation").await;
    }
    let case = li.case_of(&confirmed).await;
    let transfer = li.propose(&case).await;
    approve(&bureau, &transfer).await;
    let (incoming, report) = (li.incoming().await, li.report().await);
    let new_case = format!("/cases/new?alert={}", open.trim_start_matches("/alerts/"));
    let absence = an_absence(&bureau).await;
    (bureau, Work { asked, letters, absence, new_case, case, transfer, incoming, report })
}

/// A second person approves a transfer.
async fn approve(bureau: &Bureau, transfer: &str) {
    let second = Worker::of(Person::signed_in(bureau.console_url(""), "everything").await).await;
    second.done(&format!("{transfer}/approve"), &[]).await;
}
