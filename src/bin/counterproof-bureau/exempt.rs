//! `exempt`: cardholders who are judged at no window.

use clap::Subcommand;
use counterproof::bureau::{BureauError, exempt};
use counterproof::protocol::id::CardholderId;

use crate::common::{At, By, Listing, print};

#[derive(Subcommand)]
pub enum Exempt {
    /// Exempt a cardholder, in place of an exemption that there is; no box is told.
    Add {
        #[command(flatten)]
        at: At,
        /// The cardholder's number.
        cardholder: CardholderId,
        /// The last day of it, at most two years ahead.
        #[arg(long, value_name = "YYYY-MM-DD")]
        until: String,
        /// Who decided it.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why; sealed, and not in the record of acts.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let a cardholder be judged again.
    End {
        #[command(flatten)]
        at: At,
        /// The cardholder's number.
        cardholder: CardholderId,
        /// Who decided it.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// List the exemptions in force with their reasons; that somebody looked is recorded.
    List {
        #[command(flatten)]
        list: Listing,
        #[command(flatten)]
        by: By,
    },
}

impl Exempt {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Add { at, cardholder, until, by, reason } => {
                println!("{}", exempt::add(&at.store().await?, by, cardholder, &until, reason).await?);
                Ok(())
            }
            Self::End { at, cardholder, by } => {
                println!("{}", exempt::end(&at.store().await?, by, &cardholder).await?);
                Ok(())
            }
            Self::List { list: Listing { at, json }, by } => {
                let listed = exempt::list(&at.store().await?, &by.person()?).await?;
                print(json, &listed, || exempt::table(&listed))
            }
        }
    }
}
