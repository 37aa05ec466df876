//! `accounts`: who may sign in at the console.

use std::path::PathBuf;

use clap::Subcommand;
use counterproof::bureau::BureauError;
use counterproof::bureau::accounts::{AccountName, Role, Roles, command};

use crate::common::{At, By};

#[derive(Subcommand)]
pub enum Accounts {
    /// Make an account. The password is the first line of --password-file, else of standard input.
    Add {
        #[command(flatten)]
        at: At,
        /// With which they sign in.
        name: AccountName,
        /// As pages show them; the name if left out.
        #[arg(long, value_name = "TEXT")]
        display: Option<String>,
        /// reviewer, supervisor, privacy_officer or administrator; may be given more than once.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// A file with the password, readable by its owner alone.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        by: By,
    },
}

impl Accounts {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Add { at, name, display, roles, password_file, by } => {
                let store = at.store().await?;
                let password = command::read_password(password_file.as_deref())?;
                command::add(&store, &by.person()?, name, display, Roles::new(roles), &password).await
            }
        }
    }
}
