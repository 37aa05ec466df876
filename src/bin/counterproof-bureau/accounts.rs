//! `accounts`: who may sign in at the console.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use counterproof::bureau::BureauError;
use counterproof::bureau::accounts::command::{self, Deed};
use counterproof::bureau::accounts::{AccountName, Role, Roles};

use crate::common::{At, By, Listing, print};

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
        /// reviewer, supervisor, privacy_officer, administrator or ward; may be given more than once.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        #[command(flatten)]
        password: Password,
        #[command(flatten)]
        by: By,
    },
    /// Show every account.
    List(Listing),
    /// Give an account these roles instead of its own; its sessions end.
    Roles {
        #[command(flatten)]
        of: OfAccount,
        /// As for `add`.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
    },
    /// Give an account another password, read as `add` reads it; its sessions end.
    Password {
        #[command(flatten)]
        of: OfAccount,
        #[command(flatten)]
        password: Password,
    },
    /// Let nobody sign in with an account; its sessions end.
    Disable(OfAccount),
    /// Let the owner of an account sign in again.
    Enable(OfAccount),
    /// Take away the lock that wrong passwords left.
    Unlock(OfAccount),
    /// End every session of an account.
    SignOut(OfAccount),
    /// Say by which issuer and subject single sign-on knows the owner of an account.
    Link {
        #[command(flatten)]
        of: OfAccount,
        /// The issuer and the subject of its ID tokens, with a space between.
        #[arg(long, value_name = "ISSUER SUBJECT")]
        subject: String,
    },
    /// Say that single sign-on knows the owner of an account no more; another may be linked then.
    Unlink(OfAccount),
}

// No comment for users on these: it would take the place of the command's own.
#[derive(Args)]
pub struct OfAccount {
    #[command(flatten)]
    at: At,
    /// Which account.
    name: AccountName,
    #[command(flatten)]
    by: By,
}

#[derive(Args)]
pub struct Password {
    /// A file with the password, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Make one and print it, to hand out; it must be changed at the first sign-in, within 7 days.
    #[arg(long, conflicts_with = "password_file")]
    issue: bool,
}

impl OfAccount {
    async fn apply(self, deed: Deed) -> Result<(), BureauError> {
        let store = self.at.store().await?;
        command::apply(&store, &self.by.person()?, &self.name, deed).await
    }

    async fn password(self, password: Password) -> Result<(), BureauError> {
        let (store, by) = (self.at.store().await?, self.by.person()?);
        if password.issue {
            println!("{}", command::reissue(&store, &by, &self.name).await?.as_str());
            return Ok(());
        }
        let password = command::read_password(password.password_file.as_deref())?;
        command::set_password(&store, &by, &self.name, password).await
    }
}

impl Accounts {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Add { at, name, display, roles, password, by } => {
                let (store, by, roles) = (at.store().await?, by.person()?, Roles::new(roles));
                if password.issue {
                    println!("{}", command::issue(&store, &by, name, display, roles).await?.as_str());
                    return Ok(());
                }
                let password = command::read_password(password.password_file.as_deref())?;
                command::add(&store, &by, name, display, roles, &password).await
            }
            Self::List(Listing { at, json }) => {
                let listed = command::list(&at.store().await?).await?;
                print(json, &listed, || command::table(&listed))
            }
            Self::Roles { of, roles } => of.apply(Deed::Roles(Roles::new(roles))).await,
            Self::Password { of, password } => of.password(password).await,
            Self::Disable(of) => of.apply(Deed::Disable).await,
            Self::Enable(of) => of.apply(Deed::Enable).await,
            Self::Unlock(of) => of.apply(Deed::Unlock).await,
            Self::SignOut(of) => of.apply(Deed::SignOut).await,
            Self::Unlink(of) => of.apply(Deed::Unlink).await,
            Self::Link { of, subject } => of.apply(Deed::Link(subject)).await,
        }
    }
}
