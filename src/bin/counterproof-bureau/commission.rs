//! `commission`: arming boxes that were watched in shadow.

use std::path::PathBuf;

use clap::Subcommand;
use counterproof::bureau::BureauError;
use counterproof::bureau::commission::{self, Signing};
use counterproof::protocol::id::AgentId;

use crate::common::{At, Listing, print};

#[derive(Subcommand)]
pub enum Commission {
    /// Show what a box counted beside what its calibration expects, and what to make of it.
    Report {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Sign that a box may raise alerts.
    Sign {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// Who signs.
        #[arg(long, value_name = "NAME")]
        supervisor: String,
        /// A remark; it is signed too.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Why it is signed though the figures do not speak for it; it is signed too.
        #[arg(long, value_name = "REASON")]
        without_figures: Option<String>,
        /// The calibration of a box that has not shown it yet.
        #[arg(long, value_name = "FILE")]
        calibration: Option<PathBuf>,
    },
    /// Sign that a box shall raise no alerts any more.
    Revoke {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// Who signs.
        #[arg(long, value_name = "NAME")]
        supervisor: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// List the boxes with the newest order to each.
    List(Listing),
}

impl Commission {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Report { at, name, json } => {
                let report = commission::report(&at.store().await?, &name).await?;
                print(json, &report, || report.page())
            }
            Self::Sign { at, name, supervisor, note, without_figures, calibration } => {
                let (store, key) = at.store_and_key().await?;
                let calibration = calibration.as_deref();
                let signing = Signing { supervisor, note, without_figures, calibration };
                println!("{}", commission::sign(&store, &key, &name, signing).await?);
                Ok(())
            }
            Self::Revoke { at, name, supervisor, reason } => {
                let (store, key) = at.store_and_key().await?;
                println!("{}", commission::revoke(&store, &key, &name, supervisor, reason).await?);
                Ok(())
            }
            Self::List(Listing { at, json }) => {
                let listed = commission::list(&at.store().await?).await?;
                print(json, &listed, || commission::table(&listed))
            }
        }
    }
}
