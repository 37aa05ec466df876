//! The agent on the box: arguments only.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counterproof::bench::{self, BenchArgs, EvaluateArgs};
use counterproof::crypto::keys::make_keys;
use counterproof::crypto::sign::PublicKey;
use counterproof::crypto::tls::install_provider;
use counterproof::edge::{agent, check};
use counterproof::protocol::bundle::{self, check::Pinned};

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
    /// Check a bundle that a bureau exported, without a network.
    ///
    /// Ends with 0 only if no check failed.
    VerifyBundle {
        /// The bundle.
        file: PathBuf,
        /// The bureau's public key, from the bureau itself and not out of the bundle.
        #[arg(long, value_name = "BASE64")]
        bureau_key: Option<String>,
        /// The box's public key, from the box itself.
        #[arg(long, value_name = "BASE64")]
        agent_key: Option<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
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
        Command::VerifyBundle { file, bureau_key, agent_key, json } => {
            verify_bundle(&file, bureau_key.as_deref(), agent_key.as_deref(), json)
        }
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

fn verify_bundle(
    file: &std::path::Path,
    bureau_key: Option<&str>,
    agent_key: Option<&str>,
    json: bool,
) -> Result<(), String> {
    let key = |option: &str, text: Option<&str>| {
        text.map(PublicKey::from_base64).transpose().map_err(|e| format!("{option}: {e}"))
    };
    let pinned = Pinned { bureau: key("--bureau-key", bureau_key)?, agent: key("--agent-key", agent_key)? };
    let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let report = bundle::check::check(&bytes, &pinned);
    if json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    } else {
        print!("{}", report.table());
    }
    if report.passed { Ok(()) } else { Err("a check failed: this bundle proves nothing".into()) }
}

fn run_keys(out: &std::path::Path, name: &str) -> Result<(), String> {
    let made = make_keys(out, name).map_err(|e| e.to_string())?;
    for file in &made.files {
        println!("wrote {}", file.display());
    }
    println!("public signing key, for the bureau: {}", made.public.to_base64());
    Ok(())
}
