//! The agent on the box: arguments only.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counterproof::bench::{self, BenchArgs, EvaluateArgs};
use counterproof::crypto::keys::make_keys;
use counterproof::crypto::tls::install_provider;
use counterproof::edge::{agent, check};
use counterproof::vision::telemetry;

/// Overwrites every buffer that Rust code frees, libraries' too.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Checks at a settlement window that the person there is the cardholder.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent until SIGTERM.
    Run {
        /// The configuration.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
        /// Write the addresses in use here, as JSON, once ready.
        #[arg(long)]
        ready_file: Option<PathBuf>,
    },
    /// Look at everything the box needs and say what to do.
    Check {
        /// The configuration.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Measure accuracy on data sets.
    Evaluate(EvaluateArgs),
    /// Measure what a verification costs.
    Bench(BenchArgs),
    /// Make a box's keys and certificate request; nothing is overwritten.
    Keys {
        /// Folder for them.
        #[arg(long)]
        out: PathBuf,
        /// The box's name at the bureau.
        #[arg(long)]
        name: String,
    },
}

fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("counterproof: {e}");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,ort=error".into()),
        )
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .init();
    install_provider();
    let done = match arguments.command {
        Command::Run { config, ready_file } => agent::run(&config, ready_file).map_err(|e| e.to_string()),
        Command::Check { config, json } => run_check(&config, json),
        Command::Evaluate(args) => bench::run(&args).map_err(|e| e.to_string()),
        Command::Bench(args) => bench::time(&args).map_err(|e| e.to_string()),
        Command::Keys { out, name } => run_keys(&out, &name),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("counterproof: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run_check(config: &std::path::Path, json: bool) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let report = runtime.block_on(check::check(config));
    if json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    } else {
        print!("{}", report.table());
    }
    if report.passed() { Ok(()) } else { Err("not everything is in order".into()) }
}

fn run_keys(out: &std::path::Path, name: &str) -> Result<(), String> {
    let made = make_keys(out, name).map_err(|e| e.to_string())?;
    for file in &made.files {
        println!("wrote {}", file.display());
    }
    println!("public signing key, for the bureau: {}", made.public.to_base64());
    Ok(())
}
