//! Documents by digest: those that boxes bring, and those that are handed to them.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Api, Body, Caller, respond, suspended, unavailable, unprocessable, verify};
use crate::bureau::store::Kept;
use crate::crypto::Sha256;
use crate::http::problem::Problem;
use crate::protocol::document::DocumentKind;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    kind: DocumentKind,
}

/// `GET`: the bytes of a document that was handed to the calling box.
pub(super) async fn give(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    path: Result<Path<Sha256>, PathRejection>,
) -> Result<Response, Response> {
    let bad = |detail: String| respond(Problem::new(StatusCode::BAD_REQUEST, detail).about("sha256"));
    let Path(digest) = path.map_err(|e| bad(e.body_text()))?;
    match api.store.handout_body(&agent.name, digest).await.map_err(unavailable)? {
        Some(bytes) => {
            tracing::info!(agent = %agent.name, %digest, "a document was fetched");
            Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
        }
        None => {
            let detail = "no document of this digest was handed to this box";
            Err(respond(Problem::new(StatusCode::NOT_FOUND, detail).about("sha256")))
        }
    }
}

pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    Caller(agent): Caller,
    path: Result<Path<Sha256>, PathRejection>,
    query: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Response> {
    let bad =
        |field: &str, detail: String| respond(Problem::new(StatusCode::BAD_REQUEST, detail).about(field));
    let Path(named) = path.map_err(|e| bad("sha256", e.body_text()))?;
    let Query(Asked { kind }) = query.map_err(|e| {
        bad("kind", format!("{}: say ?kind=policy, ?kind=notice or ?kind=calibration", e.body_text()))
    })?;
    let now = api.clock.now().wall;
    let signed = verify(&api, &headers, &body, &agent).await?;
    let verified = signed.by_key_in_force(&agent, now).map_err(respond)?;
    let found = Sha256::of(verified.bytes());
    if found != named {
        let detail = format!("the body has SHA-256 {found}; the path names {named}");
        return Err(respond(unprocessable("sha256", detail)));
    }
    match api.store.keep_document(&agent.name, kind, verified.bytes(), now).await.map_err(unavailable)? {
        Kept::Stored => {
            tracing::info!(agent = %agent.name, %kind, digest = %named, "document stored");
            Ok(StatusCode::CREATED.into_response())
        }
        Kept::Held => Ok(StatusCode::OK.into_response()),
        Kept::Suspended => Err(suspended(&agent)),
        Kept::NotNamed => {
            let detail = "no posture and no alert of this box names this digest: send the posture first";
            Err(respond(Problem::new(StatusCode::CONFLICT, detail).about("sha256")))
        }
    }
}
