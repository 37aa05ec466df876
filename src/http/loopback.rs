//! Pages for people on this machine: what every answer of theirs carries.
//!
//! Loopback alone does not keep another site's page out: a browser sends its
//! requests from this machine too, and a name of that site may be made to point
//! here. So only a `Host` that is loopback itself is answered, and every answer
//! forbids to be framed, sniffed, cached or told to another site as a referrer. To none
//! at all would be too much: browsers then send `Origin: null` with the pages' own forms.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// Whether the request names loopback, by whatever port.
pub fn is_named(request: &Request) -> bool {
    host(request).is_some_and(|h| is_loopback(&h))
}

/// The host that the request names, without its port.
pub fn host(request: &Request) -> Option<String> {
    let named = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
    let host = named.and_then(|h| h.parse::<Authority>().ok()).or_else(|| request.uri().authority().cloned());
    host.map(|h| h.host().to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Adds the headers; `policy` is the content security policy.
pub fn harden(response: &mut Response, policy: &'static str) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        for good in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in ["bureau.example", "10.0.0.1", "localhost.example", "", "[::2]"] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
