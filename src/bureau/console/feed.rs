//! What happens now, as a stream of events for pages that are open.

use super::route::Route;

pub(super) fn routes() -> Vec<Route> {
    Vec::new()
}
