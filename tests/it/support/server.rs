//! Several processes of one bureau: one set of keys, one store.

use std::process::Command;

use counterproof::bench::hospital::Running;
use counterproof::bench::postgres::Postgres;
use counterproof::protocol::ALERTS_PATH;

use super::bureau::Bureau;

const BINARY: &str = env!("CARGO_BIN_EXE_counterproof-bureau");

/// A bureau process.
pub struct Server {
    pub process: Running,
    /// Where boxes send alerts.
    pub url: String,
    /// The address of its console.
    pub console: String,
}

impl Server {
    /// Another process of the same bureau: its keys, its store.
    pub fn start(bureau: &Bureau, name: &str) -> Self {
        let dir = bureau.dir.path();
        let ready = dir.join(format!("{name}.ready"));
        let mut command = Command::new(BINARY);
        command.arg("serve").arg("--config").arg(&bureau.config).env_remove("RUST_LOG");
        let process = Running::of(command, dir.join(format!("{name}.log")), &ready).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap();
        let url = format!("https://{}{ALERTS_PATH}", told["agents"].as_str().unwrap());
        let console = format!("http://{}", told["console"].as_str().unwrap());
        Self { process, url, console }
    }
}

/// A bureau on that database; nothing runs yet.
pub fn on_server(server: &Postgres) -> Bureau {
    let bureau = Bureau::prepare("");
    let text = std::fs::read_to_string(&bureau.config).unwrap();
    let database = format!("database = '{}'", server.url("postgres"));
    std::fs::write(&bureau.config, text.replace("path = 'bureau.db'", &database)).unwrap();
    bureau
}
