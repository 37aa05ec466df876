//! The bureau's configuration: one TOML file, read strictly.
//!
//! A relative path in it is relative to the folder of the file, so that a
//! folder can be moved whole. Secrets are named, never written in it. What it
//! does not do: open any of the files it names; whoever uses one complains of
//! it by name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::http::uri::Authority;
use serde::Deserialize;

use super::BureauError;
use super::accounts::LocalSignIn;
use super::accounts::oidc::OidcConfig;
use super::cases::config::{CalendarYear, CasesConfig, calendar_problems};
use super::check_ins::config::CheckInsConfig;
use super::figures::settings::FiguresConfig;
use super::retention::Retention;
use super::review::ReviewConfig;
use super::rights::RightsConfig;
use super::store::{Database, EXPECTED};
use crate::crypto::keys::{read_password, resolve};
use crate::crypto::tls::{ServerFiles, TlsFiles};
use crate::http::metrics::Listen;
use crate::settings::{self, Problem, SettingsError, Validate};
use crate::vision::Wanted;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where boxes are heard.
    pub server: ServerConfig,
    /// Where boxes join; without it none can.
    pub join: Option<JoinConfig>,
    /// With what it signs.
    pub keys: KeysConfig,
    /// Where people look.
    #[serde(default)]
    pub console: ConsoleConfig,
    /// The bureau's own single sign-on; without it, local accounts alone.
    pub oidc: Option<OidcConfig>,
    /// Where things are kept.
    pub store: StoreConfig,
    /// Where metrics are read; without it none are recorded.
    pub metrics: Option<Listen>,
    /// How references are handed out.
    #[serde(default)]
    pub references: ReferencesConfig,
    /// How long things are kept.
    #[serde(default)]
    pub retention: Retention,
    /// What statistics are judged by.
    #[serde(default)]
    pub figures: FiguresConfig,
    /// By when requests about people's own data are answered.
    #[serde(default)]
    pub rights: RightsConfig,
    /// With which models references are made.
    #[serde(default)]
    pub models: ModelsConfig,
    /// When answers about alerts are due.
    #[serde(default)]
    pub review: ReviewConfig,
    /// How cases are handled.
    #[serde(default)]
    pub cases: CasesConfig,
    /// Which days are worked, by year.
    #[serde(default)]
    pub calendar: Vec<CalendarYear>,
    /// Photographs from telephones; without it none are taken.
    pub check_ins: Option<CheckInsConfig>,
    /// The file that this was read from.
    #[serde(skip)]
    pub file: PathBuf,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address for boxes; TLS with certificates both ways.
    #[serde(default = "agents_address")]
    pub listen: SocketAddr,
    /// Certificates and key.
    pub tls: TlsFiles,
}

/// `[join]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinConfig {
    /// Address for boxes that have no certificate yet; TLS, with the bureau's own.
    pub listen: SocketAddr,
    /// Key of the authority that makes boxes' certificates, as `join-authority`
    /// made it: a path or `credential:NAME`. Without it a box brings a certificate.
    pub authority_key: Option<String>,
    /// The authority that boxes are to trust for the bureau's own certificate
    /// (PEM); `server.tls.ca` if left out.
    pub trust: Option<PathBuf>,
    /// Where boxes reach `server.listen`: `https://host:port`. If left out they
    /// take the host by which they joined.
    pub url: Option<String>,
}

/// `[keys]`: paths of files with mode 0600, or `credential:NAME`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// Countersigns audit heads, signs receipts and bundles.
    pub signing: String,
}

/// `[console]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// Address for people; without TLS loopback only.
    pub listen: SocketAddr,
    /// Certificate and key; without them plain HTTP.
    pub tls: Option<ServerFiles>,
    /// The names by which it is reached over TLS, the first of them told to single
    /// sign-on; requests that name another are refused.
    pub names: Vec<String>,
    /// Who may sign in with a password.
    pub local_sign_in: LocalSignIn,
    /// A session ends after so long without a request.
    pub session_idle_minutes: u32,
    /// A session ends so long after signing in.
    pub session_hours: u32,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The SQLite file; made when it is not there. Either this or `database`.
    pub path: Option<PathBuf>,
    /// A PostgreSQL database as a URL without password.
    pub database: Option<String>,
    /// The password for it: a path or `credential:NAME`.
    pub password: Option<String>,
    /// The root key: a path or `credential:NAME`.
    pub root_key: String,
}

/// `[references]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReferencesConfig {
    /// How many fetches one box may make in a minute.
    pub per_agent_per_minute: u32,
}

