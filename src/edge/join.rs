//! `counterproof join`: this box gets on record at the bureau by a one-time code.
//!
//! Promises: the code's secret goes to nobody but the server whose certificate the
//! code names; a private key leaves the box never; nothing is overwritten but a
//! certificate of an earlier joining. It writes no configuration: it prints what
//! belongs into one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use url::Url;
use zeroize::Zeroizing;

use super::delivery::chain;
use crate::crypto::authority::Point;
use crate::crypto::keys::{self, KeyError, make_keys, read_signing_key};
use crate::crypto::tls::pinned_client;
use crate::http::problem::Problem;
use crate::protocol::SIGNATURE_HEADER;
use crate::protocol::id::AgentId;
use crate::protocol::join::{JOIN_PATH, JoinAnswer, JoinCode, JoinRequest, NotACode, Tls};

/// Longest answer that is read, in bytes.
const MOST: usize = 256 * 1024;
/// The files that joining writes, beside the keys.
const CERTIFICATE: &str = "box.pem";
const BUREAU_CA: &str = "bureau-ca.pem";

/// What is asked for.
pub struct Asked {
    /// Where the bureau hears who joins: `https://host:port`.
    pub bureau: String,
    /// The code, or the place of a file with it.
    pub code: Zeroizing<String>,
    /// The folder of the keys; they are made where there are none.
    pub keys: PathBuf,
    /// A certificate that another authority made.
    pub certificate: Option<PathBuf>,
}

/// Why the box did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The code is none.
    #[error("--code: {0}")]
    Code(#[from] NotACode),
    /// The address is none.
    #[error("--bureau: found `{0}`; allowed: https://host:port without a path")]
    Address(String),
    /// A key is missing, exposed or something else.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bureau did not answer.
    #[error("{bureau}: {what}: the code stays good")]
    Unreached {
        /// Whom was asked.
        bureau: String,
        /// What came of it.
        what: String,
    },
    /// The bureau refused.
    #[error("the bureau refused ({status}): {what}")]
    Refused {
        /// Its status.
        status: u16,
        /// In its words.
        what: String,
    },
}

/// Joins; what was done and what to write where, in words.
///
/// # Errors
/// [`JoinError`]
pub fn run(asked: &Asked) -> Result<String, JoinError> {
    let code: JoinCode = asked.code.parse()?;
    let base = address(&asked.bureau)?;
    let made = first_keys(&asked.keys)?;
    let at = |file: &str| asked.keys.join(file).to_string_lossy().into_owned();
    let signer = read_signing_key(&at("signing.key"))?;
    let tls = match &asked.certificate {
        Some(path) => Tls::Certificate(
            fs::read_to_string(path).map_err(|source| JoinError::Io { path: path.clone(), source })?,
        ),
        None => Tls::Key(Point::of_key(&at("tls.key"))?.to_base64()),
    };
    let request = JoinRequest {
        secret: code.secret(),
        public_key: signer.public(),
        tls,
        agent_version: env!("CARGO_PKG_VERSION").into(),
    };
    let unreached = |what: String| JoinError::Unreached { bureau: asked.bureau.clone(), what };
    let body = Zeroizing::new(serde_json::to_vec(&request).map_err(|e| unreached(e.to_string()))?);
    let signature = signer.sign(&body).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| unreached(e.to_string()))?;
    let answer = runtime.block_on(send(&base, &code, &body, &signature)).map_err(|e| match e {
        Sent::Unreached(what) => unreached(what),
        Sent::Refused(status, what) => JoinError::Refused { status, what },
    })?;
    keep(&asked.keys, &answer)?;
    Ok(told(asked, &base, &answer, &made))
}

fn address(text: &str) -> Result<Url, JoinError> {
    let bad = || JoinError::Address(text.chars().take(200).collect());
    let url: Url = text.parse().map_err(|_| bad())?;
    let plain =
        url.scheme() == "https" && url.path() == "/" && url.query().is_none() && url.username().is_empty();
    if plain && url.host_str().is_some() { Ok(url) } else { Err(bad()) }
}

