//! `certificates`: by what a hospital's registration names people.

use std::path::PathBuf;

use clap::Subcommand;
use counterproof::bureau::{BureauError, certificates};
use counterproof::clock::{Clock, SystemClock};

use crate::common::{At, By};

#[derive(Subcommand)]
pub enum Certificates {
    /// Take certificates from a CSV file with the header cardholder,cert_type,certno.
    ///
    /// Their hashes are kept and nothing else; destroy the file. One wrong line refuses
    /// the whole file.
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

impl Certificates {
    pub async fn run(self) -> Result<(), BureauError> {
        let Self::Import { at, file, by } = self;
        let (store, by, now) = (at.store().await?, by.person()?, SystemClock.now().wall);
        println!("{}", certificates::import(&store, &by, &file, now).await?);
        Ok(())
    }
}