/// `[models]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// The manifest of the models.
    pub manifest: PathBuf,
    /// Id of the detector in it.
    pub detector: String,
    /// Id of the recognizer in it.
    pub recognizer: String,
}

fn agents_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8743))
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8744)),
            tls: None,
            names: Vec::new(),
            local_sign_in: LocalSignIn::Everyone,
            session_idle_minutes: 30,
            session_hours: 12,
        }
    }
}

impl Default for ReferencesConfig {
    fn default() -> Self {
        Self { per_agent_per_minute: 120 }
    }
}

impl Default for ModelsConfig {
    fn default() -> Self {
        let Wanted { detector, recognizer, .. } = Wanted::default();
        Self { manifest: "models/models.toml".into(), detector, recognizer }
    }
}

impl StoreConfig {
    /// The database, with its password.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub fn place(&self) -> Result<Database, BureauError> {
        let named = match (&self.path, &self.database) {
            (Some(path), None) => Database::File(path.clone()),
            (_, named) => named.as_deref().unwrap_or_default().parse()?,
        };
        let Some(place) = &self.password else { return Ok(named) };
        Ok(named.with_password(&read_password(place)?))
    }

    /// Another database than the one that the file names.
    pub fn set(&mut self, database: String) {
        (self.path, self.database) = (None, Some(database));
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = |key: &str, found: &str, allowed: &str, advice: &str| {
            vec![Problem::new(&format!("store.{key}"), found, allowed, advice)]
        };
        let Some(database) = &self.database else {
            return match (&self.path, &self.password) {
                (Some(_), None) => Vec::new(),
                (None, _) => {
                    problem("path", "nothing", "a file, or store.database", "Where shall it be kept?")
                }
                (Some(_), Some(_)) => {
                    problem("password", "one", "none beside store.path", "A SQLite file has no password.")
                }
            };
        };
        let shown = |at: &Database| at.to_string();
        match database.parse::<Database>() {
            Err(e) => {
                problem("database", &e.to_string(), EXPECTED, "A file can also be named as store.path.")
            }
            Ok(_) if self.path.is_some() => {
                problem("database", "one beside store.path", "one of the two", "Leave the other out.")
            }
            Ok(at) if at.has_password() => problem(
                "database",
                &format!("{} with a password", shown(&at)),
                "no password in it",
                "Write it into a file with mode 0600, and name that as store.password.",
            ),
            Ok(at) if at.is_exposed() => problem(
                "database",
                &format!("{} without sslmode=verify-full", shown(&at)),
                "?sslmode=verify-full&sslrootcert=FILE for another machine",
                "Else whoever sits between the two reads and changes what is stored.",
            ),
            Ok(_) => Vec::new(),
        }
    }
}

/// Most fetches a minute that may be allowed to one box.
const MAX_FETCHES_PER_MINUTE: u32 = 6000;

impl ConsoleConfig {
    /// The console's own address, by its first name; `bound` is where it listens.
    pub(super) fn origin(&self, bound: SocketAddr) -> String {
        match (self.names.first(), bound.port()) {
            (Some(name), 443) => format!("https://{name}"),
            (Some(name), port) => format!("https://{name}:{port}"),
            (None, _) => format!("http://{bound}"),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            problems.push(Problem::new(
                "console.listen",
                self.listen,
                "a loopback address, such as 127.0.0.1:8744, or any with [console.tls]",
                "Passwords would cross the network in the clear. Give it a certificate, \
                 or reach it from elsewhere through an SSH tunnel.",
            ));
        }
        let is_name = |n: &String| n.parse::<Authority>().is_ok_and(|a| a.host() == n && !n.contains('@'));
        let bad = self.names.iter().find(|n| !is_name(n)).cloned();
        let missing = self.tls.is_some() && self.names.is_empty();
        let idle = self.tls.is_none() && !self.names.is_empty();
        if let Some(found) = bad.or_else(|| (missing || idle).then(|| format!("{:?}", self.names))) {
            let advice = "Requests that name another host are refused, so that no other site's page \
                          reaches the console by a name of its own. Without TLS it is loopback.";
            let allowed =
                "host names or addresses without scheme and port, with [console.tls] and not without";
            problems.push(Problem::new("console.names", found, allowed, advice));
        }
        for (key, found, most) in [
            ("console.session_idle_minutes", self.session_idle_minutes, 8 * 60),
            ("console.session_hours", self.session_hours, 24),
        ] {
            if !(1..=most).contains(&found) {
                let advice = "A session that is left open at a desk is somebody else's.";
                problems.push(Problem::new(key, found, format!("1 to {most}"), advice));
            }
        }
        problems
    }
}

