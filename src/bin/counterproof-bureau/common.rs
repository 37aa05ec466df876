//! What most commands take, and how they tell what came of it.

use std::io;
use std::path::PathBuf;

use clap::Args;
use counterproof::bureau::acts::Person;
use counterproof::bureau::config::Config;
use counterproof::bureau::store::Store;
use counterproof::bureau::{BureauError, open_store, signing_key};
use counterproof::crypto::sign::SigningKey;
use serde::Serialize;

// No comment for users on these: it would take the place of the command's own.
#[derive(Args)]
pub struct At {
    /// The bureau's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl At {
    pub fn config(&self) -> Result<Config, BureauError> {
        Ok(Config::read(&self.config)?)
    }

    pub async fn store(&self) -> Result<Store, BureauError> {
        open_store(&self.config()?).await
    }

    pub async fn store_and_key(&self) -> Result<(Store, SigningKey), BureauError> {
        let config = self.config()?;
        Ok((open_store(&config).await?, signing_key(&config)?))
    }
}

#[derive(Args)]
pub struct By {
    /// Who gives this command, for the record of acts; the system's user if left out.
    #[arg(long = "by", value_name = "NAME")]
    named: Option<String>,
}

impl By {
    pub fn person(self) -> Result<Person, BureauError> {
        Person::of(self.named)
    }
}

#[derive(Args)]
pub struct Listing {
    #[command(flatten)]
    pub at: At,
    /// For machines: one JSON list.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct File {
    #[command(flatten)]
    pub at: At,
    /// The file.
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,
    #[command(flatten)]
    pub by: By,
}

/// A table for people, or one line of JSON for machines.
pub fn print(json: bool, value: &impl Serialize, table: impl FnOnce() -> String) -> Result<(), BureauError> {
    if json {
        println!("{}", serde_json::to_string(value).map_err(io::Error::from)?);
    } else {
        print!("{}", table());
    }
    Ok(())
}
