//! `agents`: boxes on record.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use counterproof::bureau::agents::{self, Identity};
use counterproof::bureau::handouts::{self, Document};
use counterproof::bureau::{BureauError, join, open_store, policies};
use counterproof::clock::{Clock, SystemClock};
use counterproof::protocol::document::DocumentKind;
use counterproof::protocol::id::{AgentId, HospitalId};

use crate::common::{At, By, Listing, print};

#[derive(Subcommand)]
pub enum Agents {
    /// Put a box on record.
    Add {
        #[command(flatten)]
        at: At,
        /// The box's name, as in its own configuration.
        #[arg(long)]
        name: AgentId,
        /// The code of the hospital where it stands.
        #[arg(long, value_name = "CODE")]
        hospital: HospitalId,
        /// The box's public key, as `counterproof keys` prints it.
        #[arg(long, value_name = "BASE64")]
        public_key: String,
        /// The box's certificate (PEM).
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Give a box a new key and certificate; the old ones stay good for a while.
    Rotate {
        #[command(flatten)]
        at: At,
        /// Its name.
        name: AgentId,
        /// Its new public key, as `counterproof keys` prints it.
        #[arg(long, value_name = "BASE64")]
        public_key: String,
        /// Its new certificate (PEM).
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// For how long the old key and certificate stay good.
        #[arg(long, value_name = "N", default_value_t = 24)]
        overlap_hours: u64,
        #[command(flatten)]
        by: By,
    },
    /// Print the last posture of a box, as JSON.
    Posture {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
    },
    /// Make a one-time code by which a box joins, or joins again with new keys; it is shown once.
    Code {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// The code of the hospital where it stands; of a box on record it is known.
        #[arg(long, value_name = "CODE")]
        hospital: Option<HospitalId>,
        /// For a box on record: for how long its old key and certificate stay good once it joined.
        #[arg(long, value_name = "N", default_value_t = 0)]
        overlap_hours: u64,
        #[command(flatten)]
        by: By,
    },
    /// Hand a policy or a calibration to a box; it fetches it, and its own configuration decides.
    HandOut {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// `policy` (as `counterproof policy show --json` printed it) or `calibration`.
        #[arg(long, value_name = "KIND")]
        kind: DocumentKind,
        /// The document.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// List the boxes on record; with --json the whole public keys that are in force.
    List(Listing),
    /// Refuse a box from now on.
    Suspend(OfBox),
    /// Declare the privacy policy that a box is expected to run; the box is not changed by it.
    Declare {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// The policy, as `counterproof policy show --json` printed it.
        #[arg(long, value_name = "FILE", required_unless_present = "none", conflicts_with = "none")]
        policy: Option<PathBuf>,
        /// Take back what was declared.
        #[arg(long)]
        none: bool,
        #[command(flatten)]
        by: By,
    },
    /// Hear a suspended box again.
    Resume(OfBox),
    /// Put a box's references under a new transform; those handed out before are of no use any more.
    Reissue(OfBox),
}

#[derive(Args)]
pub struct OfBox {
    #[command(flatten)]
    at: At,
    /// Its name.
    name: AgentId,
    #[command(flatten)]
    by: By,
}

impl Agents {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Add { at, name, hospital, public_key, certificate, by } => {
                let identity = Identity::read(&public_key, &certificate)?;
                agents::add(&at.store().await?, &by.person()?, name, hospital, identity).await
            }
            Self::Rotate { at, name, public_key, certificate, overlap_hours, by } => {
                let identity = Identity::read(&public_key, &certificate)?;
                let store = at.store().await?;
                let until = agents::rotate(&store, &by.person()?, name, identity, overlap_hours).await?;
                println!("the old key and certificate are good until {until}");
                Ok(())
            }
            Self::Posture { at, name } => {
                let held = at.store().await?.posture(&name).await?;
                let held =
                    held.ok_or_else(|| BureauError::Command(format!("{name} has sent no posture yet")))?;
                print(true, &held.posture, String::new)
            }
            Self::Code { at, name, hospital, overlap_hours, by } => {
                let config = at.config()?;
                let overlap = agents::overlap(overlap_hours)?;
                let wish = join::For { agent: name, hospital, overlap };
                let codes = join::Codes::of(&config)?;
                let now = SystemClock.now().wall;
                let shown = codes.make(&open_store(&config).await?, &by.person()?, wish, now).await?;
                println!("{}", shown.line.as_str());
                eprintln!(
                    "good for one box until {}; it is a secret, and is not shown again",
                    shown.expires_at
                );
                Ok(())
            }
            Self::HandOut { at, name, kind, file, by } => {
                let refused = |e: String| BureauError::Command(format!("--file {}: {e}", file.display()));
                let bytes = std::fs::read(&file).map_err(|e| refused(e.to_string()))?;
                let document = Document::of_kind(kind, bytes).map_err(refused)?;
                let (store, key) = at.store_and_key().await?;
                let now = SystemClock.now().wall;
                let number = handouts::hand_out(&store, &key, &by.person()?, &name, (&document, now)).await?;
                println!("document {number} for {name}: {kind} {}", document.digest());
                Ok(())
            }
            Self::List(Listing { at, json }) => {
                let listed = agents::list(&at.store().await?).await?;
                print(json, &listed, || agents::table(&listed))
            }
            Self::Suspend(OfBox { at, name, by }) => {
                agents::set_suspended(&at.store().await?, &by.person()?, &name, true).await
            }
            Self::Declare { at, name, policy, by, .. } => {
                policies::declare(&at.store().await?, &by.person()?, &name, policy.as_deref()).await
            }
            Self::Resume(OfBox { at, name, by }) => {
                agents::set_suspended(&at.store().await?, &by.person()?, &name, false).await
            }
            Self::Reissue(OfBox { at, name, by }) => {
                println!("{}", agents::reissue(&at.store().await?, &by.person()?, &name).await?);
                Ok(())
            }
        }
    }
}
