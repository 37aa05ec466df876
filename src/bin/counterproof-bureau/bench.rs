//! `bench`: how long people and boxes wait for the bureau.

use clap::Subcommand;
use counterproof::bench::ingest::{self, IngestArgs};
use counterproof::bench::queue::{self, QueueArgs};
use counterproof::bureau::agents::Identity;
use counterproof::bureau::config::Config;
use counterproof::bureau::store::NewAgent;
use counterproof::bureau::{BureauError, fill};

#[derive(Subcommand)]
pub enum Bench {
    /// How long a reviewer waits for the list of alerts: its first page, and one 500 pages deep.
    Queue(QueueArgs),
    /// How many alerts are stored in a second, and how many references handed out.
    Ingest(IngestArgs),
}

impl Bench {
    pub async fn run(self) -> Result<(), BureauError> {
        let program = std::env::current_exe()?;
        let measured = match self {
            Self::Queue(args) => queue::run(&args, &program).await,
            Self::Ingest(args) => ingest::run(&args, &program, on_record).await,
        };
        measured.map_err(|e| BureauError::Command(e.to_string()))
    }
}

/// Puts the boxes that are measured with on record.
async fn on_record(wanted: &ingest::Wanted) -> Result<(), BureauError> {
    let mut config = Config::read(&wanted.config)?;
    if let Some(database) = &wanted.database {
        config.store.set(database.clone());
    }
    let mut boxes = Vec::new();
    for one in &wanted.boxes {
        let public_key = one.key.public();
        let Identity { certificate, .. } = Identity::read(&public_key.to_base64(), &one.files.certificate)?;
        let (name, hospital) = (one.name.clone(), one.hospital.clone());
        boxes.push(NewAgent { name, hospital, public_key, certificate });
    }
    fill::fill(&config, &boxes, &wanted.cardholders).await
}
