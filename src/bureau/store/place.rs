//! Where the store is: one file, or a database on a PostgreSQL server.
//!
//! A password is never shown: what this writes for people and logs is scheme,
//! host and name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file; made when it is not there.
    File(PathBuf),
    /// A database of a PostgreSQL server; the database is there, its tables need not be.
    Server(Url),
}

/// A word that names no database.
#[derive(Debug, thiserror::Error)]
#[error("found `{found}`; expected {EXPECTED}")]
pub struct NoDatabase {
    found: String,
}

/// What can be named.
pub const EXPECTED: &str = "postgres://USER@HOST/NAME, or sqlite:FILE";

impl Database {
    /// Adds the password with which the server is asked; a file has none.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        match self {
            Self::Server(mut url) => {
                // As a parameter: a URL that names a socket has no host, and such takes none.
                url.query_pairs_mut().append_pair("password", password);
                Self::Server(url)
            }
            file @ Self::File(_) => file,
        }
    }

    /// Whether a password stands in it.
    pub fn has_password(&self) -> bool {
        let Self::Server(url) = self else { return false };
        url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password")
    }

    /// Whether what travels to it may be read or changed on the way: another machine,
    /// and no certificate of it is checked.
    pub fn is_exposed(&self) -> bool {
        let Self::Server(url) = self else { return false };
        // Each may stand there twice, and of a host there are two words.
        let values = |names: [&str; 2]| -> Vec<String> {
            let named = url.query_pairs().filter(|(key, _)| names.contains(&key.as_ref()));
            named.map(|(_, value)| value.into_owned()).collect()
        };
        let modes = values(["sslmode", "ssl-mode"]);
        if !modes.is_empty() && modes.iter().all(|mode| mode == "verify-full" || mode == "verify-ca") {
            return false;
        }
        let hosts = values(["host", "hostaddr"]);
        match hosts.is_empty() {
            true => !is_near(url.host_str().unwrap_or_default()),
            false => !hosts.iter().all(|host| is_near(host)),
        }
    }
}

/// Whether a host, or the folder of a socket, is on this machine.
fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.is_empty()
        || host.starts_with('/')
        || host.starts_with("%2F")
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

impl FromStr for Database {
    type Err = NoDatabase;

    fn from_str(text: &str) -> Result<Self, NoDatabase> {
        if let Some(file) = text.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            return match file.is_empty() {
                true => Err(NoDatabase { found: text.into() }),
                false => Ok(Self::File(file.into())),
            };
        }
        match Url::parse(text) {
            Ok(url) if ["postgres", "postgresql"].contains(&url.scheme()) => Ok(Self::Server(url)),
            Ok(url) => Err(NoDatabase { found: format!("{}:…", url.scheme()) }),
            Err(_) => Err(NoDatabase { found: text.chars().take(12).collect::<String>() + "…" }),
        }
    }
}

impl From<&Path> for Database {
    fn from(file: &Path) -> Self {
        Self::File(file.into())
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(url) => {
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Database {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_is_used_and_never_shown() {
        let plain = read("postgres://bureau@db.example:5433/alerts?sslmode=verify-full");
        assert!(!plain.has_password());
        let secret = plain.with_password("s3 cret&x=1");
        assert!(secret.has_password() && read("postgres://u:s3@h/d").has_password());
        for shown in [format!("{secret}"), format!("{secret:?}")] {
            assert_eq!(shown, "postgres://db.example:5433/alerts");
        }
        let Database::Server(url) = secret else { panic!() };
        assert!(url.query_pairs().any(|(k, v)| k == "password" && v == "s3 cret&x=1"));
        for wrong in ["mysql://u:s3cret@h/d", "/var/lib/b.db", "sqlite:", "postgres"] {
            let e = wrong.parse::<Database>().unwrap_err().to_string();
            assert!(e.contains(EXPECTED) && !e.contains("s3cret"), "{e}");
        }
        assert_eq!(read("sqlite:b.db"), Database::File("b.db".into()));
        assert_eq!(read("sqlite:///var/b.db"), Database::File("/var/b.db".into()));
    }

    #[test]
    fn another_machine_needs_a_certificate_that_is_checked() {
        for (url, exposed) in [
            ("postgres:///alerts?host=/run/postgresql", false),
            ("postgres://u@localhost/alerts", false),
            ("postgres://u@127.0.0.1/alerts", false),
            ("postgres://u@[::1]/alerts", false),
            ("postgres://u@db.example/alerts", true),
            ("postgres://u@localhost/alerts?host=db.example", true),
            ("postgres://u@localhost/alerts?hostaddr=192.0.2.1", true),
            ("postgres://u@localhost/alerts?host=localhost&host=db.example", true),
            ("postgres://u@db.example/alerts?sslmode=require", true),
            ("postgres://u@db.example/alerts?sslmode=verify-full&sslmode=disable", true),
            ("postgres://u@db.example/alerts?sslmode=verify-full", false),
        ] {
            assert_eq!(read(url).is_exposed(), exposed, "{url}");
        }
    }
}
