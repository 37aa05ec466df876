//! The bureau's program: arguments only.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use counterproof::bench::ingest::{self, IngestArgs};
use counterproof::bench::queue::{self, QueueArgs};
use counterproof::bureau::accounts::{AccountName, Role, Roles};
use counterproof::bureau::acts::{self, Person};
use counterproof::bureau::agents::Identity;
use counterproof::bureau::commission::Signing;
use counterproof::bureau::config::Config;
use counterproof::bureau::handouts::Document;
use counterproof::bureau::seed::{self, Amount};
use counterproof::bureau::store::{NewAgent, StageChange};
use counterproof::bureau::{
    BureauError, accounts, agents, api, bundle, commission, console, enrol, exempt, fill, handouts,
    hospitals, join, load_vision, open_store, policies, rollouts, serve, settled, signing_key,
};
use counterproof::clock::{Clock, SystemClock};
use counterproof::crypto::Sha256;
use counterproof::crypto::authority::Authority;
use counterproof::crypto::keys::make_bureau_keys;
use counterproof::crypto::tls::install_provider;
use counterproof::protocol::document::DocumentKind;
use counterproof::protocol::id::{AgentId, AlertId, CardholderId, HospitalId};
use counterproof::shutters;
use counterproof::vision::telemetry;
use serde::Serialize;

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
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Export an alert with all that proves where it came from, for `counterproof verify-bundle`.
    Bundle {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    /// Settlement statistics for what is unusual among cardholders.
    Figures {
        #[command(subcommand)]
        command: Figures,
    },
    /// Erase every reference; it needs no key. The removal of the package does it.
    ///
    /// Stop the bureau first. Alerts, audit heads and the record of acts stay.
    EraseReferences {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Fill an empty store with made-up alerts, to look at and to measure with.
    ///
    /// A store that holds anything real is refused; one that was filled says on every page
    /// of the console that it is made up.
    Seed {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    /// Who may sign in at the console.
    Accounts {
        #[command(subcommand)]
        command: Accounts,
    },
    /// Show who did what here, newest first.
    Acts {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For machines: one JSON list.
        #[arg(long)]
        json: bool,
        /// At most this many.
        #[arg(long, default_value_t = 1000)]
        limit: u32,
        /// Of these, only those about this cardholder's exemptions.
        #[arg(long)]
        cardholder: Option<CardholderId>,
    },
}

#[derive(Args)]
struct By {
    /// Who gives this command, for the record of acts; the system's user if left out.
    #[arg(long = "by", value_name = "NAME")]
    named: Option<String>,
}

impl By {
    fn person(self) -> Result<Person, BureauError> {
        Person::of(self.named)
    }
}

#[derive(Subcommand)]
enum Commission {
    /// Show what a box counted beside what its calibration expects, and what to make of it.
    Report {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The box's name.
        name: AgentId,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Sign that a box may raise alerts.
    Sign {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    List {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For machines: one JSON list.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum RollOut {
    /// Plan one; no stage is begun by it.
    Plan {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

#[derive(Args)]
struct OfStage {
    /// The bureau's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Number of the roll-out.
    rollout: u64,
    /// Number of the stage.
    stage: u64,
    #[command(flatten)]
    by: By,
}

#[derive(Subcommand)]
enum Exempt {
    /// Exempt a cardholder, in place of an exemption that there is; no box is told.
    Add {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The cardholder's number.
        cardholder: CardholderId,
        /// The last day of it, at most two years ahead.
        #[arg(long, value_name = "YYYY-MM-DD")]
        until: String,
        /// Who decided it.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why; sealed, and not in the record of acts.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let a cardholder be judged again.
    End {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The cardholder's number.
        cardholder: CardholderId,
        /// Who decided it.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// List the exemptions in force with their reasons; that somebody looked is recorded.
    List {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For machines: one JSON list.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// How long a reviewer waits for the list of alerts: its first page, and one 500 pages deep.
    Queue(QueueArgs),
    /// How many alerts are stored in a second, and how many references handed out.
    Ingest(IngestArgs),
}

#[derive(Subcommand)]
enum Accounts {
    /// Make an account. The password is the first line of --password-file, else of standard input.
    Add {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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

#[derive(Subcommand)]
enum Hospitals {
    /// Take names and districts from a CSV file with the header code,name,district.
    ///
    /// One wrong line refuses the whole file. A hospital that is known gets its new name.
    Import {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The file.
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// List the hospitals that are known.
    List {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For machines: one JSON list.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Figures {
    /// Import a CSV file, whole or not at all; every bad line is named.
    ///
    /// UTF-8 with the header month,cardholder,hospital,medical_type,settlements,amount_fen: one
    /// line for each month (2026-11), cardholder, hospital and medical type. A line of a later
    /// file takes the place of an earlier one; the same file again changes nothing.
    Import {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The file.
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        #[command(flatten)]
        by: By,
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
        #[command(flatten)]
        by: By,
    },
    /// Give a box a new key and certificate; the old ones stay good for a while.
    Rotate {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The box's name.
        name: AgentId,
    },
    /// Make a one-time code by which a box joins, or joins again with new keys; it is shown once.
    Code {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    List {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For machines: one JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Refuse a box from now on.
    Suspend {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its name.
        name: AgentId,
        #[command(flatten)]
        by: By,
    },
    /// Declare the privacy policy that a box is expected to run; the box is not changed by it.
    Declare {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    Resume {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its name.
        name: AgentId,
        #[command(flatten)]
        by: By,
    },
    /// Put a box's references under a new transform; those handed out before are of no use any more.
    Reissue {
        /// The bureau's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its name.
        name: AgentId,
        #[command(flatten)]
        by: By,
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
        Command::Serve { config, database, ready_file } => {
            let mut config = Config::read(&config)?;
            if let Some(database) = database {
                config.store.set(database);
            }
            serve::serve(config, ready_file.as_deref()).await?;
        }
        Command::Enrol { config, json, photos, by } => {
            return enrol(&Config::read(&config)?, json, &photos, &by.person()?).await;
        }
        Command::Agents { command } => on_agents(command).await?,
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
        Command::ShowKey { config } => {
            println!("{}", signing_key(&Config::read(&config)?)?.public().to_base64());
        }
        Command::Bundle { config, event, out, by } => {
            let config = Config::read(&config)?;
            let (store, key) = (open_store(&config).await?, signing_key(&config)?);
            let now = SystemClock.now().wall;
            let report = bundle::export(&store, &key, &by.person()?, event, &out, now).await?;
            print!("{}", report.table());
            println!("wrote {}", out.display());
            return Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Heads { config, name, json, by } => {
            let store = open_store(&Config::read(&config)?).await?;
            let heads = bundle::heads(&store, &by.person()?, &name).await?;
            print!("{}", if json { bundle::heads_json(&heads)? } else { bundle::heads_table(&heads) });
        }
        Command::Commission { command } => on_commissions(command).await?,
        Command::Rollout { command } => on_rollouts(command).await?,
        Command::Exempt { command } => on_exemptions(command).await?,
        Command::Figures { command: Figures::Import { config, file, by } } => {
            let config = Config::read(&config)?;
            let store = open_store(&config).await?;
            println!("{}", settled::import(&store, &config.retention, &file, &by.person()?).await?);
        }
        Command::Accounts { command } => on_accounts(command).await?,
        Command::Seed { config, amount, by } => {
            let config = Config::read(&config)?;
            let (store, key) = (open_store(&config).await?, signing_key(&config)?);
            let now = SystemClock.now().wall;
            seed::fill(&store, &key, &by.person()?, amount, now, &mut io::stdout()).await?;
        }
        Command::Bench { what: Bench::Queue(args) } => {
            let measured = queue::run(&args, &std::env::current_exe()?).await;
            measured.map_err(|e| BureauError::Command(e.to_string()))?;
        }
        Command::Bench { what: Bench::Ingest(args) } => {
            let measured = ingest::run(&args, &std::env::current_exe()?, on_record).await;
            measured.map_err(|e| BureauError::Command(e.to_string()))?;
        }
        Command::Hospitals { command } => on_hospitals(command).await?,
        Command::EraseReferences { config, by } => {
            let config = Config::read(&config)?;
            println!("{}", acts::erase_references(&config.store.place()?, &by.person()?).await?);
        }
        Command::Acts { config, json, limit, cardholder } => {
            let store = open_store(&Config::read(&config)?).await?;
            let acts = store.acts(limit).await?;
            let acts = match cardholder {
                Some(cardholder) => exempt::about(&store, &cardholder, acts),
                None => acts,
            };
            print(json, &acts, || acts::table(&acts))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A table for people, or one line of JSON for machines.
fn print(json: bool, value: &impl Serialize, table: impl FnOnce() -> String) -> Result<(), BureauError> {
    if json {
        println!("{}", serde_json::to_string(value).map_err(io::Error::from)?);
    } else {
        print!("{}", table());
    }
    Ok(())
}

async fn on_commissions(command: Commission) -> Result<(), BureauError> {
    match command {
        Commission::Report { config, name, json } => {
            let report = commission::report(&open_store(&Config::read(&config)?).await?, &name).await?;
            print(json, &report, || report.page())
        }
        Commission::Sign { config, name, supervisor, note, without_figures, calibration } => {
            let config = Config::read(&config)?;
            let (store, key) = (open_store(&config).await?, signing_key(&config)?);
            let calibration = calibration.as_deref();
            let signing = Signing { supervisor, note, without_figures, calibration };
            println!("{}", commission::sign(&store, &key, &name, signing).await?);
            Ok(())
        }
        Commission::Revoke { config, name, supervisor, reason } => {
            let config = Config::read(&config)?;
            let (store, key) = (open_store(&config).await?, signing_key(&config)?);
            println!("{}", commission::revoke(&store, &key, &name, supervisor, reason).await?);
            Ok(())
        }
        Commission::List { config, json } => {
            let listed = commission::list(&open_store(&Config::read(&config)?).await?).await?;
            print(json, &listed, || commission::table(&listed))
        }
    }
}

async fn on_rollouts(command: RollOut) -> Result<(), BureauError> {
    let now = SystemClock.now().wall;
    let change = async |of: OfStage, change| {
        let store = open_store(&Config::read(&of.config)?).await?;
        rollouts::change(&store, &of.by.person()?, (of.rollout, of.stage), change, now).await
    };
    match command {
        RollOut::Plan { config, version, package, stages, by } => {
            let stages = rollouts::stages(&stages.join("\n"))
                .map_err(|e| BureauError::Command(format!("--stages: {e}")))?;
            let store = open_store(&Config::read(&config)?).await?;
            let number = rollouts::plan(&store, &by.person()?, (&version, package), stages, now).await?;
            println!("roll-out {number}: no stage is begun; `rollout begin {number} 1` begins the first");
            Ok(())
        }
        RollOut::Begin(of) => change(of, StageChange::Begin).await,
        RollOut::Stop(of) => change(of, StageChange::Stop).await,
        RollOut::List { config } => {
            print!("{}", rollouts::table(&open_store(&Config::read(&config)?).await?).await?);
            Ok(())
        }
    }
}

async fn on_exemptions(command: Exempt) -> Result<(), BureauError> {
    match command {
        Exempt::Add { config, cardholder, until, by, reason } => {
            let store = open_store(&Config::read(&config)?).await?;
            println!("{}", exempt::add(&store, by, cardholder, &until, reason).await?);
            Ok(())
        }
        Exempt::End { config, cardholder, by } => {
            let store = open_store(&Config::read(&config)?).await?;
            println!("{}", exempt::end(&store, by, &cardholder).await?);
            Ok(())
        }
        Exempt::List { config, json, by } => {
            let store = open_store(&Config::read(&config)?).await?;
            let listed = exempt::list(&store, &by.person()?).await?;
            print(json, &listed, || exempt::table(&listed))
        }
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

async fn on_accounts(command: Accounts) -> Result<(), BureauError> {
    match command {
        Accounts::Add { config, name, display, roles, password_file, by } => {
            let store = open_store(&Config::read(&config)?).await?;
            let password = accounts::command::read_password(password_file.as_deref())?;
            accounts::command::add(&store, &by.person()?, name, display, Roles::new(roles), &password).await
        }
    }
}

async fn on_hospitals(command: Hospitals) -> Result<(), BureauError> {
    match command {
        Hospitals::Import { config, file, by } => {
            let store = open_store(&Config::read(&config)?).await?;
            println!("{}", hospitals::import(&store, &by.person()?, &file).await?);
            Ok(())
        }
        Hospitals::List { config, json } => {
            let listed = open_store(&Config::read(&config)?).await?.hospitals().await?;
            print(json, &listed, || hospitals::table(&listed))
        }
    }
}

async fn enrol(config: &Config, json: bool, photos: &Path, by: &Person) -> Result<ExitCode, BureauError> {
    shutters::close();
    let listed = enrol::list(photos)?;
    let store = open_store(config).await?;
    let mut vision = load_vision(config)?;
    enrol::note(&store, by, photos, listed.len()).await?;
    let summary = if json {
        enrol::run(&store, &mut vision, &listed, &mut io::stderr()).await?
    } else {
        enrol::run(&store, &mut vision, &listed, &mut io::stdout()).await?
    };
    if json {
        println!("{}", serde_json::to_string(&summary).map_err(io::Error::from)?);
    }
    Ok(if summary.any_enrolled() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

async fn on_agents(command: Agents) -> Result<(), BureauError> {
    let store = async |config: &PathBuf| open_store(&Config::read(config)?).await;
    match command {
        Agents::Add { config, name, hospital, public_key, certificate, by } => {
            let identity = Identity::read(&public_key, &certificate)?;
            agents::add(&store(&config).await?, &by.person()?, name, hospital, identity).await
        }
        Agents::Rotate { config, name, public_key, certificate, overlap_hours, by } => {
            let identity = Identity::read(&public_key, &certificate)?;
            let store = store(&config).await?;
            let until = agents::rotate(&store, &by.person()?, name, identity, overlap_hours).await?;
            println!("the old key and certificate are good until {until}");
            Ok(())
        }
        Agents::Declare { config, name, policy, by, .. } => {
            policies::declare(&store(&config).await?, &by.person()?, &name, policy.as_deref()).await
        }
        Agents::Reissue { config, name, by } => {
            println!("{}", agents::reissue(&store(&config).await?, &by.person()?, &name).await?);
            Ok(())
        }
        Agents::Posture { config, name } => {
            let held = store(&config).await?.posture(&name).await?;
            let held = held.ok_or_else(|| BureauError::Command(format!("{name} has sent no posture yet")))?;
            print(true, &held.posture, String::new)
        }
        Agents::Code { config, name, hospital, overlap_hours, by } => {
            let config = Config::read(&config)?;
            let overlap = agents::overlap(overlap_hours)?;
            let wish = join::For { agent: name, hospital, overlap };
            let codes = join::Codes::of(&config)?;
            let now = SystemClock.now().wall;
            let shown = codes.make(&open_store(&config).await?, &by.person()?, wish, now).await?;
            println!("{}", shown.line.as_str());
            eprintln!("good for one box until {}; it is a secret, and is not shown again", shown.expires_at);
            Ok(())
        }
        Agents::HandOut { config, name, kind, file, by } => {
            let config = Config::read(&config)?;
            let refused = |e: String| BureauError::Command(format!("--file {}: {e}", file.display()));
            let bytes = std::fs::read(&file).map_err(|e| refused(e.to_string()))?;
            let document = Document::of_kind(kind, bytes).map_err(refused)?;
            let (store, key) = (open_store(&config).await?, signing_key(&config)?);
            let now = SystemClock.now().wall;
            let number = handouts::hand_out(&store, &key, &by.person()?, &name, (&document, now)).await?;
            println!("document {number} for {name}: {kind} {}", document.digest());
            Ok(())
        }
        Agents::List { config, json } => {
            let listed = agents::list(&store(&config).await?).await?;
            print(json, &listed, || agents::table(&listed))
        }
        Agents::Suspend { config, name, by } => {
            agents::set_suspended(&store(&config).await?, &by.person()?, &name, true).await
        }
        Agents::Resume { config, name, by } => {
            agents::set_suspended(&store(&config).await?, &by.person()?, &name, false).await
        }
    }
}
