//! A check-in as it is sent: a form with a photograph in it, from an app or a page.
//!
//! Promises: bounded in bytes and in time; the photograph stays in memory and is
//! overwritten when dropped; a part that nobody knows is refused.

use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use futures_util::StreamExt;
use zeroize::Zeroizing;

use crate::protocol::check_in::{PlaceSeen, Purpose};
use crate::protocol::id::CardholderId;

/// Largest photograph, in bytes.
pub const MOST_PHOTO: usize = 8 * 1024 * 1024;
/// What is read of a larger one, and not kept: a browser listens only once it has sent.
const MOST_READ: usize = 4 * MOST_PHOTO;
/// Largest other part, in bytes.
const MOST_TEXT: usize = 1024;
/// Within this all of it must have come.
const FORM_TIME: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who it is said to be.
    pub cardholder: CardholderId,
    /// What it is for.
    pub purpose: Purpose,
    /// Where.
    pub place: PlaceSeen,
}

/// A whole check-in.
pub struct Sent {
    /// What is asked.
    pub asked: Asked,
    /// JPEG or PNG, as it was sent.
    pub photo: Zeroizing<Vec<u8>>,
}

/// Why a form cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartsError {
    /// It is no form with parts, or broke off.
    Form(String),
    /// No page of this session has sent it.
    Foreign,
    /// The photograph is too large.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// A part is missing, unknown or not allowed.
    Part(&'static str, String),
}

impl Sent {
    /// Reads the form. `is_ours` is asked with the part `csrf` before the photograph is
    /// taken, with nothing if there was none.
    ///
    /// # Errors
    /// [`PartsError`]
    pub async fn read(request: Request, is_ours: impl Fn(Option<&str>) -> bool) -> Result<Self, PartsError> {
        let read = Reading::default().read(request, is_ours);
        tokio::time::timeout(FORM_TIME, read).await.unwrap_or(Err(PartsError::TooSlow))
    }
}

/// Lets somebody finish who is refused before anything is read, and keeps nothing of it: a
/// browser listens only once it has sent.
pub async fn pass_over(request: Request) {
    let mut rest = request.into_body().into_data_stream();
    let reading = async {
        let mut read = 0_usize;
        while let Some(Ok(more)) = rest.next().await {
            read = read.saturating_add(more.len());
            if read > MOST_READ {
                break;
            }
        }
    };
    // Whoever is too slow sees the connection end instead.
    let _ = tokio::time::timeout(FORM_TIME, reading).await;
}

/// The parts that came so far.
#[derive(Default)]
struct Reading {
    csrf: Option<String>,
    cardholder: Option<CardholderId>,
    purpose: Option<Purpose>,
    place: Option<PlaceSeen>,
    photo: Option<Zeroizing<Vec<u8>>>,
}

impl Reading {
    async fn read(
        mut self,
        mut request: Request,
        is_ours: impl Fn(Option<&str>) -> bool,
    ) -> Result<Sent, PartsError> {
        DefaultBodyLimit::max(MOST_READ).apply(&mut request);
        let mut form =
            Multipart::from_request(request, &()).await.map_err(|e| PartsError::Form(e.body_text()))?;
        while let Some(field) = form.next_field().await.map_err(|e| broken(&e))? {
            match field.name().unwrap_or_default() {
                "csrf" => self.csrf = Some(text("csrf", field).await?),
                "cardholder" => self.cardholder = Some(parsed("cardholder", field).await?),
                "purpose" => self.purpose = Some(parsed("purpose", field).await?),
                "place" => self.place = Some(parsed("place", field).await?),
                "photograph" if !is_ours(self.csrf.as_deref()) => return Err(PartsError::Foreign),
                "photograph" => self.photo = Some(photo(field).await?),
                other => {
                    let found: String = other.chars().take(40).collect();
                    let found = found.escape_debug();
                    let what = "allowed: cardholder, purpose, place and photograph, each once";
                    return Err(PartsError::Part("form", format!("found the part `{found}`; {what}")));
                }
            }
        }
        if !is_ours(self.csrf.as_deref()) {
            return Err(PartsError::Foreign);
        }
        let missing = |name| PartsError::Part(name, "found nothing; this part is needed".into());
        let asked = Asked {
            cardholder: self.cardholder.ok_or_else(|| missing("cardholder"))?,
            purpose: self.purpose.ok_or_else(|| missing("purpose"))?,
            place: self.place.ok_or_else(|| missing("place"))?,
        };
        let photo = self.photo.filter(|p| !p.is_empty()).ok_or_else(|| missing("photograph"))?;
        Ok(Sent { asked, photo })
    }
}

