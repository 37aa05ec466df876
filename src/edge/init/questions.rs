//! What is asked, in which order, and what follows from an answer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use crate::crypto::sign::PublicKey;
use crate::frame::Region;
use crate::privacy::policy::CaptureRegion;
use crate::protocol::id::{AgentId, CounterId, HospitalId};

use super::InitError;
use super::ask::{Asking, Question, Words};
use super::signed;

/// Every answer.
pub(super) struct Whole {
    /// The box's name.
    pub(super) name: String,
    /// What goes into the example as it was said, by dotted key.
    pub(super) values: Vec<(&'static str, String)>,
    /// `[his.tls]`, for another address than loopback.
    pub(super) his_tls: Option<Vec<(&'static str, String)>>,
    pub(super) counters: Vec<Counter>,
    /// When the notice was posted, if it was.
    pub(super) posted_on: Option<Date>,
    /// Where keys are to be made, if they are.
    pub(super) make_keys: Option<PathBuf>,
}

/// A counter.
pub(super) struct Counter {
    pub(super) id: String,
    pub(super) camera: Camera,
    /// x, y, w, h.
    pub(super) region: [f64; 4],
}

/// What looks there.
pub(super) enum Camera {
    Replay {
        path: String,
    },
    V4l2 {
        device: String,
    },
    /// User, and where the password lies.
    Rtsp {
        url: String,
        login: Option<(String, String)>,
    },
}

fn parses<T: std::str::FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

/// A line that may stand in a policy: it is printed.
pub(super) fn a_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
}

fn yes_or_no(text: &str) -> bool {
    matches!(text, "yes" | "no")
}

fn login_free_url(text: &str) -> bool {
    text.strip_prefix("rtsp://").is_some_and(|rest| !rest.is_empty() && !rest.contains('@'))
}

fn bureau_url(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

fn shares(text: &str) -> Option<[f64; 4]> {
    if text == "whole" {
        return Some([0.0, 0.0, 1.0, 1.0]);
    }
    let numbers: Vec<f64> =
        text.split([' ', ',']).filter(|p| !p.is_empty()).map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let all: [f64; 4] = numbers.try_into().ok()?;
    let [x, y, w, h] = all.map(|n| n as f32);
    CaptureRegion::of(Region { x, y, w, h }).map(|_| all)
}

fn ids(text: &str) -> Option<Vec<String>> {
    let ids: Vec<String> =
        text.split([',', ' ', '，']).filter(|p| !p.is_empty()).map(str::to_owned).collect();
    let valid = !ids.is_empty() && ids.iter().all(|id| parses::<CounterId>(id));
    let once = ids.iter().enumerate().all(|(i, id)| !ids.iter().take(i).any(|o| o == id));
    (valid && once).then_some(ids)
}

/// Asks one thing.
pub(super) struct Asker<'a> {
    asking: &'a mut dyn Asking,
}

impl Asker<'_> {
    pub(super) fn ask(
        &mut self,
        key: impl Into<String>,
        (zh, en): (&'static str, &'static str),
        (allowed_zh, allowed_en): (&'static str, &'static str),
        default: Option<&str>,
        will_do: &dyn Fn(&str) -> bool,
    ) -> Result<String, InitError> {
        self.asking.ask(&Question {
            key: key.into(),
            what: Words { zh, en },
            allowed: Words { zh: allowed_zh, en: allowed_en },
            default: default.map(str::to_owned),
            will_do,
            quiet: false,
        })
    }

    /// Asked of a file alone.
    fn quiet(&mut self, key: &str, default: String) -> Result<String, InitError> {
        let nothing = Words { zh: "一行文字", en: "a line of text" };
        self.asking.ask(&Question {
            key: key.into(),
            what: nothing,
            allowed: nothing,
            default: Some(default),
            will_do: &a_line,
            quiet: true,
        })
    }
}

/// Asks everything; `file` is where the configuration will lie.
pub(super) fn all(asking: &mut dyn Asking, file: &Path) -> Result<Whole, InitError> {
    let mut ask = Asker { asking };
    let mut values = Vec::new();
    let name = box_and_bureau(&mut ask, &mut values)?;
    let (secrets, make_keys) = keys(&mut ask, &mut values, file)?;
    let his_tls = his(&mut ask, &mut values, &secrets)?;
    for (key, default) in [
        ("agent.state", "/var/lib/counterproof".to_owned()),
        ("models.manifest", "/usr/share/counterproof/models/models.toml".to_owned()),
        ("decision.calibration", "/usr/share/counterproof/calibrations/sface-2021dec.toml".to_owned()),
        ("bureau.tls.ca", "bureau-ca.pem".to_owned()),
        ("bureau.tls.certificate", format!("{name}.pem")),
        ("liveness.mode", "averaged".to_owned()),
    ] {
        let answer = ask.quiet(key, default)?;
        values.push((key, answer));
    }
    let counters = counters(&mut ask)?;
    let posted_on = signed::ask(&mut ask, &mut values)?;
    Ok(Whole { name, values, his_tls, counters, posted_on, make_keys })
}

