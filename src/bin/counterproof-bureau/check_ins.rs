//! `counterproof-bureau check-ins`: the notice that is posted.

use clap::Subcommand;
use counterproof::bureau::{BureauError, check_ins};
use counterproof::clock::{Clock, SystemClock};

use crate::common::At;

#[derive(Subcommand)]
pub enum CheckIns {
    /// Print the notice that [check_ins.privacy] makes, in Chinese and English.
    ///
    /// Its digest goes to standard error: write it as check_ins.privacy.notice.sha256 once
    /// the notice is posted.
    Notice {
        #[command(flatten)]
        at: At,
    },
}

impl CheckIns {
    pub fn run(self) -> Result<(), BureauError> {
        let Self::Notice { at } = self;
        let (text, sha256) = check_ins::notice(&at.config()?, SystemClock.now().wall)?;
        print!("{text}");
        eprintln!("sha256 = \"{sha256}\"");
        Ok(())
    }
}
