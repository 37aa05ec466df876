//! `counterproof-bureau bench ingest`: how many alerts a bureau stores in a second, and
//! how many references it hands out.
//!
//! The server is the real program in a process of its own, with its own log and metrics
//! on. Each box has its own certificate, signing key, chain and connection (TLS with
//! certificates both ways), and sends one signed event at a time, waiting for the answer
//! after the commit, as a box does. Events are signed, connections made and the boxes'
//! transforms ready before the clock starts. Client and server share the machine's cores, and that is in the figure.
//!
//! With so many boxes at once the waiting time is that of a server that is full: boxes
//! divided by alerts a second, about.

mod client;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use url::Url;

use self::client::{Client, Request};
use super::hospital::Running;
use super::hospital::pki::{Issued, Pki};
use super::postgres::{DURABLE, Postgres};
use super::{BenchError, Folder, round};
use crate::crypto::Sha256;
use crate::crypto::keys::make_bureau_keys;
use crate::crypto::sign::SigningKey;
use crate::crypto::tls::TlsFiles;
use crate::protocol::id::{AgentId, AlertId, CardholderId, Epoch, HospitalId};
use crate::protocol::{ALERTS_PATH, REFERENCES_PATH, SIGNATURE_HEADER};

/// So many cardholders settle, and have a reference each.
const CARDHOLDERS: u32 = 2000;
/// Where every box stands.
const HOSPITAL: &str = "H31010000001";

/// Arguments of `bench ingest`.
#[derive(Debug, clap::Args)]
pub struct IngestArgs {
    /// A PostgreSQL database: postgres://USER@HOST/NAME. What is measured lies in a schema of its own,
    /// which goes afterwards. Without it a SQLite file is measured.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Start a PostgreSQL from Debian's package for this, durable, in a folder that goes afterwards.
    #[arg(long, conflicts_with = "database")]
    pub own_postgres: bool,
    /// How many boxes.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub agents: u32,
    /// How many alerts, of all boxes together.
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    pub alerts: u32,
    /// How many look-ups of references, of all boxes together.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    pub references: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// A box to be put on record.
pub struct NewBox {
    /// Its name.
    pub name: AgentId,
    /// Where it stands.
    pub hospital: HospitalId,
    /// With which it signs.
    pub key: SigningKey,
    /// Its certificate and key for TLS.
    pub files: Issued,
}

/// What has to stand in the store before the server starts.
pub struct Wanted {
    /// The bureau's configuration.
    pub config: PathBuf,
    /// In place of the store that it names.
    pub database: Option<String>,
    /// The boxes.
    pub boxes: Vec<NewBox>,
    /// Who has a reference.
    pub cardholders: Vec<CardholderId>,
}

/// The database that is measured.
enum Place {
    File,
    Server { url: Url, schema: String, own: Option<Postgres> },
}

/// Runs the benchmark and prints it. `prepare` puts boxes and references into the store;
/// `program` is the server.
///
/// # Errors
/// If something cannot be started, or a request is answered otherwise than expected.
/// What the store holds in the end is not counted here; `tests/it/ingest.rs` does that.
pub async fn run<E: std::fmt::Display>(
    args: &IngestArgs,
    program: &Path,
    prepare: impl AsyncFn(&Wanted) -> Result<(), E>,
) -> Result<(), BenchError> {
    measured(args, program, prepare).await.map_err(BenchError::Unmeasured)
}

async fn measured<E: std::fmt::Display>(
    args: &IngestArgs,
    program: &Path,
    prepare: impl AsyncFn(&Wanted) -> Result<(), E>,
) -> io::Result<()> {
    let folder = Folder::new("ingest")?;
    let place = Place::find(args).await?;
    let pki = Pki::new(&folder.0.join("pki"))?;
    let config = write_settings(&folder.0, &pki)?;
    let mut boxes = Vec::new();
    for n in 0..args.agents {
        let name = format!("box-{n}");
        let files = pki.issue(&name, false)?;
        let key = SigningKey::generate_pkcs8().and_then(|der| SigningKey::from_pkcs8(&der));
        let key = key.map_err(io::Error::other)?;
        let name = name.parse().map_err(io::Error::other)?;
        boxes.push(NewBox { name, hospital: HOSPITAL.parse().map_err(io::Error::other)?, key, files });
    }
    let cardholders = (0..CARDHOLDERS).map(cardholder).collect::<Result<_, _>>()?;
    let wanted = Wanted { config, database: place.url(), boxes, cardholders };
    prepare(&wanted).await.map_err(|e| io::Error::other(e.to_string()))?;
    let mut server = start(program, &folder.0, &wanted)?;
    let ready: Value =
        serde_json::from_slice(&fs::read(folder.0.join("ready"))?).map_err(io::Error::other)?;
    let address = ready["agents"].as_str().unwrap_or_default().to_owned();
    let measured = measure(args, &address, &wanted).await;
    let ended = server.terminate();
    let what = place.describe().await;
    place.clear().await?;
    let ((alerts, references), _) = (measured?, ended?);
    print(args, &told(args, &what?, &alerts, references.as_ref().ok()))?;
    references.map(drop)
}

/// What was measured; without look-ups if they failed.
fn told(args: &IngestArgs, database: &str, alerts: &Measured, references: Option<&Measured>) -> Value {
    json!({
        "database": database,
        "agents": args.agents,
        "alerts": alerts.count,
        "alerts_per_s": round(alerts.per_second()),
        "p50_ms": round(alerts.quantile_ms(0.50)),
        "p99_ms": round(alerts.quantile_ms(0.99)),
        "references": references.map(|r| r.count),
        "references_per_s": references.map(|r| round(r.per_second())),
        "references_p99_ms": references.map(|r| round(r.quantile_ms(0.99))),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "included": "load generator, TLS both ways, signature check, receipt, seal, durable commit, \
                     log; one request in flight for each box",
    })
}

fn print(args: &IngestArgs, result: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{result}")?;
    } else if let Some(all) = result.as_object() {
        for (key, value) in all {
            writeln!(out, "{key:<20} {value}")?;
        }
    }
    Ok(())
}

