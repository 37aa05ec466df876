//! The accounts' page: who may sign in, and as what.

use super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    Vec::new()
}
