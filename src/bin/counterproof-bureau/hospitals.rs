//! `hospitals`: what they are called, and in which district they are.

use std::path::PathBuf;

use clap::Subcommand;
use counterproof::bureau::{BureauError, hospitals};

use crate::common::{At, By, Listing, print};

#[derive(Subcommand)]
pub enum Hospitals {
    /// Take names and districts from a CSV file with the header code,name,district.
    ///
    /// One wrong line refuses the whole file. A hospital that is known gets its new name.
    Import {
        #[command(flatten)]
        at: At,
        /// The file.
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// List the hospitals that are known.
    List(Listing),
}

impl Hospitals {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Import { at, file, by } => {
                println!("{}", hospitals::import(&at.store().await?, &by.person()?, &file).await?);
                Ok(())
            }
            Self::List(Listing { at, json }) => {
                let listed = at.store().await?.hospitals().await?;
                print(json, &listed, || hospitals::table(&listed))
            }
        }
    }
}