impl Validate for Config {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.retention.problems();
        problems.extend(self.store.problems());
        problems.extend(self.figures.problems());
        problems.extend(self.cases.problems());
        problems.extend(calendar_problems(&self.calendar));
        problems.extend(self.review.problems());
        problems.extend(self.console.problems());
        problems.extend(self.oidc.as_ref().map(OidcConfig::problems).unwrap_or_default());
        if self.console.local_sign_in == LocalSignIn::Administrators && self.oidc.is_none() {
            let advice = "Nobody but administrators could sign in. Configure [oidc] first.";
            problems.push(Problem::new("console.local_sign_in", "administrators", "everyone", advice));
        }
        problems.extend(self.metrics.as_ref().and_then(Listen::problem));
        problems.extend(self.rights.problem());
        problems.extend(self.check_ins.iter().flat_map(CheckInsConfig::problems));
        if let Some(url) = self.join.as_ref().and_then(|j| j.url.as_ref())
            && (!url.starts_with("https://") || url.ends_with('/'))
        {
            problems.push(Problem::new(
                "join.url",
                format!("`{url}`"),
                "https://host:port without a path",
                "Boxes write it into their configuration as bureau.url.",
            ));
        }
        let fetches = self.references.per_agent_per_minute;
        if !(1..=MAX_FETCHES_PER_MINUTE).contains(&fetches) {
            problems.push(Problem::new(
                "references.per_agent_per_minute",
                fetches,
                format!("1 to {MAX_FETCHES_PER_MINUTE}"),
                "A settlement fetches once per person; take the box's busiest minute twice over.",
            ));
        }
        problems
    }
}

impl Config {
    /// Reads and checks the file, and makes its relative paths absolute.
    ///
    /// # Errors
    /// [`SettingsError`] with every complaint.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let mut config: Self = settings::read(path)?;
        path.clone_into(&mut config.file);
        let dir = path.parent().unwrap_or(Path::new(""));
        if let Some(check_ins) = &mut config.check_ins {
            check_ins.resolve(dir);
        }
        let tls = &mut config.server.tls;
        let files = [&mut tls.ca, &mut tls.certificate, &mut config.models.manifest];
        for file in files.into_iter().chain(&mut config.store.path) {
            *file = dir.join(&file);
        }
        if let Some(tls) = &mut config.console.tls {
            tls.certificate = dir.join(&tls.certificate);
            resolve(&mut tls.key, dir);
        }
        if let Some(oidc) = &mut config.oidc {
            oidc.ca = dir.join(&oidc.ca);
            resolve(&mut oidc.client_secret, dir);
        }
        let secrets = [&mut config.store.root_key, &mut tls.key, &mut config.keys.signing];
        let join = config.join.as_mut();
        let (trust, authority) =
            join.map(|j| (j.trust.as_mut(), j.authority_key.as_mut())).unwrap_or_default();
        if let Some(trust) = trust {
            *trust = dir.join(&trust);
        }
        for secret in secrets.into_iter().chain(authority).chain(&mut config.store.password) {
            resolve(secret, dir);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[server.tls]\nca = 'ca.pem'\ncertificate = 'b.pem'\nkey = 'b.key'\n\
                         [store]\npath = 'b.db'\nroot_key = 'credential:root'\n\
                         [keys]\nsigning = 'signing.key'\n";

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bureau.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn the_example_is_read_and_paths_hang_on_its_folder() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bureau.example.toml");
        let config = Config::read(&example).unwrap();
        assert!(config.server.tls.ca.is_absolute());
        let least = read(LEAST).unwrap();
        assert_eq!(least.store.root_key, "credential:root");
        assert!(least.keys.signing.ends_with("/signing.key"));
        assert!(least.server.tls.key.ends_with("/b.key") && least.store.path.unwrap().is_absolute());
        assert_eq!(least.retention.open_alerts_days, 180);
    }

