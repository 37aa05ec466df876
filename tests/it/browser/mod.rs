//! The console as people meet it: the real program behind a real browser.

mod axe;
mod chromium;
mod looks;
mod paper;
mod pictures;
mod signing_in;
mod workday;

use std::cell::RefCell;

use crate::support::bureau::{Bureau, Chain, TestBox};

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
    /// The box raises one alert more.
    async fn another_alert(&self) {
        let (_, alert) = self.chain.borrow_mut().mismatch();
        assert_eq!(self.boxed.alert(&self.bureau, &alert).await, 201);
    }
}

/// A bureau with the made-up alerts of a made-up city, for somebody with every role.
async fn made_up() -> Bureau {
    let bureau = Bureau::start("");
    let filled = bureau.command(&["seed", "--alerts", "400", "--by", "test"]).output().unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    bureau.add_account("everything", &EVERY_ROLE);
    bureau
}

async fn furnished() -> Furnished {
    let bureau = Bureau::start("");
    let boxed = bureau.add_box("box-1");
    bureau.add_account("everything", &EVERY_ROLE);
    let furnished = Furnished { bureau, boxed, chain: RefCell::new(Chain::new("box-1")) };
    for _ in 0..6 {
        furnished.another_alert().await;
    }
    furnished
}