fn cardholder(n: u32) -> io::Result<CardholderId> {
    format!("P{n:06}").parse().map_err(io::Error::other)
}

/// What one kind of request came to.
struct Measured {
    count: usize,
    took: Duration,
    /// Waiting times, shortest first.
    waits: Vec<Duration>,
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.waits.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.waits.get(at).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1000.0)
    }
}

/// Alerts, and look-ups after them, which may fail by themselves.
async fn measure(
    args: &IngestArgs,
    address: &str,
    wanted: &Wanted,
) -> io::Result<(Measured, io::Result<Measured>)> {
    let each = (args.alerts / args.agents).max(1);
    let mut alerts = Vec::new();
    for (n, one) in (0..).zip(&wanted.boxes) {
        alerts.push(signed(one, n, each)?);
    }
    let mut clients = Vec::new();
    for one in &wanted.boxes {
        let tls = TlsFiles {
            ca: one.files.ca.clone(),
            certificate: one.files.certificate.clone(),
            key: one.files.key.to_string_lossy().into_owned(),
        };
        let tls = Arc::new(tls.client().map_err(io::Error::other)?);
        clients.push(Client::connect(address, tls).await?);
    }
    let (clients, alerts) = all_at_once(clients, alerts).await?;
    Ok((alerts, look_up(args, clients).await))
}

async fn look_up(args: &IngestArgs, clients: Vec<Client>) -> io::Result<Measured> {
    // The first look-up of a box makes its transform; a server does that once.
    let (clients, _) = all_at_once(clients, (0..args.agents).map(|n| vec![lookup(n)]).collect()).await?;
    let each = (args.references / args.agents).max(1);
    let of_box =
        |n: u32| (0..each).map(move |i| lookup(n.wrapping_mul(31).wrapping_add(i * 7) % CARDHOLDERS));
    let lookups = (0..args.agents).map(|n| of_box(n).collect()).collect();
    Ok(all_at_once(clients, lookups).await?.1)
}

/// Every client sends its requests, one after the other.
async fn all_at_once(
    clients: Vec<Client>,
    requests: Vec<Vec<Request>>,
) -> io::Result<(Vec<Client>, Measured)> {
    let begun = Instant::now();
    let running: Vec<_> =
        clients.into_iter().zip(requests).map(|(client, mine)| tokio::spawn(client.send_all(mine))).collect();
    let (mut clients, mut waits) = (Vec::new(), Vec::new());
    for one in running {
        let (client, mine) = one.await.map_err(io::Error::other)??;
        clients.push(client);
        waits.extend(mine);
    }
    let took = begun.elapsed();
    waits.sort_unstable();
    Ok((clients, Measured { count: waits.len(), took, waits }))
}

fn lookup(n: u32) -> Request {
    let path = format!("{REFERENCES_PATH}/P{n:06}?settlement=S{n}");
    Request { method: "GET", path, signature: None, body: Vec::new(), expected: 200 }
}

/// A box's chain of mismatches, signed.
fn signed(one: &NewBox, box_number: u32, count: u32) -> io::Result<Vec<Request>> {
    let epoch = Epoch::new();
    let mut previous: Option<Sha256> = None;
    let mut requests = Vec::new();
    for seq in 1..=count {
        let event = mismatch(one, box_number, epoch, seq, previous);
        let body = serde_json::to_vec(&event).map_err(io::Error::other)?;
        previous = Some(Sha256::of(&body));
        let signature = Some((SIGNATURE_HEADER, one.key.sign(&body).to_string()));
        requests.push(Request { method: "POST", path: ALERTS_PATH.into(), signature, body, expected: 201 });
    }
    Ok(requests)
}