/// Makes the keys where there are none; what was written.
fn first_keys(dir: &Path) -> Result<Vec<PathBuf>, KeyError> {
    if dir.join("signing.key").exists() {
        return Ok(Vec::new());
    }
    // The bureau names the box; the request for a certificate is not used here.
    Ok(make_keys(dir, "box")?.files)
}

enum Sent {
    Unreached(String),
    Refused(u16, String),
}

async fn send(base: &Url, code: &JoinCode, body: &[u8], signature: &str) -> Result<JoinAnswer, Sent> {
    let tls = pinned_client(code.pin()).map_err(|e| Sent::Unreached(e.to_string()))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(|e| Sent::Unreached(chain(&e)))?;
    let url = base.join(JOIN_PATH).map_err(|e| Sent::Unreached(e.to_string()))?;
    let sent = client.post(url).header(SIGNATURE_HEADER, signature).body(body.to_vec()).send().await;
    let mut answer = sent.map_err(|e| Sent::Unreached(chain(&e.without_url())))?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| Sent::Unreached(chain(&e.without_url())))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST {
            return Err(Sent::Unreached(format!("the answer is longer than {MOST} bytes")));
        }
    }
    if status != StatusCode::OK {
        let problem = serde_json::from_slice::<Problem>(&bytes).map(|p| p.detail);
        return Err(Sent::Refused(status.as_u16(), problem.unwrap_or_else(|_| "no reason was given".into())));
    }
    serde_json::from_slice(&bytes).map_err(|e| Sent::Unreached(format!("the answer is not understood: {e}")))
}

/// Writes the certificates beside the keys.
fn keep(dir: &Path, answer: &JoinAnswer) -> Result<(), JoinError> {
    let write = |file: &str, text: &str| {
        let (path, part) = (dir.join(file), dir.join(format!("{file}.part")));
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|source| JoinError::Io { path, source })
    };
    if let Some(certificate) = &answer.certificate {
        write(CERTIFICATE, certificate)?;
    }
    write(BUREAU_CA, &answer.ca)
}

fn told(asked: &Asked, base: &Url, answer: &JoinAnswer, made: &[PathBuf]) -> String {
    let by_host = || format!("https://{}:{}", base.host_str().unwrap_or_default(), answer.port);
    let url = answer.url.clone().unwrap_or_else(by_host);
    let at = |file: &str| asked.keys.join(file).display().to_string();
    let certificate = match (&asked.certificate, &answer.certificate) {
        (Some(own), _) => own.display().to_string(),
        _ => at(CERTIFICATE),
    };
    let wrote: String = made.iter().map(|f| format!("wrote {}\n", f.display())).collect();
    let name: &AgentId = &answer.agent;
    format!(
        "{wrote}this box is on record as {name} of hospital {hospital}\n\
         write into its configuration, or answer `counterproof init` with it:\n\n\
         [agent]\nname = \"{name}\"\nhospital = \"{hospital}\"\n\
         [bureau]\nurl = \"{url}\"\npublic_key = \"{key}\"\n\
         [bureau.tls]\nca = \"{ca}\"\ncertificate = \"{certificate}\"\nkey = \"{tls}\"\n\n\
         then `counterproof check`; the box begins in shadow, whatever it was before\n",
        hospital = answer.hospital,
        key = answer.bureau_key.to_base64(),
        ca = at(BUREAU_CA),
        tls = at("tls.key"),
    )
}

/// The code: a line, or the place of a secret file with it (`@PLACE`).
///
/// # Errors
/// If the file is missing or exposed.
pub fn code_of(text: &str) -> Result<Zeroizing<String>, KeyError> {
    match text.strip_prefix('@') {
        Some(place) => keys::read_password(place),
        None => Ok(Zeroizing::new(text.to_owned())),
    }
}
