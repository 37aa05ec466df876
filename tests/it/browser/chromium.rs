//! A headless Chromium behind chromedriver, both of Debian, for one test at a time.
//!
//! Promises: driver and browser end with the value, whatever happened; the profile
//! is a folder that goes with it; no name but loopback's is ever resolved; every
//! request and every word on the browser's console is kept, and [`Chromium::close`]
//! fails on a request to anything but the pages' own address, on a fault of a
//! script, and on whatever the content policy had to stop.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use url::{ParseError, Url};

/// How long a page may take to become as it is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two browsers at a time would make both slow, and waits run out.
static ONE: Mutex<()> = Mutex::const_new(());

/// How pages are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// What the browser prefers: `zh-CN` or `en`.
    pub language: &'static str,
    /// Width and height of the window in pixels.
    pub size: (u32, u32),
    /// Whether the person has chosen dark colours.
    pub dark: bool,
    /// Whether pages may run scripts.
    pub scripts: bool,
}

/// Narrowest and widest window for which the console is made.
pub const NARROW: (u32, u32) = (360, 800);
/// See [`NARROW`].
pub const WIDE: (u32, u32) = (1920, 1080);

impl Default for Look {
    fn default() -> Self {
        Self { language: "en", size: (1280, 900), dark: false, scripts: true }
    }
}

/// chromedriver, and with it what it starts.
struct Driver(Child);

