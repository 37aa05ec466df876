//! `counterproof policy`: the policy for people and machines, its notice, and
//! what the bureau declared for this box.
//!
//! Reads the configuration alone; only [`diff`] opens a connection, with the
//! box's own certificate, and asks. Nothing is changed anywhere.

use std::path::Path;

use reqwest::StatusCode;

use super::agent::{AgentError, bureau_client, today};
use super::config::{Config, Effective};
use super::delivery::chain;
use crate::privacy::compare::{self, Difference};
use crate::privacy::{notice, page};
use crate::protocol::POLICY_PATH;
use crate::protocol::policy::{MAX_BYTES, PolicyDocument, PolicyDocumentError};
use crate::settings::{self, Problem, SettingsError};

/// The policy in force: a page, or one line of JSON with its digest.
///
/// # Errors
/// Everything that keeps the agent from starting with this configuration.
pub fn show(config: &Path, json: bool) -> Result<String, SettingsError> {
    let Effective { policy, warnings, .. } = Config::read(config, today())?;
    if json {
        return Ok(format!("{}\n", policy.document()));
    }
    let warnings: String = warnings.iter().map(|w| format!("\nWARNING: {w}\n")).collect();
    Ok(format!("{}{warnings}", page::page(&policy)))
}

/// The notice, and what to do with it.
pub struct ToPost {
    /// Text, or a page for printing.
    pub notice: String,
    /// For standard error.
    pub advice: String,
}

/// Which notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// That at the settlement windows.
    Windows,
    /// That at dialysis rooms' entrances.
    Entrance,
}

/// How a notice is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As plain text.
    Text,
    /// As a page for printing.
    Page,
}

/// The notice that the configuration's policy makes, whether or not one was
/// posted already.
///
/// # Errors
/// Every complaint but those about the notice's digest and date.
pub fn notice(config: &Path, of: Notice, form: Form) -> Result<ToPost, SettingsError> {
    let policy = Config::read_draft(config, today())?;
    let windows = || (notice::of(&policy), &policy.notice, "privacy.notice");
    let (printed, posted, section) = match (of, notice::of_entrance(&policy), &policy.entrance) {
        (Notice::Entrance, Some(printed), Some(entrance)) => {
            (printed, &entrance.notice, "privacy.entrance.notice")
        }
        (Notice::Entrance, ..) => {
            let advice = "Leave --entrance out for the notice at the windows.";
            let allowed = "a counter with kind = \"dialysis-entrance\"";
            let problem = Problem::new("counters", "no entrance", allowed, advice);
            return Err(settings::refuse(config, &settings::text(config)?, vec![problem]));
        }
        (Notice::Windows, ..) => windows(),
    };
    let digest = posted.sha256;
    Ok(ToPost {
        notice: match form {
            Form::Page => printed.html(),
            Form::Text => printed.text(),
        },
        advice: format!(
            "SHA-256 of the notice's text: {digest}\n\
             Post the notice at: {}\n\
             Then write into {}:\n\
             [{section}]\n\
             sha256 = \"{digest}\"\n\
             posted_on = \"(the day it was posted)\"\n",
            posted.place,
            config.display()
        ),
    })
}

/// Why nobody can say whether box and bureau agree.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    /// The configuration is refused.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The connection cannot be made.
    #[error(transparent)]
    Client(#[from] AgentError),
    /// The bureau did not answer, or not with a policy.
    #[error("{url}: {what}")]
    Bureau {
        /// Whom was asked.
        url: String,
        /// What came of it.
        what: String,
    },
    /// What it answered is not a policy.
    #[error("the bureau's answer is not understood: {0}")]
    Answer(#[from] PolicyDocumentError),
}

/// What the bureau declared, compared with what is in force here.
pub struct Compared {
    /// The box's policy.
    pub at_box: PolicyDocument,
    /// What the bureau declared.
    pub declared: PolicyDocument,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

impl Compared {
    /// Whether both are the same document.
    pub fn same(&self) -> bool {
        self.at_box.digest == self.declared.digest
    }

    /// For people.
    pub fn report(&self) -> String {
        if self.same() {
            return format!("the same: {}\n", self.at_box.digest);
        }
        format!(
            "at the box:         {}\nbureau's declared:  {}\n\n{}",
            self.at_box.digest,
            self.declared.digest,
            compare::table(&self.differences)
        )
    }
}

/// Asks the bureau what it declared for this box.
///
/// # Errors
/// [`NotTold`], if that cannot be learnt.
pub fn diff(path: &Path) -> Result<Compared, NotTold> {
    let Effective { config, policy, .. } = Config::read(path, today())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let declared = runtime.map_err(AgentError::from)?.block_on(declared(&config))?;
    let at_box = policy.document();
    let differences = compare::differences(&at_box.policy, &declared.policy);
    Ok(Compared { at_box, declared, differences })
}

async fn declared(config: &Config) -> Result<PolicyDocument, NotTold> {
    let url = format!("{}{POLICY_PATH}", config.bureau.url);
    let failed = |what: String| NotTold::Bureau { url: url.clone(), what };
    let mut answer =
        bureau_client(config)?.get(&url).send().await.map_err(|e| failed(chain(&e.without_url())))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            let name = &config.agent.name;
            return Err(failed(format!(
                "the bureau declared no policy for this box; there, `counterproof-bureau agents declare --config F {name} --policy FILE` does, with FILE as `counterproof policy show --json` prints it"
            )));
        }
        other => return Err(failed(format!("the bureau answered {other}"))),
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| failed(chain(&e.without_url())))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(failed(format!("the answer is longer than {MAX_BYTES} bytes")));
        }
    }
    Ok(PolicyDocument::read(&body)?)
}
