//! `/`: the first page that whoever is signed in may see.

use axum::response::{IntoResponse, Redirect, Response};

use super::frame::PLACES;
use super::route::{Needs, Route};
use super::visitor::Visitor;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/", Needs::SignedIn, go)]
}

async fn go(visitor: Visitor) -> Response {
    let first = PLACES.iter().find(|(.., needs)| visitor.may(*needs));
    Redirect::to(first.map_or("/sign-in", |(path, ..)| path)).into_response()
}
