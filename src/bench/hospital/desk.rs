//! Somebody at the bureau's console: an account of the throw-away bureau, and a
//! session that is begun when it is first needed.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::Hospital;

const NAME: &str = "demonstration";
const PASSWORD: &str = "of a throw-away bureau";

/// The cookie of the session, once there is one.
#[derive(Default)]
pub(super) struct Desk(OnceCell<String>);

impl Hospital {
    /// JSON from the bureau's console, for somebody with every role.
    ///
    /// # Errors
    /// If the bureau cannot be reached, or the answer is no JSON.
    pub async fn console(&self, path: &str) -> io::Result<Value> {
        let cookie = self.desk.0.get_or_try_init(|| self.sign_in()).await?;
        let get = self.client.get(format!("{}{path}", self.console)).header("cookie", cookie);
        get.send().await.map_err(io::Error::other)?.json().await.map_err(io::Error::other)
    }

    async fn sign_in(&self) -> io::Result<String> {
        let file = self.dir.join("console.password");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&file)?.write_all(PASSWORD.as_bytes())?;
        let mut words = vec!["accounts", "add", NAME];
        for role in ["reviewer", "supervisor", "privacy_officer", "administrator"] {
            words.extend(["--role", role]);
        }
        let path = file.to_string_lossy();
        words.extend(["--password-file", &path]);
        // A folder that was copied has the account already.
        if let Err(e) = self.bureau_command(&words)
            && !e.to_string().contains("already")
        {
            return Err(e);
        }
        crate::bench::sign_in(&self.console, NAME, PASSWORD).await
    }
}
