//! Check-ins over the real program: photographs in, verdicts out, facts kept, and no
//! byte of a photograph anywhere.

use std::path::{Path, PathBuf};

use counterproof::crypto::tls::client_trusting;
use counterproof::vision::manifest::Manifest;
use reqwest::Response;
use serde_json::Value;

use crate::support::bureau::Bureau;
use crate::support::models;
use crate::support::person::{Person, between};

const TOKEN: &str = "an-app-s-token-for-tests-on-loopback";
const PLACE: &str = "三病区 12 床";
const CALIBRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/calibrations/sface-2021dec.toml");

/// What a bureau declares to take photographs.
fn declared() -> String {
    format!(
        "[models]\nmanifest = '{}'\n[retention]\ncheck_ins_days = 30\n\
         [check_ins]\ncalibration = '{CALIBRATION}'\n\
         [[check_ins.apps]]\nname = 'rounds'\ntoken = 'app.token'\n\
         [check_ins.privacy]\ncontroller = '某市医疗保障局'\ncontact = '基金监管科 000-0000 0000'\n\
         alternative = '出示带照片的证件'\n\
         [check_ins.privacy.basis]\nkind = 'statutory_duty'\ninstrument = 'regulation'\narticle = '1'\n\
         [check_ins.privacy.notice]\nid = 'N-1'\nwording = 1\nposted_on = '2026-01-02'\nplace = '病区'\n\
         [check_ins.privacy.impact_assessment]\nid = 'PIA-1'\nreview_by = '2099-01-01'\n",
        models().display()
    )
}

/// Writes the configuration with the digest of the notice that it makes.
fn prepare(console: &str) -> Bureau {
    let bureau = Bureau::prepare(&declared());
    write_token(&bureau.dir.path().join("app.token"), TOKEN);
    let printed = bureau.command(&["check-ins", "notice"]).output().unwrap();
    let (text, said) =
        (String::from_utf8(printed.stdout).unwrap(), String::from_utf8(printed.stderr).unwrap());
    assert!(
        printed.status.success() && text.contains("最多 30 天") && text.contains("at most 30 days"),
        "{said}"
    );
    let config = std::fs::read_to_string(&bureau.config).unwrap();
    let config = config.replace("wording = 1\n", &format!("wording = 1\n{said}"));
    std::fs::write(&bureau.config, config.replace("[console]\n", console)).unwrap();
    bureau
}

/// A bureau that takes photographs of two people, on loopback without TLS.
pub fn open() -> Bureau {
    let mut bureau = prepare("[console]\n");
    enrol(&bureau);
    bureau.run();
    bureau
}

fn write_token(path: &Path, token: &str) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(token.as_bytes()).unwrap();
}

/// The bytes of a sample portrait.
pub fn portrait(id: &str) -> Vec<u8> {
    Manifest::read(&models()).unwrap().sample(id).unwrap()
}

fn enrol(bureau: &Bureau) {
    let folder = tempfile::tempdir().unwrap();
    for (who, id) in [("PA", "portrait-a"), ("PB", "portrait-b3")] {
        std::fs::write(folder.path().join(format!("{who}.jpg")), portrait(id)).unwrap();
    }
    let done = bureau.command(&["enrol", &folder.path().to_string_lossy()]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn grey() -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 90);
    image::GrayImage::from_pixel(640, 480, image::Luma([128])).write_with_encoder(encoder).unwrap();
    out
}

/// A form with these parts and a photograph.
fn form(parts: &[(&str, &str)], photo: &[u8]) -> Vec<u8> {
    let part = |(name, value): &(&str, &str)| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
    };
    let mut body: Vec<u8> = parts.iter().flat_map(part).collect();
    body.extend_from_slice(
        b"--xyz\r\nContent-Disposition: form-data; name=\"photograph\"; filename=\"p.jpg\"\r\n\
          Content-Type: image/jpeg\r\n\r\n",
    );
    body.extend_from_slice(photo);
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    body
}

const FORM: &str = "multipart/form-data; boundary=xyz";

/// An app that sends photographs.
struct App {
    client: reqwest::Client,
    url: String,
}

