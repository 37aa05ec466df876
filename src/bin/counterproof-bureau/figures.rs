//! `figures`: settlement statistics from elsewhere.

use std::path::PathBuf;

use clap::Subcommand;
use counterproof::bureau::{BureauError, open_store, settled};

use crate::common::{At, By};

#[derive(Subcommand)]
pub enum Figures {
    /// Import a CSV file, whole or not at all; every bad line is named.
    ///
    /// UTF-8 with the header month,cardholder,hospital,medical_type,settlements,amount_fen: one
    /// line for each month (2026-11), cardholder, hospital and medical type. A line of a later
    /// file takes the place of an earlier one; the same file again changes nothing.
    Import {
        #[command(flatten)]
        at: At,
        /// The file.
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
}

impl Figures {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Import { at, file, by } => {
                let config = at.config()?;
                let store = open_store(&config).await?;
                println!("{}", settled::import(&store, &config.retention, &file, &by.person()?).await?);
                Ok(())
            }
        }
    }
}