impl Driver {
    fn start() -> (Self, String) {
        // A port of the system's choice; it is told on the first lines.
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: scripts/packages installs it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|l| Some(l.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned()))
            .expect("chromedriver ended without telling its port");
        (Self(child), format!("http://127.0.0.1:{port}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A command of chromedriver's own: a path below the session, and what is posted there.
#[derive(Debug)]
struct Own(&'static str, Value);

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

/// A browser with one window, on one console.
pub struct Chromium {
    session: Client,
    origin: String,
    /// Status codes that pages of this test may answer with, beyond success.
    expected: RefCell<Vec<u16>>,
    /// Where else pages of this test may lead.
    neighbours: RefCell<Vec<String>>,
    _driver: Driver,
    _profile: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Chromium {
    /// Starts one for the pages of `origin` (`http://127.0.0.1:PORT`).
    pub async fn open(origin: &str, look: Look) -> Self {
        Self::started(origin, look, Vec::new()).await
    }

    /// The same with a camera that plays this MJPEG file, and that every page may use.
    pub async fn with_camera(origin: &str, look: Look, file: &Path) -> Self {
        let camera = vec![
            "--use-fake-ui-for-media-stream".to_owned(),
            "--use-fake-device-for-media-stream".to_owned(),
            format!("--use-file-for-fake-video-capture={}", file.display()),
        ];
        Self::started(origin, look, camera).await
    }

    async fn started(origin: &str, look: Look, arguments: Vec<String>) -> Self {
        let alone = ONE.lock().await;
        let profile = tempfile::tempdir().unwrap();
        let (driver, address) = Driver::start();
        let session = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(profile.path(), look, &arguments))
            .connect(&address)
            .await
            .unwrap();
        let browser = Self {
            session,
            origin: origin.trim_end_matches('/').to_owned(),
            expected: RefCell::default(),
            neighbours: RefCell::default(),
            _driver: driver,
            _profile: profile,
            _alone: alone,
        };
        browser.look(look).await;
        browser
    }

    /// A command of Chromium's own protocol.
    pub async fn command(&self, name: &str, values: Value) -> Value {
        let command = Own("goog/cdp/execute", json!({"cmd": name, "params": values}));
        self.session.issue_cmd(command).await.unwrap()
    }

    /// Changes window, colours and whether scripts run. The language is chosen at the start.
    pub async fn look(&self, look: Look) {
        let (width, height) = look.size;
        let window = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", window).await;
        self.colours(if look.dark { "dark" } else { "light" }).await;
        self.command("Emulation.setScriptExecutionDisabled", json!({"value": !look.scripts})).await;
    }

    async fn colours(&self, scheme: &str) {
        // Without motion: what moves is not where it is looked at.
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.command("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// From now on pages may answer with this status too.
    pub fn expect(&self, status: u16) {
        self.expected.borrow_mut().push(status);
    }

    /// From now on pages may lead to this origin too, whose own faults are not ours.
    pub fn also(&self, origin: &str) {
        self.neighbours.borrow_mut().push(format!("{origin}/"));
    }

    /// Opens a path of the console.
    pub async fn go(&self, path: &str) {
        self.session.goto(&format!("{}{path}", self.origin)).await.unwrap();
    }

    /// Path and query of the page that is shown.
    pub async fn path(&self) -> String {
        let url = self.session.current_url().await.unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |q| format!("{}?{q}", url.path()))
    }

    /// What an expression is on the page.
    pub async fn ask(&self, script: &str) -> Value {
        self.session.execute(script, Vec::new()).await.unwrap()
    }

    /// What a script tells by calling its last argument.
    pub async fn ask_later(&self, script: &str) -> Value {
        self.session.execute_async(script, Vec::new()).await.unwrap()
    }

    /// Waits until `script`, which returns a truth, does so.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Between two pages there is none to ask.
            if let Ok(found) = self.session.execute(script, Vec::new()).await
                && !matches!(found, Value::Null | Value::Bool(false))
            {
                return found;
            }
            if Instant::now() > deadline {
                let at = self.path().await;
                let shown = self.ask("return document.body.innerText").await;
                panic!("waited {} s for {what} on {at}:\n{shown}", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for something to stand on the page and be seen.
    pub async fn find(&self, css: &str) -> Element {
        let script = format!("const e = document.querySelector({css:?}); return !!e && e.checkVisibility()");
        self.until(&format!("{css} to be seen"), &script).await;
        self.session.find(Locator::Css(css)).await.unwrap()
    }

    /// The text of something, once it is there.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    /// Whether anything on the page fits.
    pub async fn has(&self, css: &str) -> bool {
        self.ask(&format!("return !!document.querySelector({css:?})")).await == Value::Bool(true)
    }

    /// Writes into a field in place of what stands there.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Clicks, and waits for the page that comes of it.
    pub async fn follow(&self, css: &str) {
        let element = self.find(css).await;
        self.turn_page(element.click()).await;
    }

    /// Does something that leads to another page, and waits until that is there.
    pub async fn turn_page(&self, act: impl Future<Output = Result<(), CmdError>>) {
        self.ask("document.documentElement.dataset.before = '1'").await;
        act.await.unwrap();
        let other = "return document.readyState === 'complete' && !document.documentElement.dataset.before";
        self.until("another page", other).await;
    }

    /// Keys, wherever the focus is.
    pub async fn press(&self, keys: &str) -> Result<(), CmdError> {
        let mut actions = KeyActions::new("keyboard".into());
        for value in keys.chars() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.session.perform_actions(actions).await
    }

    /// Signs an account in with `password`, from whatever page; ends on the first page.
    pub async fn sign_in(&self, name: &str, password: &str) {
        self.go("/sign-in").await;
        self.fill("#name", name).await;
        self.fill("#password", password).await;
        self.follow("main form button").await;
    }

    /// The page as it would be printed: A4, with the page's own margins.
    pub async fn print(&self) -> Vec<u8> {
        let printed = self
            .command("Page.printToPDF", json!({"preferCSSPageSize": true, "printBackground": true}))
            .await;
        BASE64.decode(printed["data"].as_str().unwrap()).unwrap()
    }

    /// A picture of the whole page, exact.
    pub async fn picture(&self) -> Vec<u8> {
        self.taken(json!({"format": "png", "captureBeyondViewport": true})).await
    }

    /// A picture of what the window shows: small, and not exact.
    pub async fn small_picture(&self) -> Vec<u8> {
        self.taken(json!({"format": "webp", "quality": 80})).await
    }

    async fn taken(&self, wish: Value) -> Vec<u8> {
        let taken = self.command("Page.captureScreenshot", wish).await;
        BASE64.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    /// Ends the browser, and fails if anything went on behind the pages.
    pub async fn close(self) {
        let complaints = self.complaints().await;
        let strangers = self.strangers().await;
        self.session.clone().close().await.unwrap();
        assert!(complaints.is_empty(), "the browser complained: {complaints:#?}");
        assert!(strangers.is_empty(), "asked for beside {}: {strangers:#?}", self.origin);
    }

    /// The messages of one of the driver's logs since they were last asked for.
    async fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.session.issue_cmd(Own("se/log", json!({"type": kind}))).await.unwrap();
        let message = |e: &Value| e["message"].as_str().unwrap_or_default().to_owned();
        entries.as_array().unwrap().iter().map(message).collect()
    }

    /// What the browser wrote on its console, without the status codes that were expected.
    async fn complaints(&self) -> Vec<String> {
        let said = self.log("browser").await;
        let expected = self.expected.borrow();
        let is_expected = |m: &str| expected.iter().any(|s| m.contains(&format!("status of {s} ")));
        let neighbours = self.neighbours.borrow();
        let is_ours = |m: &str| !neighbours.iter().any(|n| m.starts_with(n.as_str()));
        said.into_iter().filter(|m| is_ours(m) && !is_expected(m)).collect()
    }

    /// Addresses that were asked for and are not the console's.
    async fn strangers(&self) -> Vec<String> {
        let events = self.log("performance").await;
        let events = events.iter().filter_map(|e| serde_json::from_str::<Value>(e).ok());
        let asked = events.filter_map(|mut e| {
            let event = e["message"].take();
            (event["method"] == "Network.requestWillBeSent")
                .then(|| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
        });
        let own = format!("{}/", self.origin);
        let neighbours = self.neighbours.borrow().clone();
        let is_known = |url: &String| url.starts_with(&own) || neighbours.iter().any(|n| url.starts_with(n));
        // The browser's own pages (`chrome:`, the empty tab that it begins with) ask nobody,
        // nor does what stands in the address itself.
        let nobody = |url: &String| url.starts_with("chrome:") || url.starts_with("data:");
        asked.filter(|url| !is_known(url) && !nobody(url)).collect()
    }
}

fn capabilities(profile: &Path, look: Look, more: &[String]) -> Capabilities {
    let profile = format!("--user-data-dir={}", profile.display());
    let language = format!("--lang={}", look.language);
    let mut arguments = vec![
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-sync",
        "--no-first-run",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        // Through a pipe: the browser ends when its driver does.
        "--remote-debugging-pipe",
        &profile,
        &language,
    ];
    arguments.extend(more.iter().map(String::as_str));
    // Its sandbox refuses to be started by root, as whom the tests run.
    if rustix::process::geteuid().is_root() {
        arguments.push("--no-sandbox");
    }
    let wish = json!({
        // Certificates on loopback are of authorities that tests make.
        "acceptInsecureCerts": true,
        "goog:chromeOptions": {"args": arguments, "prefs": {"intl.accept_languages": look.language}},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    });
    wish.as_object().unwrap().clone()
}
