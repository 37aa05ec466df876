//! A form with a file in it, with the session's token checked as every form's is.
//!
//! Promises: bounded; the token is looked at before the file is taken; the file stays
//! in memory.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;

use super::failure::Failure;
use super::visitor::Visitor;

/// Largest file, in bytes.
pub(super) const MOST_FILE: usize = 8 * 1024 * 1024;
/// What is read of a larger one, and not kept: a browser listens only once it has sent.
const MOST_READ: usize = 8 * MOST_FILE;

/// A file that somebody sent with a form of this console.
pub(super) struct Uploaded {
    /// Its bytes.
    pub(super) file: Vec<u8>,
}

impl<S: Send + Sync> FromRequest<S> for Uploaded {
    type Rejection = Failure;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Failure> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| Failure::broken("a route without a gate"))?;
        DefaultBodyLimit::max(MOST_READ).apply(&mut request);
        // What holds no token is nobody's form.
        let mut form = Multipart::from_request(request, state).await.map_err(|_| Failure::foreign_form())?;
        let mut sent_from_here = false;
        while let Some(field) = form.next_field().await.map_err(|e| refused(&e))? {
            match field.name() {
                Some("csrf") => {
                    let token = field.text().await.map_err(|e| refused(&e))?;
                    sent_from_here = visitor.sent(&token);
                }
                Some("file") if sent_from_here => return Ok(Self { file: file(field).await? }),
                _ => break,
            }
        }
        Err(if sent_from_here { Failure::bad("upload-no-file") } else { Failure::foreign_form() })
    }
}

/// The bytes of a file.
async fn file(mut field: Field<'_>) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    while let Some(more) = field.chunk().await.map_err(|e| refused(&e))? {
        if file.len() <= MOST_FILE {
            file.extend_from_slice(&more);
        }
    }
    match file.len() {
        0 => Err(Failure::bad("upload-no-file")),
        1..=MOST_FILE => Ok(file),
        _ => Err(Failure::bad("upload-too-large")),
    }
}

fn refused(e: &MultipartError) -> Failure {
    match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::bad("upload-too-large"),
        _ => Failure::foreign_form(),
    }
}
