//! The agent on the box: arguments only.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use counterproof::bench::calibrate::{self, CalibrateArgs};
use counterproof::bench::trial::{self, TryArgs};
use counterproof::bench::{self, BenchArgs, EvaluateArgs};
use counterproof::crypto::keys::{make_keys, replace_root_key};
use counterproof::crypto::sign::PublicKey;
use counterproof::crypto::tls::install_provider;
use counterproof::edge::his::{explain, reading};
use counterproof::edge::{agent, aim, check, init, inspect, join, openapi, policy, relay, watched};
use counterproof::protocol::bundle::{self, check::Pinned};
use counterproof::protocol::id::CounterId;
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
    /// Ask the few things that matter, and write a commented configuration.
    Init {
        /// Where it goes; nothing is overwritten.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        out: PathBuf,
        /// Answers, instead of asking: TOML, or JSON by its extension.
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
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
    /// A page on this machine that helps to aim one camera, for at most ten minutes.
    ///
    /// Shows outlines and numbers; who aimed what is entered in the audit log.
    Aim {
        /// The configuration; its notice need not be posted yet.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
        /// Which counter.
        #[arg(long, value_name = "ID")]
        counter: CounterId,
        /// Show the camera's picture too, in coarse blocks and without faces, for 60 seconds.
        #[arg(long)]
        picture: bool,
        /// Where the page is; a loopback address.
        #[arg(long, default_value = "127.0.0.1:8705")]
        listen: SocketAddr,
        /// Minutes until it ends, at most 10.
        #[arg(long, default_value_t = 10.0, hide = true, value_parser = minutes)]
        minutes: f32,
    },
    /// The privacy policy: show it, print its notice, compare it with the bureau's.
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// Try out what is installed: photographs go the whole way on loopback, to a first verdict.
    Try(TryArgs),
    /// Measure accuracy on data sets.
    Evaluate(EvaluateArgs),
    /// Make a calibration: what a comparison score is worth, and where the boundaries lie.
    Calibrate(CalibrateArgs),
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
        #[arg(long, required_unless_present = "replace_root")]
        name: Option<String>,
        /// Only a new root.key; the one that is there becomes root.previous.key.
        #[arg(long)]
        replace_root: bool,
    },
    /// Get on record at the bureau by a one-time code; makes the keys where there are none.
    Join {
        /// Where the bureau hears who joins: https://host:port.
        #[arg(long, value_name = "URL")]
        bureau: String,
        /// The code, as the bureau showed it once; or @FILE with it, mode 0600.
        #[arg(long, alias = "token", value_name = "CODE")]
        code: String,
        /// Folder of the keys.
        #[arg(long, value_name = "DIR", default_value = "/etc/counterproof/keys")]
        keys: PathBuf,
        /// A certificate (PEM) that your own authority made, if the bureau makes none.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// The HIS's own messages.
    #[command(subcommand)]
    His(His),
    /// Pass on what a HIS says to its platform, unchanged, with a copy for the agent.
    Relay {
        /// The relay's own configuration.
        #[arg(long, default_value = "/etc/counterproof/relay.toml")]
        config: PathBuf,
        /// Write the addresses in use here, as JSON, once ready.
        #[arg(long)]
        ready_file: Option<PathBuf>,
    },
    /// Whether this box may raise alerts.
    Commission {
        #[command(subcommand)]
        command: Commission,
    },
    /// Print what a HIS may say to a box, as OpenAPI.
    Openapi,
    /// Check or read the audit log of a state folder.
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Subcommand)]
enum His {
    /// Read one message of any dialect: how it is understood, and what of it is dropped.
    Explain {
        /// The message; `-` reads standard input.
        file: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Commission {
    /// Show what this box counted beside what its calibration expects, and what to make of it.
    Report {
        /// The configuration.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Check every hash, link and signature; name the first bad record.
    Verify {
        #[command(flatten)]
        log: Log,
        /// Heads that the bureau signed, as `counterproof-bureau heads --json` prints them.
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
        /// The bureau's public key, as `counterproof-bureau show-key` prints it.
        #[arg(long, value_name = "BASE64", value_parser = PublicKey::from_base64)]
        bureau_key: Option<PublicKey>,
    },
    /// What was kept, how long, what was deleted when, and whether anything outlived its limit.
    Report {
        #[command(flatten)]
        log: Log,
        /// First day (UTC); by default 30 days before the last.
        #[arg(long, value_name = "YYYY-MM-DD")]
        from: Option<jiff::civil::Date>,
        /// Last day (UTC); by default today.
        #[arg(long, value_name = "YYYY-MM-DD")]
        to: Option<jiff::civil::Date>,
    },
}

#[derive(Args)]
struct Log {
    /// The box's state folder.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The box's public key, as the bureau has it on record.
    #[arg(long, value_name = "BASE64", value_parser = PublicKey::from_base64)]
    key: Option<PublicKey>,
    /// For machines.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Policy {
    /// Show the policy in force: each limit with its ceiling, each item with the rule that asks.
    Show {
        /// The configuration.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
        /// The document whose SHA-256 is in every alert and posture, with that digest.
        #[arg(long)]
        json: bool,
    },
    /// Print the notice to be posted, in Chinese and English; its digest goes to standard error.
    Notice {
        /// The configuration; the notice's digest in it need not be right yet.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
        /// A page for printing, two sheets of A4.
        #[arg(long)]
        html: bool,
        /// The one at the dialysis rooms' entrances, not that at the windows.
        #[arg(long)]
        entrance: bool,
    },
    /// Compare with what the bureau declared for this box.
    ///
    /// Ends with 0 if it is the same, with 1 if something differs, with 2 if that cannot be learnt.
    Diff {
        /// The configuration.
        #[arg(long, default_value = "/etc/counterproof/counterproof.toml")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    if let Err(e) = telemetry::switch_off() {
        eprintln!("counterproof: {e}");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    counterproof::log::start("counterproof");
    install_provider();
    let done = match arguments.command {
        Command::Run { config, ready_file } => agent::run(&config, ready_file).map_err(|e| e.to_string()),
        Command::Init { out, answers } => {
            let (mut input, mut told) = (std::io::stdin().lock(), std::io::stdout().lock());
            init::run(&init::Asked { out, answers }, &mut input, &mut told).map_err(|e| e.to_string())
        }
        Command::Check { config, json } => run_check(&config, json),
        Command::Aim { config, counter, picture, listen, minutes } => {
            let time = Duration::from_secs_f32(minutes * 60.0);
            aim::run(&aim::Asked { config, counter, picture, listen, time }).map_err(|e| e.to_string())
        }
        Command::Policy { command } => return run_policy(&command),
        Command::Try(args) => trial::run(&args),
        Command::Evaluate(args) => bench::run(&args).map_err(|e| e.to_string()),
        Command::Calibrate(args) => calibrate::run(&args).map_err(|e| e.to_string()),
        Command::Bench(args) => bench::time(&args, &reading::ALL).map_err(|e| e.to_string()),
        Command::Keys { out, replace_root: true, .. } => run_replace_root(&out),
        Command::Keys { out, name, .. } => run_keys(&out, &name.unwrap_or_default()),
        Command::Join { bureau, code, keys, certificate } => join::code_of(&code)
            .map_err(|e| e.to_string())
            .and_then(|code| {
                join::run(&join::Asked { bureau, code, keys, certificate }).map_err(|e| e.to_string())
            })
            .map(|told| print!("{told}")),
        Command::His(His::Explain { file, json }) => run_explain(&file, json),
        Command::Relay { config, ready_file } => relay::run(&config, ready_file).map_err(|e| e.to_string()),
        Command::Commission { command: Commission::Report { config, json } } => watched::report(&config)
            .map_err(|e| e.to_string())
            .and_then(|report| print(json, &report, || report.page())),
        Command::Openapi => {
            print!("{}", openapi::document().to_text());
            Ok(())
        }
        Command::Audit(command) => run_audit(command),
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

fn minutes(text: &str) -> Result<f32, String> {
    let found = text.parse::<f32>().map_err(|e| e.to_string())?;
    if (0.01..=10.0).contains(&found) { Ok(found) } else { Err("allowed: 0.01 to 10".into()) }
}

fn run_check(config: &std::path::Path, json: bool) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let report = runtime.block_on(check::check(config));
    if json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.table());
    }
    if report.passed() { Ok(()) } else { Err("not everything is in order".into()) }
}

fn which(entrance: bool) -> policy::Notice {
    if entrance { policy::Notice::Entrance } else { policy::Notice::Windows }
}

fn form(html: bool) -> policy::Form {
    if html { policy::Form::Page } else { policy::Form::Text }
}

/// `policy diff` has three endings, so that a script can tell "differs" from
/// "not to be told".
fn run_policy(command: &Policy) -> ExitCode {
    let failed = |code: u8, e: &dyn std::fmt::Display| {
        eprintln!("counterproof: {e}");
        ExitCode::from(code)
    };
    match command {
        Policy::Show { config, json } => match policy::show(config, *json) {
            Ok(shown) => print!("{shown}"),
            Err(e) => return failed(1, &e),
        },
        Policy::Notice { config, html, entrance } => {
            match policy::notice(config, which(*entrance), form(*html)) {
                Ok(to_post) => {
                    print!("{}", to_post.notice);
                    eprint!("{}", to_post.advice);
                }
                Err(e) => return failed(1, &e),
            }
        }
        Policy::Diff { config } => match policy::diff(config) {
            Ok(compared) => {
                print!("{}", compared.report());
                return ExitCode::from(u8::from(!compared.same()));
            }
            Err(e) => return failed(2, &e),
        },
    }
    ExitCode::SUCCESS
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
    match (report.passed, report.anchored) {
        (true, true) => Ok(()),
        (true, false) => Err("nothing failed, but whose file it is was not checked: give --bureau-key with the key that the bureau publishes".into()),
        (false, _) => Err("a check failed: this bundle proves nothing".into()),
    }
}

fn run_explain(file: &std::path::Path, json: bool) -> Result<(), String> {
    let bytes = if file == std::path::Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map(String::into_bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|e| format!("{}: {e}", file.display()))?;
    let explained = explain::explain(&bytes).map_err(|e| e.to_string())?;
    print(json, &explained, || explained.page())
}

fn run_keys(out: &std::path::Path, name: &str) -> Result<(), String> {
    let made = make_keys(out, name).map_err(|e| e.to_string())?;
    for file in &made.files {
        println!("wrote {}", file.display());
    }
    println!("public signing key, for the bureau: {}", made.public.to_base64());
    Ok(())
}

fn run_replace_root(dir: &std::path::Path) -> Result<(), String> {
    let previous = replace_root_key(dir).map_err(|e| e.to_string())?;
    println!("wrote a new root.key; the former one is {}", previous.display());
    println!("now `systemctl reload counterproof`; where the key is a systemd credential, name the former");
    println!("one as keys.root_previous and restart. Then destroy {}", previous.display());
    Ok(())
}

fn run_audit(command: Audit) -> Result<(), String> {
    match command {
        Audit::Verify { log, heads, bureau_key } => {
            let heads = match heads {
                Some(file) => std::fs::read_to_string(&file)
                    .map_err(|e| e.to_string())
                    .and_then(|text| inspect::read_heads(&text))
                    .map_err(|e| format!("--heads {}: {e}", file.display()))?,
                None => Vec::new(),
            };
            let against = inspect::Against { key: log.key, heads, bureau_key };
            let checked = inspect::check(&log.state, &against).map_err(|e| e.to_string())?;
            print(log.json, &checked, || inspect::told(&checked, &against))
        }
        Audit::Report { log, from, to } => {
            let report = inspect::report(&log.state, log.key.as_ref(), from, to, agent::today())
                .map_err(|e| e.to_string())?;
            print(log.json, &report, || report.page())
        }
    }
}

fn print(json: bool, value: &impl serde::Serialize, text: impl Fn() -> String) -> Result<(), String> {
    if json {
        println!("{}", serde_json::to_string_pretty(value).map_err(|e| e.to_string())?);
    } else {
        print!("{}", text());
    }
    Ok(())
}
