//! The bureau's program: arguments only.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counterproof::bureau::config::Config;
use counterproof::bureau::{BureauError, agents, enrol, load_vision, open_store, serve};
use counterproof::crypto::tls::install_provider;
use counterproof::protocol::id::{AgentId, HospitalId};
use counterproof::vision::telemetry;

/// Overwrites every buffer that Rust code frees, libraries' too.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Receives mismatch alerts from boxes, hands them references, and shows both.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve boxes and the console until told to end.
    Serve {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Write the bound addresses here, as JSON, once both are listening.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
    },
    /// Make references from photographs; those that are refused are named, the rest goes on.
    ///
    /// Ends with 0 if at least one of the photographs is a reference now, with 2 if none is.
    Enrol {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print a summary for machines; progress goes to standard error.
        #[arg(long)]
        json: bool,
        /// A folder with CARDHOLDER.jpg or CARDHOLDER@anything.jpg (or .png), or a CSV file with
        /// the header cardholder,photo.
        #[arg(value_name = "DIR_OR_CSV")]
        photos: PathBuf,
    },
    /// Put boxes on record, or suspend them.
    Agents {
        #[command(subcommand)]
        command: Agents,
    },
}

#[derive(Subcommand)]
enum Agents {
    /// Put a box on record.
    Add {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    },
    /// List the boxes on record.
    List {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Refuse a box from now on.
    Suspend {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its name.
        name: AgentId,
    },
    /// Hear a suspended box again.
    Resume {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its name.
        name: AgentId,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("counterproof-bureau: {e}");
        return ExitCode::FAILURE;
    }
    start_log();
    install_provider();
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(e) => {
            eprintln!("counterproof-bureau: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Structured lines to standard error; `RUST_LOG` says how much.
fn start_log() {
    // The runtime tells every step of its graph rewriting, at `info` and `warn`.
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,ort=error".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

async fn run(command: Command) -> Result<ExitCode, BureauError> {
    match command {
        Command::Serve { config, ready_file } => {
            serve::serve(Config::read(&config)?, ready_file.as_deref()).await?;
        }
        Command::Enrol { config, json, photos } => {
            return enrol(&Config::read(&config)?, json, &photos).await;
        }
        Command::Agents { command } => on_agents(command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn enrol(config: &Config, json: bool, photos: &Path) -> Result<ExitCode, BureauError> {
    let photos = enrol::list(photos)?;
    let store = open_store(config).await?;
    let mut vision = load_vision(config)?;
    let summary = if json {
        enrol::run(&store, &mut vision, &photos, &mut io::stderr()).await?
    } else {
        enrol::run(&store, &mut vision, &photos, &mut io::stdout()).await?
    };
    if json {
        println!("{}", serde_json::to_string(&summary).map_err(io::Error::from)?);
    }
    Ok(if summary.any_enrolled() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

async fn on_agents(command: Agents) -> Result<(), BureauError> {
    let store = async |config: &PathBuf| open_store(&Config::read(config)?).await;
    match command {
        Agents::Add { config, name, hospital, public_key, certificate } => {
            agents::add(&store(&config).await?, name, hospital, &public_key, &certificate).await
        }
        Agents::List { config } => {
            print!("{}", agents::table(&store(&config).await?.agents().await?));
            Ok(())
        }
        Agents::Suspend { config, name } => agents::set_suspended(&store(&config).await?, &name, true).await,
        Agents::Resume { config, name } => agents::set_suspended(&store(&config).await?, &name, false).await,
    }
}
