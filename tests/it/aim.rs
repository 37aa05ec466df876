//! `counterproof aim` as a whole: the real program over the drawn camera, its
//! page asked as a browser asks it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use counterproof::camera::decode;
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};

use crate::support::hospital::{Hospital, Wishes};
use crate::support::{Open, quick_hospital, wait_for};

const AGENT: &str = env!("CARGO_BIN_EXE_counterproof");

/// A program that serves its page.
struct Aiming {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
    client: Client,
}

impl Drop for Aiming {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(config: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    command.arg("aim").arg("--config").arg(config).args(words).env_remove("RUST_LOG");
    command
}

impl Aiming {
    fn start(h: &Hospital, words: &[&str]) -> Self {
        let words = [&["--counter", "w01", "--listen", "127.0.0.1:0"], words].concat();
        let mut child = command(&h.agent_config(), &words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        while !url.trim().starts_with("http://") {
            url.clear();
            assert!(out.read_line(&mut url).unwrap() > 0, "it ended before it told its address");
        }
        let client = Client::builder().no_proxy().build().unwrap();
        Self { child, out, url: url.trim().to_owned(), client }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn region(&self, body: Value) -> (StatusCode, Value) {
        let sent = self.client.post(format!("{}region", self.url)).json(&body).send().await.unwrap();
        (sent.status(), sent.json().await.unwrap())
    }

    /// The view, once a picture has come.
    async fn view(&self) -> Value {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let view: Value = self.get("view.json").await.json().await.unwrap();
            if !view["camera"].is_null() {
                return view;
            }
            assert!(std::time::Instant::now() < deadline, "no picture came: {view}");
        }
    }

    /// Its last words, once it has ended well.
    fn ended(mut self) -> String {
        let status = wait_for("aiming to end", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        let mut last = String::new();
        std::io::Read::read_to_string(&mut self.out, &mut last).unwrap();
        last.lines().last().unwrap_or_default().to_owned()
    }
}

fn hospital() -> Open {
    quick_hospital(&Wishes { commissioned: false, ..Wishes::default() })
}

#[tokio::test]
async fn the_page_shows_one_face_in_numbers_and_writes_the_region() {
    let mut o = hospital();
    let aim = Aiming::start(&o.h, &[]);

    // Only the whole address, and only by a name of loopback.
    let root = aim.url.rsplitn(3, '/').last().unwrap().to_owned();
    for path in [
        "/",
        "/view.json",
        "/0123456789abcdef0123456789abcdef/",
        "/0123456789abcdef0123456789abcdef/view.json",
    ] {
        let answer = aim.client.get(format!("{root}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.text().await.unwrap().contains("faces"));
    }
    let rebound = aim.client.get(&aim.url).header(header::HOST, "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), StatusCode::MISDIRECTED_REQUEST);

    for (language, word) in [("en", "Capture region"), ("zh-CN", "采集区域")] {
        let page = aim.get(&format!("?lang={language}")).await;
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let html = page.text().await.unwrap();
        assert!(html.contains(word) && html.contains(&format!("lang=\"{language}\"")), "{html}");
    }

    let view = aim.view().await;
    assert_eq!((&view["camera"]["width"], &view["camera"]["height"]), (&json!(640), &json!(480)));
    let faces = view["faces"].as_array().unwrap();
    assert_eq!(faces.len(), 1, "{view}");
    let of = |name: &str| {
        let all = faces[0]["measures"].as_array().unwrap();
        all.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{name}: {view}")).clone()
    };
    assert!((30.0..100.0).contains(&of("inter_eye")["value"].as_f64().unwrap()), "{view}");
    assert!((60.0..200.0).contains(&of("brightness")["value"].as_f64().unwrap()), "{view}");
    assert_eq!((&of("inter_eye")["least"], &of("inside")["least"]), (&json!(20.0), &json!(0.9)));
    // A picture of a sane head at a desk: somewhere in the middle.
    let edges: Vec<f64> = faces[0]["edges"].as_array().unwrap().iter().map(|e| e.as_f64().unwrap()).collect();
    assert!(edges[0] > 0.2 && edges[2] < 0.8 && edges[1] > 0.1 && edges[3] < 0.8, "{edges:?}");
    assert!(view["light"]["mean"].as_f64().unwrap() > 50.0 && view["light"]["fault"].is_null(), "{view}");

    // No picture, no bytes of one.
    let none = aim.get("picture.png").await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
    assert_eq!(none.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(view["picture_left_s"], Value::Null);

    // A region that is none changes nothing.
    let before = std::fs::read_to_string(o.h.agent_config()).unwrap();
    for bad in
        [json!({"x": 0.5, "y": 0.0, "w": 0.6, "h": 1.0}), json!({"x": 0.0, "y": 0.0, "w": 0.0, "h": 1.0})]
    {
        let (status, said) = aim.region(bad).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(said["detail"].as_str().unwrap().contains("allowed: shares of the picture"), "{said}");
    }
    assert_eq!(aim.region(json!({"x": 0})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let asked = aim.get("region").await.status();
    assert_eq!(asked, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(std::fs::read_to_string(o.h.agent_config()).unwrap(), before);

    // One that is changes its four numbers alone, and the face's place in the region.
    let (status, said) = aim.region(json!({"x": 0.0, "y": 0.0, "w": 0.25, "h": 1.0})).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let after = std::fs::read_to_string(o.h.agent_config()).unwrap();
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!(
        changed,
        [("region = { x = 0, y = 0, w = 1, h = 1 }", "region = { x = 0.0, y = 0.0, w = 0.25, h = 1.0 }")]
    );
    assert!(after.contains("# The cameras of this box are drawn"), "{after}");
    let next = said["next"].to_string();
    for step in ["policy notice --html", "counterproof check", "systemctl restart counterproof"] {
        assert!(next.contains(step), "{next}");
    }
    assert_eq!(aim.view().await["faces"], json!([]), "nobody stands at the left edge");

    // The notice that hangs there is not the policy's any more: check says so, and reads the rest.
    let check = |h: &Hospital| -> Value {
        let config = h.agent_config();
        let done = Command::new(AGENT).args(["check", "--json", "--config"]).arg(config).output().unwrap();
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let checked = check(&o.h);
    let policy = &checked["lines"][0];
    assert_eq!((&policy["what"], &policy["level"]), (&json!("configuration and policy"), &json!("failure")));
    assert!(policy["found"].as_str().unwrap().contains(said["notice"].as_str().unwrap()), "{policy}");
    o.h.post_notice_anew().unwrap();
    assert_eq!(check(&o.h)["lines"][0]["level"], "ok");

    // The view to come back to is kept where the agent looks for it, and holds no picture.
    let kept = aim.client.post(format!("{}reference", aim.url)).send().await.unwrap();
    assert_eq!(kept.status(), StatusCode::NO_CONTENT);
    let view = std::fs::metadata(o.h.dir.join("state/views/w01.json")).unwrap();
    assert!(view.len() < 1000, "{}", view.len());

    let end = aim.client.post(format!("{}end", aim.url)).send().await.unwrap();
    assert_eq!(end.status(), StatusCode::NO_CONTENT);
    assert!(aim.ended().contains("ended (asked)"));

    // The agent, when it comes, moves both records to its log.
    o.h.start_agent().unwrap();
    let begun = wait_for("the record of it", || o.h.audit("aim_begun").pop());
    assert_eq!((&begun["data"]["counter"], &begun["data"]["picture"]), (&json!("w01"), &json!(false)));
    assert!(begun["data"]["by"]["user"].is_string(), "{begun}");
    let ended = wait_for("the record of its end", || o.h.audit("aim_ended").pop());
    assert_eq!((&ended["data"]["why"], &ended["data"]["regions_written"]), (&json!("asked"), &json!(1)));
    assert_eq!((&ended["data"]["pictures"], &ended["data"]["references_kept"]), (&json!(0), &json!(1)));
}

/// Variance of the luma in a part of a picture, in shares.
fn variance(picture: &image::RgbImage, [x0, y0, x1, y1]: [f64; 4]) -> f64 {
    let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
    let luma: Vec<f64> = picture
        .enumerate_pixels()
        .filter(|(x, y, _)| {
            let (u, v) = ((f64::from(*x) + 0.5) / w, (f64::from(*y) + 0.5) / h);
            u > x0 && u < x1 && v > y0 && v < y1
        })
        .map(|(_, _, p)| p.0.iter().map(|c| f64::from(*c)).sum::<f64>() / 3.0)
        .collect();
    assert!(luma.len() > 8, "too few pixels to say anything");
    let mean = luma.iter().sum::<f64>() / luma.len() as f64;
    luma.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / luma.len() as f64
}

#[tokio::test]
async fn a_picture_has_no_face_in_it_and_the_page_ends_by_itself_while_the_agent_runs() {
    let mut o = hospital();
    o.h.start_agent().unwrap();
    let aim = Aiming::start(&o.h, &["--picture", "--minutes", "0.1"]);
    let view = aim.view().await;
    let page = aim.get("?lang=en").await.text().await.unwrap();
    assert!(page.contains("faces as one tone"), "{page}");
    let answer = aim.get("picture.png").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let picture = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap().to_rgb8();
    // As many pixels as blocks: nothing is hidden in it.
    assert_eq!((picture.width(), picture.height()), (40, 30));
    let edges: Vec<f64> =
        view["faces"][0]["edges"].as_array().unwrap().iter().map(|e| e.as_f64().unwrap()).collect();
    let face = [edges[0], edges[1], edges[2], edges[3]];
    let drawn = std::fs::read(o.h.dir.join("cameras/w01/0000.jpg")).unwrap();
    let drawn = decode::jpeg(&drawn).unwrap();
    let original = image::RgbImage::from_raw(drawn.width(), drawn.height(), drawn.rgb().to_vec()).unwrap();
    assert!(variance(&original, face) > 300.0, "{}", variance(&original, face));
    assert!(variance(&picture, face) < 1.0, "{}", variance(&picture, face));
    // The rest is coarse, and there.
    assert!(variance(&picture, [0.0, 0.0, 1.0, 1.0]) > 100.0);

    assert!(aim.ended().contains("ended (time)"));
    // A running agent moves what lies in its database with the next it has to move.
    o.h.enrol().unwrap();
    o.h.settle(&Hospital::settlement("S1", "w01", "PB", &[])).await.unwrap();
    let ended = wait_for("the record of its end", || o.h.audit("aim_ended").pop());
    assert_eq!((&ended["data"]["why"], &ended["data"]["pictures"]), (&json!("time"), &json!(1)));
    assert_eq!(o.h.audit("aim_begun")[0]["data"]["picture"], true);
}

#[test]
fn what_others_could_see_or_would_last_too_long_is_refused() {
    let o = hospital();
    let said = |words: &[&str]| {
        let done = command(&o.h.agent_config(), words).output().unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    for everybody in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let text = said(&["--counter", "w01", "--listen", everybody]);
        assert!(text.contains("allowed: a loopback address"), "{text}");
    }
    let text = said(&["--counter", "w77", "--listen", "127.0.0.1:0"]);
    assert!(text.contains("found `w77`; allowed: w01, w02"), "{text}");
    assert!(said(&["--counter", "w01", "--minutes", "11"]).contains("allowed: 0.01 to 10"));
    // Nobody aimed: nothing is on record, and no database was made.
    assert!(!o.h.dir.join("state/agent.db").exists());
    std::fs::remove_dir_all(o.h.dir.join("cameras/w01")).unwrap();
    let text = said(&["--counter", "w01", "--listen", "127.0.0.1:0"]);
    assert!(text.contains("camera of w01") && text.contains("cameras/w01"), "{text}");
}
