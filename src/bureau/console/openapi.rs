//! The console's JSON documents, as OpenAPI.

use super::{agents_json, alerts_json};
use crate::http::openapi::Operation;

/// Every document that machines may read with a session of the console.
pub(super) fn operations() -> Vec<Operation> {
    vec![alerts_json::operation(), agents_json::operation()]
}

#[cfg(test)]
mod tests {
    use super::super::{describe, route};
    use crate::http::openapi::OpenApi;

    #[test]
    fn every_json_document_is_described_and_no_other() {
        let routes = route::all();
        describe(OpenApi::new("", ""))
            .assert_of(routes.iter().map(|r| r.path).filter(|p| p.ends_with(".json")));
    }
}