fn mismatch(one: &NewBox, box_number: u32, epoch: Epoch, seq: u32, previous: Option<Sha256>) -> Value {
    let digest = Sha256::of(b"made up").to_string();
    let now = jiff::Timestamp::now().to_string();
    let mut chain = json!({"epoch": epoch, "seq": seq});
    if let Some(previous) = previous {
        chain["previous"] = previous.to_string().into();
    }
    let cardholder = format!("P{:06}", box_number.wrapping_mul(997).wrapping_add(seq * 13) % CARDHOLDERS);
    json!({
        "specversion": "1.0", "id": AlertId::new(), "source": format!("/agents/{}", one.name), "time": now,
        "subject": format!("S{box_number}-{seq}"), "datacontenttype": "application/json", "chain": chain,
        "type": "counterproof.alert.mismatch.v1",
        "data": {
            "hospital": one.hospital, "counter": format!("w{:02}", seq % 8), "cardholder": cardholder,
            "occurred_at": now, "clock_error_ms": 2000, "amount_fen": 1000 + seq * 997 % 200_000,
            "medical_type": "11", "proxies_compared": 0,
            "comparison": {"model": digest, "score": 0.04, "threshold": 0.25, "probes": 5,
                           "span_ms": 3200, "faces": 1, "log_likelihood_ratio": -6.5},
            "quality": {"inter_eye_px": 62.0, "detection": 0.93, "yaw": 0.1, "sharpness": 210.0},
            "settings": {"agent_version": "0.1.0", "policy": Sha256::of(b"policy"),
                         "notice": Sha256::of(b"notice"), "calibration": Sha256::of(b"calibration")},
        },
    })
}

/// Writes keys, certificates and the configuration; where that is.
fn write_settings(dir: &Path, pki: &Pki) -> io::Result<PathBuf> {
    pki.issue("bureau", true)?;
    make_bureau_keys(&dir.join("keys"), &["localhost".into()]).map_err(io::Error::other)?;
    let config = dir.join("bureau.toml");
    fs::write(
        &config,
        "[server]\nlisten = '127.0.0.1:0'\n[server.tls]\nca = 'pki/ca.pem'\n\
         certificate = 'pki/bureau.pem'\nkey = 'pki/bureau.key'\n[console]\nlisten = '127.0.0.1:0'\n\
         [metrics]\nlisten = '127.0.0.1:0'\n[store]\npath = 'bureau.db'\nroot_key = 'keys/root.key'\n\
         [keys]\nsigning = 'keys/signing.key'\n[references]\nper_agent_per_minute = 6000\n",
    )?;
    Ok(config)
}

fn start(program: &Path, dir: &Path, wanted: &Wanted) -> io::Result<Running> {
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(&wanted.config).env_remove("RUST_LOG").stdin(Stdio::null());
    if let Some(database) = &wanted.database {
        command.args(["--database", database]);
    }
    Running::of(command, dir.join("bureau.log"), &dir.join("ready"))
}

impl Place {
    async fn find(args: &IngestArgs) -> io::Result<Self> {
        let (own, url) = if args.own_postgres {
            let own = Postgres::start(DURABLE)?;
            let url = own.url("postgres");
            (Some(own), url)
        } else {
            match &args.database {
                Some(url) => (None, url.clone()),
                None => return Ok(Self::File),
            }
        };
        let url = Url::parse(&url).map_err(|_| io::Error::other("--database: expected postgres://…"))?;
        let schema = format!("bench_ingest_{}", std::process::id());
        let mut connection = connect(&url).await?;
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.map_err(other)?;
        Ok(Self::Server { url, schema, own })
    }

    /// The database with the schema that everything is put into.
    fn url(&self) -> Option<String> {
        let Self::Server { url, schema, .. } = self else { return None };
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("options", &format!("-csearch_path={schema}"));
        Some(url.into())
    }

    /// Which engine it is, and how durable it says it is.
    async fn describe(&self) -> io::Result<String> {
        let Self::Server { url, .. } = self else { return Ok("sqlite, synchronous=full".into()) };
        let mut connection = connect(url).await?;
        sqlx::query_scalar(
            "SELECT 'postgresql ' || current_setting('server_version') || ', fsync=' || \
             current_setting('fsync') || ', synchronous_commit=' || current_setting('synchronous_commit')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(other)
    }

    async fn clear(&self) -> io::Result<()> {
        if let Self::Server { url, schema, own: None } = self {
            let mut connection = connect(url).await?;
            let drop = format!("DROP SCHEMA {schema} CASCADE");
            connection.execute(sqlx::AssertSqlSafe(drop)).await.map_err(other)?;
        }
        Ok(())
    }
}

fn other(e: sqlx::Error) -> io::Error {
    io::Error::other(e)
}

async fn connect(url: &Url) -> io::Result<sqlx::PgConnection> {
    sqlx::PgConnection::connect(url.as_str()).await.map_err(other)
}
