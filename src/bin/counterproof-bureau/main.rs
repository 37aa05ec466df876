//! The bureau's program: arguments only.

mod accounts;
mod agents;
mod bench;
mod certificates;
mod check_ins;
mod commission;
mod common;
mod enrol;
mod exempt;
mod figures;
mod hospitals;
mod rollout;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counterproof::bureau::seed::{self, Amount};
use counterproof::bureau::{
    BureauError, acts, api, bundle, console, exempt as exemptions, serve, signing_key,
};
use counterproof::clock::{Clock, SystemClock};
use counterproof::crypto::authority::Authority;
use counterproof::crypto::keys::make_bureau_keys;
use counterproof::crypto::tls::install_provider;
use counterproof::protocol::id::{AgentId, AlertId, CardholderId};
use counterproof::vision::telemetry;

use accounts::Accounts;
use agents::Agents;
use bench::Bench;
use certificates::Certificates;
use check_ins::CheckIns;
use commission::Commission;
use common::{At, By, Listing, print};
use exempt::Exempt;
use figures::Figures;
use hospitals::Hospitals;
use rollout::RollOut;

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
        #[command(flatten)]
        at: At,
        /// Keep things there, in place of what the configuration says: postgres://USER@HOST/NAME.
        ///
        /// A password belongs in the configuration's store.password; here every user of
        /// the machine would see it.
        #[arg(long, value_name = "URL")]
        database: Option<String>,
        /// Write the bound addresses here, as JSON, once both are listening.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
    },
    /// Make references from photographs; those that are refused are named, the rest goes on.
    ///
    /// Ends with 0 if at least one of the photographs is a reference now, with 2 if none is.
    Enrol {
        #[command(flatten)]
        at: At,
        /// Print a summary for machines; progress goes to standard error.
        #[arg(long)]
        json: bool,
        /// A folder with CARDHOLDER.jpg or CARDHOLDER@anything.jpg (or .png), or a CSV file with
        /// the header cardholder,photo.
        #[arg(value_name = "DIR_OR_CSV")]
        photos: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Put boxes on record, give them new keys or transforms, or suspend them.
    Agents {
        #[command(subcommand)]
        command: Agents,
    },
    /// Make the bureau's keys and certificate request; nothing is overwritten.
    Keys {
        /// Folder for them.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// A name or address by which boxes reach the bureau; may be given more than once.
        #[arg(long = "name", value_name = "HOST", default_value = "localhost")]
        names: Vec<String>,
    },
    /// Make the key and the certificate of the bureau's own authority for boxes; nothing is overwritten.
    JoinAuthority {
        /// Folder for them.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print what machines may ask, as OpenAPI: what boxes say, and the console's JSON documents.
    Openapi,
    /// Print the public key that boxes pin.
    ShowKey {
        #[command(flatten)]
        at: At,
    },
    /// Export an alert with all that proves where it came from, for `counterproof verify-bundle`.
    Bundle {
        #[command(flatten)]
        at: At,
        /// The alert's id.
        #[arg(value_name = "EVENT_ID")]
        event: AlertId,
        /// A new file; it contains the alert, and so personal information.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Show the countersigned audit heads of a box; with --json for `counterproof audit verify --heads`.
    Heads {
        #[command(flatten)]
        at: At,
        /// The box's name.
        name: AgentId,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        by: By,
    },
    /// Arm boxes that were watched in shadow, or take that back.
    Commission {
        #[command(subcommand)]
        command: Commission,
    },
    /// Tell boxes which version to run, hospital by hospital; a person installs it.
    Rollout {
        #[command(subcommand)]
        command: RollOut,
    },
    /// Keep cardholders from being judged at any window, or take that back.
    Exempt {
        #[command(subcommand)]
        command: Exempt,
    },
    /// Say what hospitals are called and in which district they are.
    Hospitals {
        #[command(subcommand)]
        command: Hospitals,
    },
    /// Certificates of enrolled people, as keyed hashes, so that a registration's proxy is known.
    Certificates {
        #[command(subcommand)]
        command: Certificates,
    },
    /// Settlement statistics for what is unusual among cardholders.
    Figures {
        #[command(subcommand)]
        command: Figures,
    },
    /// Erase every reference; it needs no key. The removal of the package does it.
    ///
    /// Stop the bureau first. Alerts, audit heads and the record of acts stay.
    EraseReferences {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        by: By,
    },
    /// Fill an empty store with made-up alerts, to look at and to measure with.
    ///
    /// A store that holds anything real is refused; one that was filled says on every page
    /// of the console that it is made up.
    Seed {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        by: By,
    },
    /// Measure how long people and boxes wait for the bureau.
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Photographs from telephones.
    CheckIns {
        #[command(subcommand)]
        command: CheckIns,
    },
    /// Who may sign in at the console.
    Accounts {
        #[command(subcommand)]
        command: Accounts,
    },
    /// Show who did what here, newest first.
    Acts {
        #[command(flatten)]
        list: Listing,
        /// At most this many.
        #[arg(long, default_value_t = 1000)]
        limit: u32,
        /// Of these, only those about this cardholder's exemptions.
        #[arg(long)]
        cardholder: Option<CardholderId>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("counterproof-bureau: {e}");
        return ExitCode::FAILURE;
    }
    counterproof::log::start("counterproof-bureau");
    install_provider();
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(e) => {
            eprintln!("counterproof-bureau: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, BureauError> {
    match command {
        Command::Serve { at, database, ready_file } => {
            let mut config = at.config()?;
            if let Some(database) = database {
                config.store.set(database);
            }
            serve::serve(config, ready_file.as_deref()).await?;
        }
        Command::Enrol { at, json, photos, by } => {
            return enrol::run(&at.config()?, json, &photos, &by.person()?).await;
        }
        Command::Keys { out, names } => {
            let made = make_bureau_keys(&out, &names)?;
            for file in &made.files {
                println!("wrote {}", file.display());
            }
            println!("public signing key, for the boxes: {}", made.public.to_base64());
        }
        Command::JoinAuthority { out } => {
            for file in Authority::make(&out)? {
                println!("wrote {}", file.display());
            }
            println!(
                "add the text of boxes-ca.pem to the file of server.tls.ca, and name boxes-ca.key as join.authority_key"
            );
        }
        Command::Openapi => print!("{}", console::describe(api::openapi::document()).to_text()),
        Command::ShowKey { at } => println!("{}", signing_key(&at.config()?)?.public().to_base64()),
        Command::Bundle { at, event, out, by } => {
            let (store, key) = at.store_and_key().await?;
            let now = SystemClock.now().wall;
            let report = bundle::export(&store, &key, &by.person()?, event, &out, now).await?;
            print!("{}", report.table());
            println!("wrote {}", out.display());
            return Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Heads { at, name, json, by } => {
            let heads = bundle::heads(&at.store().await?, &by.person()?, &name).await?;
            print!("{}", if json { bundle::heads_json(&heads)? } else { bundle::heads_table(&heads) });
        }
        Command::Seed { at, amount, by } => {
            let (store, key) = at.store_and_key().await?;
            let now = SystemClock.now().wall;
            seed::fill(&store, &key, &by.person()?, amount, now, &mut io::stdout()).await?;
        }
        Command::EraseReferences { at, by } => {
            println!("{}", acts::erase_references(&at.config()?.store.place()?, &by.person()?).await?);
        }
        Command::Acts { list: Listing { at, json }, limit, cardholder } => {
            let store = at.store().await?;
            let acts = store.acts(limit).await?;
            let acts = match cardholder {
                Some(cardholder) => exemptions::about(&store, &cardholder, acts),
                None => acts,
            };
            print(json, &acts, || acts::table(&acts))?;
        }
        Command::Agents { command } => command.run().await?,
        Command::Commission { command } => command.run().await?,
        Command::Rollout { command } => command.run().await?,
        Command::Exempt { command } => command.run().await?,
        Command::Hospitals { command } => command.run().await?,
        Command::Certificates { command } => command.run().await?,
        Command::Figures { command } => command.run().await?,
        Command::Accounts { command } => command.run().await?,
        Command::CheckIns { command } => command.run()?,
        Command::Bench { what } => what.run().await?,
    }
    Ok(ExitCode::SUCCESS)
}
