//! `enrol`: references from photographs.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use counterproof::bureau::acts::Person;
use counterproof::bureau::config::Config;
use counterproof::bureau::{BureauError, enrol, load_vision, open_store};
use counterproof::shutters;

use crate::common::print;

pub async fn run(config: &Config, json: bool, photos: &Path, by: &Person) -> Result<ExitCode, BureauError> {
    shutters::close();
    let listed = enrol::list(photos)?;
    let store = open_store(config).await?;
    let mut vision = load_vision(config)?;
    enrol::note(&store, by, photos, listed.len()).await?;
    let mut progress: Box<dyn io::Write> = if json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let summary = enrol::run(&store, &mut vision, &listed, &mut progress).await?;
    print(json, &summary, String::new)?;
    Ok(if summary.any_enrolled() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