impl App {
    fn of(bureau: &Bureau) -> Self {
        let ca = bureau.dir.path().join("pki/ca.pem");
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_trusting(&ca).unwrap())
            .build()
            .unwrap();
        let url = bureau.console_url("/v1/check-ins").replace("http://127.0.0.1", "https://localhost");
        Self { client, url }
    }

    async fn post(&self, token: Option<&str>, parts: &[(&str, &str)], photo: &[u8]) -> Response {
        let post = self.client.post(&self.url).header("content-type", FORM).body(form(parts, photo));
        let post = if let Some(token) = token { post.bearer_auth(token) } else { post };
        post.send().await.unwrap()
    }

    async fn send(&self, who: &str, photo: &[u8]) -> (u16, Value) {
        let parts = [("cardholder", who), ("purpose", "ward_round"), ("place", PLACE)];
        let answer = self.post(Some(TOKEN), &parts, photo).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Verdict and reason of one that is kept.
    async fn verdict(&self, who: &str, photo: &[u8]) -> (String, String) {
        let (status, answer) = self.send(who, photo).await;
        assert_eq!(status, 201, "{answer}");
        assert!(answer.get("score").is_none(), "{answer}");
        let word = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        (word("verdict"), word("reason"))
    }
}

/// A portrait of this height before one shade, as a camera of 640 x 480 sees it.
pub fn before(shade: u8, id: &str, height: u32) -> Vec<u8> {
    let portrait = image::load_from_memory(&portrait(id)).unwrap().into_rgb8();
    let width = portrait.width() * height / portrait.height();
    let small = image::imageops::resize(&portrait, width, height, image::imageops::FilterType::Triangle);
    let mut view = image::RgbImage::from_pixel(640, 480, image::Rgb([shade; 3]));
    let (x, y) = ((640 - width) / 2, (480 - height) / 2);
    image::imageops::overlay(&mut view, &small, i64::from(x), i64::from(y));
    let mut out = Vec::new();
    view.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 92)).unwrap();
    out
}

const TLS: &str =
    "[console]\nnames = ['localhost']\ntls = { certificate = 'pki/bureau.pem', key = 'pki/bureau.key' }\n";

fn word(verdict: &str, reason: &str) -> (String, String) {
    (verdict.into(), reason.into())
}

/// Every file below a folder, whole.
fn files(dir: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
}

/// Whether some stretch of the photograph stands in the bytes.
fn holds_part_of(bytes: &[u8], photo: &[u8]) -> bool {
    // What is nearly one byte again and again, as a header's padding, says nothing.
    let tells = |piece: &&[u8]| piece.iter().collect::<std::collections::BTreeSet<_>>().len() >= 16;
    let pieces: Vec<&[u8]> = photo.chunks_exact(24).filter(tells).step_by(32).collect();
    assert!(pieces.len() > 100, "{}", pieces.len());
    aho_corasick::AhoCorasick::new(pieces).unwrap().is_match(bytes)
}

