//! People who act for a cardholder, known by their certificate: the key under which boxes
//! hash it, and the references of whom a hash leads to. Without a trace, like others.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::callers::Heard;
use super::references::{AskedFor, give_to};
use super::{Api, Caller, not_stored, respond, unavailable};
use crate::http::problem::Problem;
use crate::protocol::proxy::{ProxyKeyGrant, ProxyMark};

pub(super) async fn give_key(State(api): State<Arc<Api>>, _: Caller) -> Result<Response, Response> {
    let key = api.store.proxy_key().map_err(unavailable)?;
    Ok(not_stored(ProxyKeyGrant::new(&key)))
}

pub(super) async fn give(
    State(api): State<Arc<Api>>,
    heard: Heard,
    mark: Result<Path<String>, PathRejection>,
    query: Result<Query<AskedFor>, QueryRejection>,
) -> Result<Response, Response> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail).about("mark").into_response();
    let Path(mark) = mark.map_err(|e| bad(e.body_text()))?;
    let mark: ProxyMark = mark.parse().map_err(|e| bad(format!("{e}")))?;
    AskedFor::named(query).map_err(respond)?;
    // Who is not known and who is not enrolled are answered alike.
    match api.store.holder_of_certificate(mark).await.map_err(unavailable)? {
        Some(holder) => give_to(&api, heard, holder, false).await,
        None => Err(super::references::nobody()),
    }
}
