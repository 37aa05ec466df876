//! The agent at a settlement window, and the commands that measure it.
//! Arguments only: the work is in the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counterproof::bench;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the models on a set of photographs
    Evaluate(bench::EvaluateArgs),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Evaluate(args) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("counterproof: {e}");
            ExitCode::FAILURE
        }
    }
}