    #[test]
    fn a_database_is_named_without_its_password_and_reached_without_being_overheard() {
        let with = |lines: &str| read(&LEAST.replace("path = 'b.db'", lines));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "s3cret\n").unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let password = format!("password = '{}'", file.display());
        let near = with(&format!("database = 'postgres://bureau@localhost/alerts'\n{password}")).unwrap();
        let place = near.store.place().unwrap();
        assert!(place.has_password() && place.to_string() == "postgres://localhost/alerts", "{place}");
        for (lines, key, word) in [
            ("", "store.path", "nothing"),
            ("path = 'b.db'\ndatabase = 'postgres://localhost/d'", "store.database", "one of the two"),
            ("path = 'b.db'\npassword = 'p'", "store.password", "SQLite"),
            ("database = 'mysql://localhost/d'", "store.database", "postgres://"),
            ("database = 'postgres://u:s3cret@localhost/d'", "store.database", "store.password"),
            ("database = 'postgres://u@localhost/d?password=s3cret'", "store.database", "store.password"),
            ("database = 'postgres://u@db.example/d'", "store.database", "sslmode=verify-full"),
        ] {
            let e = with(lines).unwrap_err();
            assert!(e.contains(key) && e.contains(word) && !e.contains("s3cret"), "{e}");
        }
    }

    #[test]
    fn a_bureau_without_a_signing_key_is_refused() {
        let e = read(LEAST.split("[keys]").next().unwrap()).unwrap_err();
        assert!(e.contains("missing field `keys`"), "{e}");
    }

    #[test]
    fn a_console_that_others_can_reach_is_refused() {
        let e = read(&format!("{LEAST}[console]\nlisten = '0.0.0.0:8744'\n")).unwrap_err();
        assert!(e.contains("bureau.toml:11: console.listen: found 0.0.0.0:8744"), "{e}");
        assert!(e.contains("loopback"), "{e}");
    }

    #[test]
    fn a_console_with_a_certificate_says_by_which_names_it_is_reached() {
        const TLS: &str = "[console.tls]\ncertificate = 'c.pem'\nkey = 'c.key'\n";
        let with = |console: &str, rest: &str| read(&format!("{LEAST}[console]\n{console}\n{rest}"));
        let config = with("listen = '0.0.0.0:8744'\nnames = ['bureau.example', '10.0.0.1']", TLS).unwrap();
        let tls = config.console.tls.unwrap();
        assert!(tls.certificate.is_absolute() && tls.key.ends_with("/c.key"));
        for (console, rest) in [
            ("listen = '0.0.0.0:8744'", TLS),
            ("names = ['bureau.example']", ""),
            ("names = ['https://bureau.example']", TLS),
            ("names = ['bureau.example:8744']", TLS),
            ("names = ['a@bureau.example']", TLS),
        ] {
            let e = with(console, rest).unwrap_err();
            assert!(e.contains("console.names: found"), "{console}: {e}");
        }
    }

    #[test]
    fn passwords_for_administrators_alone_need_single_sign_on() {
        let oidc = "[oidc]\nissuer = 'https://sso.example'\nclient_id = 'bureau'\nclient_secret = 'credential:oidc'\n\
                    ca = 'sso.pem'\nroles = { desk = 'reviewer' }\n";
        let console = "[console]\nlocal_sign_in = 'administrators'\n";
        let e = read(&format!("{LEAST}{console}")).unwrap_err();
        assert!(e.contains("console.local_sign_in: found administrators"), "{e}");
        assert!(read(&format!("{LEAST}{console}{oidc}")).unwrap().oidc.unwrap().ca.is_absolute());
        let with_slash = oidc.replace("sso.example'", "sso.example/'");
        let issuer = read(&format!("{LEAST}{with_slash}")).unwrap().oidc.unwrap().issuer;
        assert_eq!(issuer, "https://sso.example/", "letter for letter");
        let e = read(&format!("{LEAST}{}", oidc.replace("https", "http"))).unwrap_err();
        assert!(e.contains("oidc.issuer: found http://sso.example"), "{e}");
        let e = read(&format!("{LEAST}{}", oidc.replace("'reviewer'", "'judge'"))).unwrap_err();
        assert!(e.contains("found `judge`"), "{e}");
    }

    #[test]
    fn an_unknown_key_is_refused_by_line() {
        let e = read(&format!("{LEAST}pasword = 'x'\n")).unwrap_err();
        assert!(e.contains("bureau.toml:10:1: unknown field `pasword`"), "{e}");
    }

    #[test]
    fn limits_above_their_ceilings_are_refused() {
        let e =
            read(&format!("{LEAST}[retention]\nopen_alerts_days = 9999\nreferences_days = 0\n")).unwrap_err();
        assert!(e.contains("retention.open_alerts_days: found 9999"), "{e}");
        assert!(e.contains("retention.references_days: found 0"), "{e}");
    }
}
