//! `make console`: a console full of made-up alerts, on loopback, until ctrl-c.
//!
//! Everything lies in target/console, with keys, store and log; a second start finds
//! what the first one made. Remove the folder for a fresh one.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use counterproof::bench::sample::{PASSWORD, SampleBureau};
use tokio::signal::unix::{SignalKind, signal};

/// Accounts, with their roles in both languages.
const ACCOUNTS: [(&str, &str, &[&str]); 4] = [
    ("li", "李（样本）", &["reviewer"]),
    ("wang", "王（样本）", &["supervisor"]),
    ("chen", "陈（样本）", &["privacy_officer"]),
    ("zhao", "赵（样本）", &["administrator"]),
];
/// Where the bureau's console is by default; any free one if that is taken.
const USUAL: &str = "127.0.0.1:8744";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("console: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let here = std::env::current_exe()?;
    let release = here.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
    let dir = release.parent().unwrap_or(&release).join("console");
    let alerts = std::env::var("ALERTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let address = if TcpListener::bind(USUAL).is_ok() { USUAL } else { "127.0.0.1:0" };
    let program = release.join("counterproof-bureau");
    let mut bureau = SampleBureau::make(&program, &dir, "path = \"bureau.db\"", address)?;
    println!("filling {} with {alerts} made-up alerts, unless it is", dir.display());
    bureau.fill(alerts)?;
    for (name, display, roles) in ACCOUNTS {
        bureau.add_account(name, display, roles)?;
    }
    bureau.start()?;
    println!("\n  {}\n", bureau.console());
    for (name, _, roles) in ACCOUNTS {
        println!("  {:<16} account {name:<6} password {PASSWORD}", roles.join(", "));
    }
    println!("\neverything in it is made up; ctrl-c ends it, and the folder stays");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    bureau.end()
}
