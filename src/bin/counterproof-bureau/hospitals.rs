//! `hospitals`: what they are called, and in which district they are.

use clap::Subcommand;
use counterproof::bureau::{BureauError, hospitals};

use crate::common::{File, Listing, print};

#[derive(Subcommand)]
pub enum Hospitals {
    /// Take names and districts from a CSV file with the header code,name,district.
    ///
    /// One wrong line refuses the whole file. A hospital that is known gets its new name.
    Import(File),
    /// List the hospitals that are known.
    List(Listing),
}

impl Hospitals {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Import(File { at, file, by }) => {
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
