//! Roll-outs: a version, its stages of hospitals, and how far each hospital is.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::boxes::BOXES;
use super::failure::Failure;
use super::frame::Frame;
use super::parts::Nothing;
use super::route::{ADMINISTER, Route};
use super::shown::moment;
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::rollouts::{self, Progress};
use crate::bureau::store::StageChange;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/rollouts", BOXES, list),
        Route::post("/rollouts", ADMINISTER, plan),
        Route::post("/rollouts/{number}/stages/{stage}/begin", ADMINISTER, begin),
        Route::post("/rollouts/{number}/stages/{stage}/stop", ADMINISTER, stop),
    ]
}

struct Stage {
    number: u64,
    state: String,
    class: &'static str,
    begun: bool,
    hospitals: Vec<Progress>,
}

struct Shown {
    number: u64,
    version: String,
    package: String,
    by: String,
    at: String,
    stages: Vec<Stage>,
}

#[derive(Template)]
#[template(path = "console/rollouts.html")]
struct RolloutsPage<'a> {
    frame: Frame<'a>,
    rollouts: Vec<Shown>,
    administers: bool,
}

async fn list(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let (store, words) = (&console.store, visitor.words());
    let mut shown = Vec::new();
    for rollout in store.rollouts().await? {
        let mut stages = Vec::new();
        for stage in &rollout.stages {
            let (state, class) = match (stage.begun_at, stage.stopped_at) {
                (None, _) => ("planned", "quiet"),
                (Some(_), None) => ("begun", "good"),
                (Some(_), Some(_)) => ("stopped", "bad"),
            };
            stages.push(Stage {
                number: stage.number,
                state: words.word("stage", state),
                class,
                begun: stage.tells(),
                hospitals: rollouts::progress(store, &rollout, stage).await?,
            });
        }
        shown.push(Shown {
            number: rollout.number,
            version: rollout.version,
            package: rollout.package.to_string(),
            by: rollout.by,
            at: moment(rollout.made_at),
            stages,
        });
    }
    let administers = visitor.has(Role::Administrator);
    page(
        &visitor,
        &RolloutsPage { frame: Frame::new(&visitor, "rollouts-title"), rollouts: shown, administers },
    )
}

#[derive(Deserialize)]
struct PlanForm {
    version: String,
    package: String,
    stages: String,
}

async fn plan(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Posted { form }: Posted<PlanForm>,
) -> Result<Response, Failure> {
    let package = form.package.trim().parse().map_err(|e: crate::crypto::NotADigest| Failure::refused(e))?;
    let stages = rollouts::stages(&form.stages).map_err(Failure::refused)?;
    let now = console.clock.now().wall;
    rollouts::plan(&console.store, &visitor.acts_as()?, (form.version.trim(), package), stages, now).await?;
    Ok(Redirect::to("/rollouts").into_response())
}

async fn change(
    console: &Console,
    visitor: &Visitor,
    stage: (u64, u64),
    to: StageChange,
) -> Result<Response, Failure> {
    let now = console.clock.now().wall;
    rollouts::change(&console.store, &visitor.acts_as()?, stage, to, now).await?;
    Ok(Redirect::to("/rollouts").into_response())
}

async fn begin(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(stage): Path<(u64, u64)>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    change(&console, &visitor, stage, StageChange::Begin).await
}

async fn stop(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(stage): Path<(u64, u64)>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    change(&console, &visitor, stage, StageChange::Stop).await
}
