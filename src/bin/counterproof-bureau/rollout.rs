//! `rollout`: which version boxes are told to run.

use clap::{Args, Subcommand};
use counterproof::bureau::store::StageChange;
use counterproof::bureau::{BureauError, rollouts};
use counterproof::clock::{Clock, SystemClock};
use counterproof::crypto::Sha256;

use crate::common::{At, By};

#[derive(Subcommand)]
pub enum RollOut {
    /// Plan one; no stage is begun by it.
    Plan {
        #[command(flatten)]
        at: At,
        /// The version, as the program tells its own.
        #[arg(long)]
        version: String,
        /// SHA-256 of the package's file.
        #[arg(long, value_name = "SHA256")]
        package: Sha256,
        /// Codes of the hospitals of a stage, parted by commas; once for each stage.
        #[arg(long, value_name = "CODES", required = true)]
        stages: Vec<String>,
        #[command(flatten)]
        by: By,
    },
    /// Tell the boxes of a stage from now on.
    Begin(OfStage),
    /// Tell them no more.
    Stop(OfStage),
    /// List the roll-outs with how far each hospital is.
    List {
        #[command(flatten)]
        at: At,
    },
}

#[derive(Args)]
pub struct OfStage {
    #[command(flatten)]
    at: At,
    /// Number of the roll-out.
    rollout: u64,
    /// Number of the stage.
    stage: u64,
    #[command(flatten)]
    by: By,
}

impl OfStage {
    async fn change(self, change: StageChange) -> Result<(), BureauError> {
        let now = SystemClock.now().wall;
        let store = self.at.store().await?;
        rollouts::change(&store, &self.by.person()?, (self.rollout, self.stage), change, now).await
    }
}

impl RollOut {
    pub async fn run(self) -> Result<(), BureauError> {
        match self {
            Self::Plan { at, version, package, stages, by } => {
                let stages = rollouts::stages(&stages.join("\n"))
                    .map_err(|e| BureauError::Command(format!("--stages: {e}")))?;
                let (store, now) = (at.store().await?, SystemClock.now().wall);
                let number = rollouts::plan(&store, &by.person()?, (&version, package), stages, now).await?;
                println!("roll-out {number}: no stage is begun; `rollout begin {number} 1` begins the first");
                Ok(())
            }
            Self::Begin(of) => of.change(StageChange::Begin).await,
            Self::Stop(of) => of.change(StageChange::Stop).await,
            Self::List { at } => {
                print!("{}", rollouts::table(&at.store().await?).await?);
                Ok(())
            }
        }
    }
}
