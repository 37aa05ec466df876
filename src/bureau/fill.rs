//! Boxes on record and references of nobody, for measuring.
//!
//! The embeddings are drawn from the cardholder's number; no face is behind them. Not
//! for a store that is used: whoever calls this says which one.

use super::BureauError;
use super::config::Config;
use super::open_store;
use super::store::{NewAgent, NewReference};
use crate::clock::{Clock, SystemClock};
use crate::crypto::Sha256;
use crate::protocol::id::CardholderId;
use crate::protocol::reference::{Template, TemplateError};

/// Numbers in a made-up embedding, as many as the default recognizer's.
const DIMENSION: u16 = 128;

/// Puts boxes on record and gives each cardholder one made-up reference.
///
/// # Errors
/// If the store fails, or holds one of the boxes.
pub async fn fill(
    config: &Config,
    boxes: &[NewAgent],
    cardholders: &[CardholderId],
) -> Result<(), BureauError> {
    let store = open_store(config).await?;
    let now = SystemClock.now().wall;
    for new in boxes {
        store.add_agent(new, now).await?;
    }
    let model = Sha256::of(b"made up");
    for cardholder in cardholders {
        let template = template(cardholder).map_err(|e| BureauError::Command(e.to_string()))?;
        let photo = Sha256::of(cardholder.as_str().as_bytes());
        let new = NewReference { cardholder, model, preprocessing: 1, template: &template, photo };
        store.add_reference(&new, now).await?;
    }
    store.close().await;
    Ok(())
}

fn template(cardholder: &CardholderId) -> Result<Template, TemplateError> {
    let value = |n: u16| {
        let drawn = Sha256::of(format!("{cardholder} {n}").as_bytes());
        f32::from(drawn.0[0]) - 127.5
    };
    Template::from_raw((0..DIMENSION).map(value).collect())
}