fn acts(bureau: &Bureau) -> Vec<Value> {
    let output = bureau.command(&["acts", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_photograph_is_compared_with_one_person_and_nothing_of_it_stays() {
    let mut bureau = prepare(TLS);
    enrol(&bureau);
    bureau.run();
    let app = App::of(&bureau);
    let (of_b, of_a) = (portrait("portrait-b1"), portrait("portrait-a"));

    let parts = [("cardholder", "PB"), ("purpose", "ward_round"), ("place", PLACE)];
    for token in [None, Some("another-token-of-nobody-at-all")] {
        // A small one: the answer comes before the photograph is read, and ends the connection.
        let refused = app.post(token, &parts, b"x").await;
        assert_eq!(refused.status().as_u16(), 401);
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    }
    assert!(acts(&bureau).iter().all(|a| a["what"] != "check-in"), "nobody was asked about");

    let (status, kept) = app.send("PB", &of_b).await;
    assert_eq!((status, &kept["verdict"]), (201, &"match".into()), "{kept}");
    let band = &kept["score_band"];
    assert!(band["from"].as_f64().unwrap() >= 0.5 && kept.get("score").is_none(), "{kept}");
    assert_eq!(app.verdict("PB", &of_a).await, word("mismatch", ""));
    assert_eq!(app.verdict("PB", &grey()).await, word("inconclusive", "no_face"));
    // A face that fills the picture, and one on a sheet of paper: nothing is told of how alike.
    assert_eq!(app.verdict("PB", &portrait("portrait-b2")).await, word("inconclusive", "too_close"));
    let (status, paper) = app.send("PB", &before(200, "portrait-b2", 300)).await;
    assert_eq!((status, &paper["reason"]), (201, &"presentation_attack_suspected".into()), "{paper}");
    assert!(paper.get("score_band").is_none(), "{paper}");

    for (photo, status) in [(&of_b[..2000], 422), (&b"no picture"[..], 422), (&vec![0; 9_000_000][..], 413)] {
        let (found, problem) = app.send("PB", photo).await;
        assert_eq!((found, &problem["field"]), (status, &"photograph".into()), "{problem}");
    }
    let nobody = app.verdict("PX", &of_b).await;
    assert_eq!(nobody, word("not_assessed", "no_reference"));
    let until =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().tomorrow().unwrap().to_string();
    let exempt = ["exempt", "add", "PA", "--until", &until, "--by", "li", "--reason", "twins"];
    assert!(bureau.command(&exempt).output().unwrap().status.success());
    assert_eq!(app.verdict("PA", &of_a).await, nobody);

    // In the record of acts, by the app and under a mark; in no log; core dumps are off.
    let acts = acts(&bureau);
    let told: Vec<&Value> = acts.iter().filter(|a| a["what"] == "check-in").collect();
    assert_eq!((told.len(), &told[0]["by"]), (9, &"app:rounds".into()));
    let words = serde_json::to_string(&acts).unwrap() + &bureau.log();
    assert!(!words.contains("PB") && !words.contains(PLACE), "{words}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bureau.pid())).unwrap();
    let core = limits.lines().find_map(|l| l.strip_prefix("Max core file size")).unwrap();
    assert!(core.split_whitespace().take(2).all(|n| n == "0"), "{core}");
    // No byte of a photograph is in any file, and no alert came of a mismatch.
    assert!(bureau.terminate().success());
    let mut all = Vec::new();
    files(bureau.dir.path(), &mut all);
    for (path, bytes) in &all {
        for photo in [&of_b, &of_a] {
            assert!(!holds_part_of(bytes, photo), "{}", path.display());
        }
    }
    let store = rusqlite::Connection::open(bureau.dir.path().join("bureau.db")).unwrap();
    let count = |table: &str| {
        store.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |r| r.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(["check_ins", "alerts", "events", "cases"].map(count), [7, 0, 0, 0]);
}

#[tokio::test]
async fn without_the_section_the_route_says_so_and_without_one_of_its_lines_nothing_starts() {
    let bureau = Bureau::start("");
    let post = reqwest::Client::new().post(bureau.console_url("/v1/check-ins")).bearer_auth(TOKEN);
    let answer = post.header("content-type", FORM).body(form(&[], b"x")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 404);
    let problem: Value = answer.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("switched off"), "{problem}");

    let bureau = prepare("[console]\n");
    let whole = std::fs::read_to_string(&bureau.config).unwrap();
    let gone = |line: &str| {
        assert_eq!(whole.matches(line).count(), 1, "{line}");
        whole.replace(line, "")
    };
    let calibration = format!("calibration = '{CALIBRATION}'\n");
    for (text, says) in [
        (gone("check_ins_days = 30\n"), "retention.check_ins_days: found nothing"),
        (gone(&calibration), "check_ins.calibration: found nothing"),
        (gone("kind = 'statutory_duty'\n"), "check_ins.privacy.basis.kind: found nothing"),
        (gone("posted_on = '2026-01-02'\n"), "check_ins.privacy.notice.posted_on: found nothing"),
        (gone("review_by = '2099-01-01'\n"), "check_ins.privacy.impact_assessment.review_by: found nothing"),
        (
            whole.replace("2099-01-01", "2020-01-01"),
            "check_ins.privacy.impact_assessment.review_by: found 2020-01-01",
        ),
        (
            whole.replace("check_ins_days = 30", "check_ins_days = 31"),
            "check_ins.privacy.notice.sha256: found",
        ),
        (whole.replace("check_ins_days = 30", "check_ins_days = 367"), "retention.check_ins_days: found 367"),
        (whole.replace("app.token", "gone.token"), "gone.token"),
        (whole.replace("models.toml", "none.toml"), "none.toml"),
    ] {
        std::fs::write(&bureau.config, text).unwrap();
        let output = bureau.command(&["serve"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(says), "{says}: {said}");
    }
}

/// A page's form with a photograph, as somebody with a session sends it; status and where it leads.
async fn send_page(bureau: &Bureau, cookie: &str, csrf: &str, photo: &[u8]) -> (u16, String) {
    let parts = [("csrf", csrf), ("cardholder", "PB"), ("purpose", "sign_in"), ("place", PLACE)];
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let post = client.post(bureau.console_url("/check-in")).header("cookie", cookie);
    let answer = post.header("content-type", FORM).body(form(&parts, photo)).send().await.unwrap();
    let to = answer.headers().get("location").map(|l| l.to_str().unwrap().to_owned());
    (answer.status().as_u16(), to.unwrap_or_default())
}

#[tokio::test]
async fn the_page_tells_its_sender_and_officers_see_the_fact() {
    let bureau = open();
    let nurse = Person::new(&bureau, "nurse", &["ward"]).await;
    let page = nurse.ask("/check-in").await;
    assert_eq!(page.headers()["permissions-policy"], "camera=(self), microphone=(), geolocation=()");
    let page = page.text().await.unwrap();
    assert!(page.contains("at most 30 days") && page.contains("capture=\"environment\""), "{page}");
    let other = nurse.ask("/account").await;
    assert_eq!(other.headers()["permissions-policy"], "camera=(), microphone=(), geolocation=()");
    assert!(!other.text().await.unwrap().contains("href=\"/alerts\""), "the ward sees nothing else");

    let cookie = bureau.sign_in("nurse").await;
    let client = reqwest::Client::new();
    let own = client.get(bureau.console_url("/check-in")).header("cookie", &cookie).send().await.unwrap();
    let own = own.text().await.unwrap();
    let csrf = between(&own, "name=\"csrf\" value=\"", "\"");
    let photo = portrait("portrait-b1");
    assert_eq!(send_page(&bureau, &cookie, "of somebody else", &photo).await.0, 403);
    assert_eq!(send_page(&bureau, &cookie, csrf, b"").await.0, 422);
    let (status, done) = send_page(&bureau, &cookie, csrf, &photo).await;
    assert_eq!(status, 303);
    let told = nurse.page(&done).await;
    assert!(told.contains("Match") && told.contains(PLACE) && told.contains("PB"), "{told}");
    let acts = acts(&bureau);
    let newest: Vec<&str> = acts.iter().take(2).map(|a| a["what"].as_str().unwrap()).collect();
    assert_eq!(newest, ["check-in look", "check-in"]);
    let second = Person::new(&bureau, "second", &["ward"]).await;
    assert_eq!(second.get(&done).await.0, 404, "what came of it is told to whoever asked");
    let officer = Person::new(&bureau, "officer", &["privacy_officer"]).await;
    let listed = officer.page("/check-ins").await;
    assert!(listed.contains("PB") && listed.contains("nurse") && listed.contains(PLACE), "{listed}");
    assert!(officer.in_chinese().page("/check-ins?verdict=mismatch").await.contains("没有核对记录"));
}

/// The beginning of a photograph that does not go on.
fn half_sent(console: &str) -> std::net::TcpStream {
    use std::io::Write;
    let address = console.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/check-ins HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: {FORM}\r\nContent-Length: 9000\r\n\r\n--xyz\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[tokio::test]
async fn whoever_asks_too_much_is_told_to_wait() {
    let mut bureau = prepare("[console]\n");
    bureau.run();
    let client = reqwest::Client::new();
    let url = bureau.console_url("/v1/check-ins");
    let ask = async |who: &str| {
        let parts = [("cardholder", who), ("purpose", "sign_in"), ("place", PLACE)];
        let post = client.post(&url).bearer_auth(TOKEN).header("content-type", FORM);
        post.body(form(&parts, b"x")).send().await.unwrap()
    };
    let waits = |answer: &Response| {
        let after = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().parse::<u64>().unwrap());
        (answer.status().as_u16(), after.is_some_and(|s| s > 0))
    };
    // About one person, whoever it is: ten times.
    for _ in 0..10 {
        assert_eq!(ask("PZ").await.status().as_u16(), 201);
    }
    assert_eq!(waits(&ask("PZ").await), (429, true));
    // Eight that are on their way leave no room for another.
    let mut on_the_way = Vec::new();
    let mut last = ask("P0").await;
    for n in 1..20 {
        if last.status().as_u16() == 503 {
            break;
        }
        on_the_way.push(half_sent(&bureau.console_url("")));
        last = ask(&format!("P{n}")).await;
    }
    assert_eq!(waits(&last), (503, true));
    drop(on_the_way);
    // And by one app: sixty a minute.
    let mut status = 0;
    for n in 100..180 {
        status = ask(&format!("P{n}")).await.status().as_u16();
        if status == 429 {
            break;
        }
    }
    assert_eq!(status, 429);
}
