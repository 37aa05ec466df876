//! The inference library must not tell its maker about this machine.
//!
//! The library as it is distributed (ONNX Runtime 1.31, Linux too) gathers a
//! device number, the program's path, processor and system, keeps them in a
//! database under the user's cache folder and sends them to its maker when it
//! finds a network, from the moment it is loaded. Its switch in the interface
//! comes too late for the first event; the variable in the environment does
//! not. So the programs begin anew with the variable set ([`switch_off`]), and
//! no model is loaded in a process without it ([`is_off`]).

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The variable that the library reads when it is loaded.
pub const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
const OFF: &str = "1";

/// Whether this process told the library to keep silent.
pub fn is_off() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|v| v == OFF)
}

/// Begins the program anew with the variable set, under the same process
/// number; returns at once where it is set already. To be called before
/// anything else is done.
///
/// # Errors
/// If the program cannot be begun anew.
pub fn switch_off() -> io::Result<()> {
    if is_off() {
        return Ok(());
    }
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| OsStr::new("counterproof").to_owned());
    // By its path, not `/proc/self/exe`, so that the process keeps its name.
    let program = std::env::current_exe()?;
    let failed = Command::new(program).arg0(name).args(words).env(VARIABLE, OFF).exec();
    Err(io::Error::new(failed.kind(), format!("beginning anew with {VARIABLE}={OFF}: {failed}")))
}