fn box_and_bureau(ask: &mut Asker, values: &mut Vec<(&'static str, String)>) -> Result<String, InitError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|h| parses::<AgentId>(h));
    let name = ask.ask(
        "agent.name",
        ("这台终端的名称，须与医保局登记的一致。", "This box's name, as the bureau registers it."),
        ("字母、数字和 - _ .", "letters, digits and - _ ."),
        host,
        &parses::<AgentId>,
    )?;
    values.push(("agent.name", name.clone()));
    values.push((
        "agent.hospital",
        ask.ask(
            "agent.hospital",
            ("医疗机构编码（fixmedins_code）。", "The institution's code (fixmedins_code)."),
            ("例如 H00000000001", "such as H00000000001"),
            None,
            &parses::<HospitalId>,
        )?,
    ));
    values.push((
        "bureau.url",
        ask.ask(
            "bureau.url",
            ("医保局服务器地址，向其运维人员索取。", "Where the bureau is; its operator tells."),
            ("https://主机:端口，不带路径", "https://host:port without a path"),
            None,
            &bureau_url,
        )?,
    ));
    values.push((
        "bureau.public_key",
        ask.ask(
            "bureau.public_key",
            (
                "医保局的签名公钥：其运维人员用 counterproof-bureau show-key 打印。只信任这一把。",
                "The bureau's signing key, as `counterproof-bureau show-key` prints it there. No other is trusted.",
            ),
            ("44 个 base64 字符", "44 characters of base64"),
            None,
            &|text| PublicKey::from_base64(text).is_ok(),
        )?,
    ));
    Ok(name)
}

/// Where secrets lie, as the configuration names them; and where to make them.
fn keys(
    ask: &mut Asker,
    values: &mut Vec<(&'static str, String)>,
    file: &Path,
) -> Result<(impl Fn(&str) -> String + use<>, Option<PathBuf>), InitError> {
    let place = ask.ask(
        "keys.place",
        (
            "密钥和 HIS 令牌放在哪里？`credentials` 表示由 systemd 服务单元载入（推荐）；否则填一个文件夹，其中文件权限须为 0600。",
            "Where are the keys and the HIS token? `credentials`: the systemd unit loads them, which is best; else a folder, its files with mode 0600.",
        ),
        ("credentials 或文件夹", "credentials, or a folder"),
        Some("credentials"),
        &a_line,
    )?;
    let beside = file.parent().unwrap_or(Path::new("/")).join("keys");
    let folder = (place != "credentials").then(|| place.clone());
    let named = move |secret: &str| match &folder {
        None => format!("credential:{secret}"),
        Some(folder) => format!("{}/{secret}", folder.trim_end_matches('/')),
    };
    for (key, secret) in [
        ("keys.root", "root.key"),
        ("keys.signing", "signing.key"),
        ("his.token", "his.token"),
        ("bureau.tls.key", "tls.key"),
    ] {
        values.push((key, named(secret)));
    }
    let make = ask.ask(
        "keys.make",
        (
            "现在生成密钥、HIS 令牌和证书申请？已有的不会被覆盖。",
            "Make the keys, the HIS token and a certificate request now? What is there stays.",
        ),
        ("yes 或 no", "yes or no"),
        Some("yes"),
        &yes_or_no,
    )?;
    let folder = match place.as_str() {
        "credentials" => beside,
        folder => file.parent().unwrap_or(Path::new("/")).join(folder),
    };
    Ok((named, (make == "yes").then_some(folder)))
}

fn his(
    ask: &mut Asker,
    values: &mut Vec<(&'static str, String)>,
    secret: &dyn Fn(&str) -> String,
) -> Result<Option<Vec<(&'static str, String)>>, InitError> {
    let listen = ask.ask(
        "his.listen",
        (
            "HIS 把结算消息发到哪个地址？同机用 127.0.0.1；医院内网地址另需证书。",
            "Where does the HIS send settlements? 127.0.0.1 if it is on this machine; another address of this box needs certificates.",
        ),
        ("地址:端口", "address:port"),
        Some("127.0.0.1:8701"),
        &parses::<SocketAddr>,
    )?;
    let on_a_lan = listen.parse::<SocketAddr>().is_ok_and(|a| !a.ip().is_loopback());
    values.push(("his.listen", listen));
    if !on_a_lan {
        return Ok(None);
    }
    let mut tls = Vec::new();
    for (key, short, what, default) in [
        (
            "his.tls.ca",
            "ca",
            (
                "签发 HIS 客户端证书的机构（PEM 文件）。",
                "The authority that signs the HIS's certificate (PEM file).",
            ),
            "his-ca.pem".to_owned(),
        ),
        (
            "his.tls.certificate",
            "certificate",
            ("本终端在内网的证书（PEM 文件）。", "This box's certificate on the LAN (PEM file)."),
            "his.pem".to_owned(),
        ),
        ("his.tls.key", "key", ("该证书的私钥所在。", "Where its private key lies."), secret("tls.key")),
    ] {
        let place = ("文件，或 credential:名称", "a file, or credential:NAME");
        tls.push((short, ask.ask(key, what, place, Some(&default), &a_line)?));
    }
    Ok(Some(tls))
}

fn counters(ask: &mut Asker) -> Result<Vec<Counter>, InitError> {
    let named = ask.ask(
        "counters",
        (
            "本终端看管哪些窗口？写结算消息中的窗口编号，逗号分隔。",
            "Which counters does this box watch? Their names in settlements, with commas between.",
        ),
        ("例如 w01, w02；每个一次", "such as w01, w02; each once"),
        None,
        &|text| ids(text).is_some(),
    )?;
    ids(&named).unwrap_or_default().into_iter().map(|id| counter(ask, id)).collect()
}

fn counter(ask: &mut Asker, id: String) -> Result<Counter, InitError> {
    let key = |name: &str| format!("counter.{id}.{name}");
    let kind = ask.ask(
        key("kind"),
        (
            "这个窗口的摄像头：v4l2（USB）、rtsp（网络，H.264）或 replay（回放文件夹，仅供试用）。",
            "This counter's camera: v4l2 (USB), rtsp (network, H.264) or replay (a folder of pictures, for trials).",
        ),
        ("v4l2、rtsp 或 replay", "v4l2, rtsp or replay"),
        None,
        &|text| matches!(text, "v4l2" | "rtsp" | "replay"),
    )?;
    let camera = match kind.as_str() {
        "v4l2" => usb(ask, key("device"))?,
        "rtsp" => network(ask, &key)?,
        _ => Camera::Replay {
            path: ask.ask(
                key("path"),
                ("JPEG 图片文件夹或 MJPEG 文件。", "A folder of JPEG pictures, or an MJPEG file."),
                ("路径", "a path"),
                None,
                &a_line,
            )?,
        },
    };
    let region = ask.ask(
        key("region"),
        (
            "采集区域：办理人站立处在画面中的左、上、宽、高（占画面的比例）。它是隐私策略的一部分，没有默认值；之后可用 counterproof aim 用鼠标画。",
            "The capture region: left, top, width, height of where people stand, as shares of the picture. It is part of the privacy policy and has no default; `counterproof aim` lets you draw it later.",
        ),
        ("四个 0 到 1 的数，例如 0.1 0 0.8 1；或 whole（整个画面）", "four numbers from 0 to 1, such as 0.1 0 0.8 1; or whole"),
        None,
        &|text| shares(text).is_some(),
    )?;
    Ok(Counter { camera, region: shares(&region).unwrap_or_default(), id })
}

/// USB cameras that are there: by the names that stay with the camera, if any.
fn usb_devices() -> Vec<String> {
    let list = |folder: &str, prefix: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<String> = entries
            .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
            .map(|e| e.path().display().to_string())
            .collect();
        found.sort();
        found
    };
    // A camera has a second device for its metadata, which has no pictures.
    let by_id: Vec<String> =
        list("/dev/v4l/by-id", "").into_iter().filter(|d| d.ends_with("index0")).collect();
    if by_id.is_empty() { list("/dev", "video") } else { by_id }
}

fn usb(ask: &mut Asker, key: String) -> Result<Camera, InitError> {
    let found = usb_devices();
    found.iter().for_each(|device| ask.asking.show(device));
    let device = ask.ask(
        key,
        (
            "USB 摄像头设备。/dev/v4l/by-id/ 下的名称换插口也不变。",
            "The USB camera's device. Names under /dev/v4l/by-id/ stay when it is plugged elsewhere.",
        ),
        ("/dev/ 下的路径", "a path under /dev/"),
        found.first().filter(|_| found.len() == 1).map(String::as_str),
        &|text| text.starts_with("/dev/"),
    )?;
    Ok(Camera::V4l2 { device })
}

fn network(ask: &mut Asker, key: &dyn Fn(&str) -> String) -> Result<Camera, InitError> {
    let url = ask.ask(
        key("url"),
        (
            "网络摄像头的 RTSP 地址（H.264；够用的话选第二码流），不含用户名和密码。",
            "The network camera's RTSP address (H.264; its second stream if that is large enough), without user and password.",
        ),
        ("rtsp://地址/路径，不含 @", "rtsp://address/path, without @"),
        None,
        &login_free_url,
    )?;
    let user = ask.ask(
        key("user"),
        ("摄像头的用户名；没有则填 -。", "The user at the camera; - if it asks for none."),
        ("用户名，或 -", "a name, or -"),
        Some("-"),
        &a_line,
    )?;
    if user == "-" {
        return Ok(Camera::Rtsp { url, login: None });
    }
    let password = ask.ask(
        key("password"),
        ("密码放在哪里（不是密码本身）。", "Where the password lies, not the password itself."),
        ("权限 0600 的文件，或 credential:名称", "a file with mode 0600, or credential:NAME"),
        None,
        &|text| text.starts_with("credential:") || text.contains('/'),
    )?;
    Ok(Camera::Rtsp { url, login: Some((user, password)) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::edge::agent::today;

    /// Answers that make a configuration.
    pub(in crate::edge::init) fn whole() -> Whole {
        let values = [
            ("agent.name", "box-7"),
            ("agent.hospital", "H00000000007"),
            ("bureau.url", "https://bureau.example:8743"),
            ("bureau.public_key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("privacy.controller", "hospital"),
            ("privacy.basis.kind", "consent"),
            ("privacy.impact_assessment.review_by", "2099-01-01"),
        ];
        let counter = |id: &str, region| Counter {
            id: id.into(),
            camera: Camera::Replay { path: format!("/srv/{id}") },
            region,
        };
        Whole {
            name: "box-7".into(),
            values: values.map(|(k, v)| (k, v.to_owned())).to_vec(),
            his_tls: None,
            counters: vec![counter("w03", [0.25, 0.0, 0.5, 1.0]), counter("w04", [0.0, 0.0, 1.0, 1.0])],
            posted_on: Some(today()),
            make_keys: None,
        }
    }

    #[test]
    fn answers_are_checked() {
        assert_eq!(shares("0.1, 0 0.8 1"), Some([0.1, 0.0, 0.8, 1.0]));
        assert_eq!(shares("whole"), Some([0.0, 0.0, 1.0, 1.0]));
        for bad in ["", "0 0 1", "0.5 0 0.6 1", "a b c d", "0 0 1 1 1", "0.12345 0 0.5 1"] {
            assert!(shares(bad).is_none(), "{bad}");
        }
        assert_eq!(ids("w01，w02, w03").map(|i| i.len()), Some(3));
        assert!(ids("w01, w01").is_none() && ids("").is_none() && ids("w 0/1").is_none());
        assert!(
            bureau_url("https://b.example:8743") && !bureau_url("https://b/x") && !bureau_url("http://b")
        );
        assert!(login_free_url("rtsp://192.0.2.1/s") && !login_free_url("rtsp://a:b@192.0.2.1/s"));
    }

    #[test]
    fn nobody_signs_by_pressing_enter() {
        struct Enter(Vec<String>);
        impl Asking for Enter {
            fn ask(&mut self, q: &Question) -> Result<String, InitError> {
                self.0.push(q.key.clone());
                let made_up = match q.key.as_str() {
                    "agent.hospital" => "H1",
                    "bureau.url" => "https://b:1",
                    "bureau.public_key" => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                    "counters" => "w1",
                    "counter.w1.kind" => "replay",
                    "counter.w1.path" => "/srv",
                    "counter.w1.region" => "whole",
                    "agent.name" => "b",
                    _ => "",
                };
                let given = q.default.clone().unwrap_or_else(|| made_up.to_owned());
                if (q.will_do)(&given) {
                    return Ok(given);
                }
                Err(InitError::Unanswered { key: q.key.clone(), allowed: q.allowed.en.into() })
            }
            fn show(&mut self, _: &str) {}
        }
        let mut enter = Enter(Vec::new());
        let refused = all(&mut enter, Path::new("/etc/c.toml"));
        assert!(refused.is_err());
        assert_eq!(enter.0.last().map(String::as_str), Some("privacy.controller"));
    }
}
