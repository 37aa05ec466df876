//! `counterproof bench messages`: whatever a HIS may send, the readers take or refuse it,
//! and none of them panics.
//!
//! Messages follow from numbers. Two in five are ones that are to be understood, with
//! every untidiness that `docs/his.md` promises to read; the others are such, spoilt:
//! cut, bytes changed, fields swapped or of another type, nests, numbers that nothing
//! holds, in UTF-8 and in GBK. The readers are given by the caller, since the agent's are
//! none of this storey's.
//!
//! What it does not say: that a message was understood rightly; the dialects' own tests do.

mod fhir;
mod hl7;
mod loose;
mod nhsa;
mod values;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::values::encoded;
use crate::bench::BenchError;
use crate::bench::chance::Chance;

/// A reader's name, and what it says of bytes: nothing if it took them, else why not.
pub type Reader = (&'static str, fn(&[u8]) -> Result<(), String>);

/// Numbers whose fault is told; more of the same kind help nobody.
const MOST_TOLD: u64 = 20;

/// Arguments of `bench messages`.
#[derive(Debug, clap::Args)]
pub struct MessagesArgs {
    /// Messages of each dialect.
    #[arg(long, default_value_t = 100_000)]
    pub messages: u64,
    /// The number of the first, to look at one again.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// This dialect alone.
    #[arg(long)]
    pub dialect: Option<String>,
    /// For machines.
    #[arg(long)]
    pub json: bool,
}

/// A message made from a number.
pub struct Made {
    /// As it comes.
    pub bytes: Vec<u8>,
    /// Whether the reader is to understand it.
    pub is_valid: bool,
}

/// The message of a number, for the reader of this name; none if there are no such ones.
pub fn made(reader: &str, n: u64) -> Option<Made> {
    let mut chance = Chance::new(n.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x0D1A_1EC7);
    let chance = &mut chance;
    let is_valid = chance.below(5) < 2;
    // Spoilt in its fields, in its bytes, or in both.
    let (fields, bytes) =
        if is_valid { (false, false) } else { [(true, false), (false, true), (true, true)][chance.below(3)] };
    let json = |mut document: loose::Loose, chance: &mut Chance| {
        if fields {
            document.spoil(chance);
        }
        document.written(chance)
    };
    let text = match reader {
        "nhsa" => json(nhsa::request(chance), chance),
        "nhsa_answers" => json(nhsa::answer(chance), chance),
        "fhir" => json(fhir::message(chance), chance),
        "hl7" => {
            let mut text = hl7::message(chance);
            if fields {
                hl7::spoil(&mut text, chance);
            }
            text
        }
        "mllp" if is_valid => return Some(Made { bytes: hl7::stream(chance), is_valid }),
        "mllp" => return Some(Made { bytes: hl7::spoilt_stream(chance), is_valid }),
        _ => return None,
    };
    let mut made = encoded(&text, chance);
    if bytes {
        loose::spoil_bytes(&mut made, chance);
    }
    Some(Made { bytes: made, is_valid })
}

/// What became of the messages of a dialect.
#[derive(Debug, Default)]
pub struct Tally {
    /// Taken.
    pub understood: AtomicU64,
    /// Refused, with words.
    pub refused: AtomicU64,
    /// Neither.
    pub panics: AtomicU64,
    /// Refused though they are to be understood.
    pub valid_refused: AtomicU64,
}

impl Tally {
    /// Gives a reader one message; what is wrong about that, if anything.
    pub fn read(&self, reader: &Reader, n: u64) -> Option<String> {
        let made = made(reader.0, n)?;
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match catch_unwind(AssertUnwindSafe(|| reader.1(&made.bytes))) {
            Ok(Ok(())) => {
                count(&self.understood);
                None
            }
            Ok(Err(why)) => {
                count(&self.refused);
                (made.is_valid && count(&self.valid_refused) < MOST_TOLD)
                    .then(|| format!("was refused: {why}"))
            }
            Err(_) => (count(&self.panics) < MOST_TOLD).then(|| "made the reader panic".to_owned()),
        }
    }

    fn json(&self, messages: u64, took: Duration) -> Value {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "messages": messages, "understood": of(&self.understood), "refused": of(&self.refused),
            "panics": of(&self.panics), "valid_refused": of(&self.valid_refused),
            "per_second": (messages as f64 / took.as_secs_f64()).round(),
        })
    }

    /// Whether none panicked and no valid one was refused.
    pub fn is_good(&self) -> bool {
        [&self.panics, &self.valid_refused].iter().all(|c| c.load(Ordering::Relaxed) == 0)
    }
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// If there is no such dialect; after the report, if a reader panicked or refused what it
/// is to understand.
pub fn run(args: &MessagesArgs, readers: &[Reader]) -> Result<(), BenchError> {
    let asked = |r: &&Reader| args.dialect.as_deref().is_none_or(|d| d == r.0);
    let readers: Vec<&Reader> = readers.iter().filter(asked).collect();
    if readers.is_empty() {
        return Err(BenchError::TooLittle("no such dialect: leave --dialect out to see them all".into()));
    }
    let (mut report, mut good) = (BTreeMap::new(), true);
    for reader in readers {
        let tally = Tally::default();
        let begun = Instant::now();
        read_all(args, reader, &tally);
        good &= tally.is_good();
        report.insert(reader.0, tally.json(args.messages, begun.elapsed()));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?);
    } else {
        report.iter().for_each(|(dialect, counts)| println!("{dialect:<14} {counts}"));
    }
    if good {
        return Ok(());
    }
    Err(BenchError::Sample("a reader panicked, or refused what it is to understand: see above".into()))
}

fn read_all(args: &MessagesArgs, reader: &Reader, tally: &Tally) {
    let (next, done, told) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= args.messages {
                    return done.store(true, Ordering::Relaxed);
                }
                let Some(fault) = tally.read(reader, args.from + n) else { continue };
                let _one_line = told.lock().unwrap_or_else(|e| e.into_inner());
                let seed = args.from + n;
                eprintln!("\n{}: message {seed} {fault}: --dialect {0} --from {seed} --messages 1", reader.0);
            }
        };
        (0..threads).for_each(|_| drop(scope.spawn(work)));
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(200));
            eprint!("\r{} {}/{}", reader.0, next.load(Ordering::Relaxed).min(args.messages), args.messages);
        }
    });
    eprintln!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_one_message_and_other_numbers_give_others() {
        for reader in ["nhsa", "nhsa_answers", "fhir", "hl7", "mllp"] {
            let bytes = |n| made(reader, n).unwrap().bytes;
            assert_eq!(bytes(7), bytes(7));
            assert_ne!(bytes(7), bytes(8));
            let valid = (0..1000).filter(|n| made(reader, *n).unwrap().is_valid).count();
            assert!((330..470).contains(&valid), "{reader}: {valid}");
        }
        assert!(made("telex", 1).is_none());
    }

    #[test]
    fn a_panic_is_counted_and_a_valid_message_that_is_refused_is_told() {
        let tally = Tally::default();
        assert!(tally.read(&("hl7", |_| panic!("on purpose")), 1).unwrap().contains("panic"));
        let valid = (0..).find(|n| made("hl7", *n).unwrap().is_valid).unwrap();
        let told = tally.read(&("hl7", |_| Err("no".into())), valid).unwrap();
        assert!(told.contains("refused: no") && !tally.is_good(), "{told}");
        assert!(tally.read(&("hl7", |_| Ok(())), 1).is_none());
    }
}
