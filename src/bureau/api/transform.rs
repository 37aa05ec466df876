//! The key of the transform that a box's references are under.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::{Api, Caller, not_stored, unavailable};
use crate::protocol::transform::TransformGrant;

pub(super) async fn give(State(api): State<Arc<Api>>, Caller(agent): Caller) -> Result<Response, Response> {
    let key = api.store.transform_key(&agent).map_err(unavailable)?;
    tracing::info!(agent = %agent.name, version = agent.transform.version, "the key of a transform was handed out");
    Ok(not_stored(TransformGrant::new(agent.transform.version, &key)))
}
