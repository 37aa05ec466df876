//! The privacy policy that the bureau expects of each box: declared by a
//! command, asked for by the box.
//!
//! A declaration does not change the box: the box enforces what its own
//! configuration says, under its compiled ceilings. It lets both sides see
//! whether what runs is what was agreed (`counterproof policy diff` there, the
//! list of boxes here).

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::BureauError;
use super::acts::{self, Person};
use super::api::{Api, Caller, unavailable};
use super::store::{AgentChange, Store};
use crate::clock::{Clock, SystemClock};
use crate::http::problem::Problem;
use crate::privacy::policy::Policy;
use crate::protocol::id::AgentId;
use crate::protocol::policy::PolicyDocument;

/// Declares the policy in `file` for a box, or none.
///
/// # Errors
/// If the file is not what `counterproof policy show --json` prints, a limit in
/// it is above its ceiling, or there is no such box.
pub async fn declare(
    store: &Store,
    by: &Person,
    name: &AgentId,
    file: Option<&Path>,
) -> Result<(), BureauError> {
    let Some(file) = file else {
        acts::note(store, by, "agents declare", name.as_str(), "none".into()).await?;
        return match store.withdraw_policy(name).await? {
            AgentChange::Done => Ok(()),
            AgentChange::Refused => {
                Err(BureauError::Command(format!("no policy is declared for a box called {name}")))
            }
        };
    };
    let refused = |what: String| BureauError::Command(format!("--policy {}: {what}", file.display()));
    let bytes = std::fs::read(file).map_err(|e| refused(e.to_string()))?;
    let document = PolicyDocument::read(&bytes).map_err(|e| refused(e.to_string()))?;
    check(&document).map_err(refused)?;
    acts::note(store, by, "agents declare", name.as_str(), document.digest.to_string()).await?;
    match store.declare_policy(name, &document, SystemClock.now().wall).await? {
        AgentChange::Done => Ok(()),
        AgentChange::Refused => {
            Err(BureauError::Command(format!("no box is called {name}; `agents list` shows the names")))
        }
    }
}

/// A policy that no box could be running is a mistake.
pub(super) fn check(document: &PolicyDocument) -> Result<(), String> {
    let policy: Policy = serde_json::from_value(document.policy.clone())
        .map_err(|e| format!("{e}: print it with `counterproof policy show --json` of this version"))?;
    for limit in policy.limits() {
        let found = policy.retention_s.get(limit.key).copied();
        if found.is_none_or(|s| !(limit.floor..=limit.ceiling).contains(&s)) {
            return Err(format!(
                "retention_s.{}: found {}; allowed: {} to {} seconds",
                limit.key,
                found.map_or("nothing".into(), |s| s.to_string()),
                limit.floor,
                limit.ceiling
            ));
        }
    }
    Ok(())
}

/// `GET /v1/policy`: what is declared for the calling box.
pub(super) async fn tell(State(api): State<Arc<Api>>, Caller(agent): Caller) -> Result<Response, Response> {
    match api.store.declared_policy(&agent.name).await.map_err(unavailable)? {
        Some(document) => Ok(Json(document).into_response()),
        None => {
            let detail = format!(
                "no policy is declared for {0}: `counterproof-bureau agents declare {0} --policy FILE` does",
                agent.name
            );
            Err(Problem::new(StatusCode::NOT_FOUND, detail).into_response())
        }
    }
}
