//! A form with a file in it (`multipart/form-data`, RFC 7578), with the session's
//! token checked as every form's is.
//!
//! Promises: bounded; any bytes are understood or refused; the file stays in memory.

use axum::extract::{FromRequest, Request};
use axum::http::header;

use super::failure::Failure;
use super::visitor::Visitor;
use crate::crypto::Sha256;

/// Largest file, in bytes.
pub(super) const MOST_FILE: usize = 8 * 1024 * 1024;
/// What may stand around it.
const MOST_ELSE: usize = 64 * 1024;
/// Longest head of a part.
const MOST_HEAD: usize = 4 * 1024;
/// Longest boundary (RFC 2046).
const MOST_BOUNDARY: usize = 70;

/// A file that somebody sent with a form of this console.
pub(super) struct Uploaded {
    /// Its bytes.
    pub(super) file: Vec<u8>,
}

impl<S: Send + Sync> FromRequest<S> for Uploaded {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| Failure::broken("a route without a gate"))?;
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        // What holds no token is nobody's form.
        let boundary = kind.and_then(boundary).ok_or_else(Failure::foreign_form)?;
        let bytes = axum::body::to_bytes(request.into_body(), MOST_FILE + MOST_ELSE)
            .await
            .map_err(|_| Failure::bad("upload-too-large"))?;
        let parts = parts(&bytes, &boundary).ok_or_else(Failure::foreign_form)?;
        let value = |name: &str| parts.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        let token = value("csrf").unwrap_or_default();
        if visitor.csrf.is_empty() || Sha256::of(token) != Sha256::of(visitor.csrf.as_bytes()) {
            return Err(Failure::foreign_form());
        }
        let file = value("file").filter(|f| !f.is_empty()).ok_or_else(|| Failure::bad("upload-no-file"))?;
        if file.len() > MOST_FILE {
            return Err(Failure::bad("upload-too-large"));
        }
        Ok(Self { file: file.to_vec() })
    }
}

/// The boundary that a content type names.
fn boundary(kind: &str) -> Option<String> {
    let (form, rest) = kind.split_once(';')?;
    let named = rest.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?;
    let named = named.trim_matches('"');
    let fits = (1..=MOST_BOUNDARY).contains(&named.len()) && named.bytes().all(|b| b.is_ascii_graphic());
    (form.trim().eq_ignore_ascii_case("multipart/form-data") && fits).then(|| named.to_owned())
}

/// The parts of a form with their names; nothing if it is no such form.
fn parts<'b>(bytes: &'b [u8], boundary: &str) -> Option<Vec<(String, &'b [u8])>> {
    let between = format!("\r\n--{boundary}");
    let mut rest = bytes.strip_prefix(between.as_bytes().get(2..)?)?;
    let mut out = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(out);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let head = find(rest.get(..rest.len().min(MOST_HEAD))?, b"\r\n\r\n")?;
        let name = name(std::str::from_utf8(rest.get(..head)?).ok()?)?;
        rest = rest.get(head + 4..)?;
        let end = find(rest, between.as_bytes())?;
        out.push((name, rest.get(..end)?));
        rest = rest.get(end + between.len()..)?;
    }
}

/// The name of a part, from its head.
fn name(head: &str) -> Option<String> {
    let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let at = line.find("; name=\"")?;
    line.get(at + 8..)?.split('"').next().map(str::to_owned)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(csrf: &str, file: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "--B\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n--B\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n"
        )
        .into_bytes();
        out.extend(file);
        out.extend(b"\r\n--B--\r\n");
        out
    }

    #[test]
    fn a_form_of_a_browser_is_understood() {
        assert_eq!(
            boundary("multipart/form-data; boundary=----WebKitFormBoundaryx").unwrap(),
            "----WebKitFormBoundaryx"
        );
        assert_eq!(boundary("application/x-www-form-urlencoded"), None);
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "b".repeat(71))), None);
        let bytes = form("t0ken", b"a,b\r\n1,2\r\n");
        let found = parts(&bytes, "B").unwrap();
        assert_eq!(found, [("csrf".to_owned(), &b"t0ken"[..]), ("file".to_owned(), &b"a,b\r\n1,2\r\n"[..])]);
        assert_eq!(parts(&bytes[..bytes.len() - 6], "B"), None);
        assert_eq!(parts(b"", "B"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), file in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parts(&bytes, "B");
            let sent = form("x", &file);
            if find(&file, b"\r\n--B").is_none() {
                let found = parts(&sent, "B").unwrap();
                prop_assert_eq!(found[1].1, &file[..]);
            }
        }
    }
}
