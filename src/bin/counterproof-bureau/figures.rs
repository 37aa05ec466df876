//! `figures`: settlement statistics from elsewhere.

use clap::Subcommand;
use counterproof::bureau::{BureauError, open_store, settled};

use crate::common::File;

#[derive(Subcommand)]
pub enum Figures {
    /// Import a CSV file, whole or not at all; every bad line is named.
    ///
    /// UTF-8 with the header month,cardholder,hospital,medical_type,settlements,amount_fen: one
    /// line for each month (2026-11), cardholder, hospital and medical type. A line of a later
    /// file takes the place of an earlier one; the same file again changes nothing.
    Import(File),
}

impl Figures {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Import(File { at, file, by }) => {
                let config = at.config()?;
                let store = open_store(&config).await?;
                println!("{}", settled::import(&store, &config.retention, &file, &by.person()?).await?);
                Ok(())
            }
        }
    }
}
