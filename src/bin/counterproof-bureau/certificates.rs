//! `certificates`: by what a hospital's registration names people.

use clap::Subcommand;
use counterproof::bureau::{BureauError, certificates};
use counterproof::clock::{Clock, SystemClock};

use crate::common::File;

#[derive(Subcommand)]
pub enum Certificates {
    /// Take certificates from a CSV file with the header cardholder,cert_type,certno.
    ///
    /// Their hashes are kept and nothing else; destroy the file. One wrong line refuses
    /// the whole file.
    Import(File),
}

impl Certificates {
    pub async fn run(self) -> Result<(), BureauError> {
        let Self::Import(File { at, file, by }) = self;
        let (store, by, now) = (at.store().await?, by.person()?, SystemClock.now().wall);
        println!("{}", certificates::import(&store, &by, &file, now).await?);
        Ok(())
    }
}