fn broken(e: &MultipartError) -> PartsError {
    match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => PartsError::TooLarge,
        _ => PartsError::Form(e.body_text()),
    }
}

async fn text(name: &'static str, mut field: Field<'_>) -> Result<String, PartsError> {
    let mut bytes = Vec::new();
    while let Some(more) = field.chunk().await.map_err(|e| broken(&e))? {
        if bytes.len() + more.len() > MOST_TEXT {
            return Err(PartsError::Part(name, format!("found more than {MOST_TEXT} bytes")));
        }
        bytes.extend_from_slice(&more);
    }
    String::from_utf8(bytes).map_err(|_| PartsError::Part(name, "found bytes that are no UTF-8".into()))
}

async fn parsed<T: std::str::FromStr>(name: &'static str, field: Field<'_>) -> Result<T, PartsError>
where
    T::Err: std::fmt::Display,
{
    let text = text(name, field).await?;
    text.trim().parse().map_err(|e: T::Err| PartsError::Part(name, e.to_string()))
}

async fn photo(mut field: Field<'_>) -> Result<Zeroizing<Vec<u8>>, PartsError> {
    let mut photo = Zeroizing::new(Vec::new());
    let mut too_large = false;
    while let Some(more) = field.chunk().await.map_err(|e| broken(&e))? {
        too_large |= photo.len() + more.len() > MOST_PHOTO;
        if !too_large {
            photo.extend_from_slice(&more);
        }
    }
    if too_large { Err(PartsError::TooLarge) } else { Ok(photo) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 4] = [
        ("cardholder", "P0001"),
        ("purpose", "ward_round"),
        ("place", "三病区 12 床"),
        ("photograph", "jpeg"),
    ];

    async fn sent(parts: &[(&str, &str)], token: Option<&str>) -> Result<Sent, PartsError> {
        let part = |(name, value): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body: String = parts.iter().map(part).chain(["--b--\r\n".to_owned()]).collect();
        let request = Request::post("/").header("content-type", "multipart/form-data; boundary=b");
        Sent::read(request.body(body.into()).unwrap(), |csrf| csrf == token).await
    }

    #[tokio::test]
    async fn whole_forms_are_read_and_others_say_what_is_missing() {
        let whole = sent(&WHOLE, None).await.ok().unwrap();
        assert_eq!((whole.asked.cardholder.as_str(), whole.photo.as_slice()), ("P0001", &b"jpeg"[..]));
        for (i, (name, _)) in WHOLE.iter().enumerate() {
            let mut parts = WHOLE.to_vec();
            parts.remove(i);
            let Err(PartsError::Part(about, _)) = sent(&parts, None).await else { panic!("{name}") };
            assert_eq!(about, *name);
        }
        for (name, value) in [("cardholder", "P 1"), ("purpose", "visit"), ("place", ""), ("gallery", "all")]
        {
            let mut parts = vec![(name, value)];
            parts.extend(WHOLE.into_iter().filter(|w| w.0 != name));
            assert!(matches!(sent(&parts, None).await, Err(PartsError::Part(..))), "{name}");
        }
        let large = "x".repeat(MOST_PHOTO + 1);
        let parts = [WHOLE[0], WHOLE[1], WHOLE[2], ("photograph", large.as_str())];
        assert_eq!(sent(&parts, None).await.err(), Some(PartsError::TooLarge));
    }

    #[tokio::test]
    async fn a_form_of_another_site_is_not_taken() {
        assert_eq!(sent(&WHOLE, Some("t")).await.err(), Some(PartsError::Foreign));
        let mut late = WHOLE.to_vec();
        late.push(("csrf", "t"));
        assert_eq!(sent(&late, Some("t")).await.err(), Some(PartsError::Foreign));
        let mut first = vec![("csrf", "t")];
        first.extend(WHOLE);
        assert!(sent(&first, Some("t")).await.is_ok());
    }
}
