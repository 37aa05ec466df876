//! The configurations of a throw-away box and its bureau.

use std::path::{Path, PathBuf};

use super::{Camera, Wishes};

/// Stands in the configuration until the notice that it makes has a digest.
pub(super) const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) fn bureau_toml(models: &Path, more: &str) -> String {
    format!(
        r#"# A throw-away bureau on loopback.
[server]
listen = "127.0.0.1:0"
[server.tls]
ca = "pki/ca.pem"
certificate = "pki/bureau.pem"
key = "pki/bureau.key"
[console]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[store]
path = "bureau.db"
root_key = "bureau-keys/root.key"
[keys]
signing = "bureau-keys/signing.key"
[models]
manifest = "{}"
{more}"#,
        models.display()
    )
}

/// Beside the models where the package is installed, in `config` in a checkout.
pub(super) fn shipped_calibration(models: &Path) -> PathBuf {
    const FILE: &str = "calibrations/sface-2021dec.toml";
    let beside = models.parent().unwrap_or(models).join("..");
    let installed = beside.join(FILE);
    if installed.exists() { installed } else { beside.join("config").join(FILE) }
}

pub(super) fn agent_toml(models: &Path, bureau_port: &str, bureau_key: &str, wishes: &Wishes) -> String {
    let calibration = shipped_calibration(models);
    let counters: String =
        wishes.counters.iter().map(|(id, camera)| counter_toml(id, camera, wishes)).collect();
    format!(
        r#"# A throw-away box on loopback.
[agent]
name = "box-1"
hospital = "H00000000001"
state = "state"
[keys]
root = "keys/root.key"
signing = "keys/signing.key"
[bureau]
url = "https://localhost:{bureau_port}"
public_key = "{bureau_key}"
[bureau.tls]
ca = "pki/ca.pem"
certificate = "pki/box-1.pem"
key = "pki/box-1.key"
[his]
listen = "127.0.0.1:0"
token = "keys/his.token"
clock_error_ms = 150
delay_ms = 5000
[metrics]
listen = "127.0.0.1:0"
[models]
manifest = "{models}"
[decision]
calibration = "{calibration}"
hold_ms = {hold}
medical_types = ["11", "12", "13", "14", "41"]
# The cameras of this box are drawn from still photographs: liveness would
# rightly refuse them, so it is off, by name.
[liveness]
mode = "off"
{counters}
[privacy]
controller = "演示医院 Demonstration Hospital"
contact = "演示 demonstration"
alternative = "出示证件，由窗口人员核对 identity document, checked by the clerk"
[privacy.basis]
kind = "statutory_duty"
instrument = "演示 demonstration only"
article = "0"
[privacy.notice]
id = "DEMO-1"
wording = 1
sha256 = "{NO_DIGEST}"
posted_on = "2026-01-01"
place = "w01, w02"
[privacy.impact_assessment]
id = "DEMO-1"
review_by = "2099-01-01"
[privacy.retention]
frames_seconds = 20
journal_hours = 24
acknowledged_alerts_days = 7
waiting_alerts_days = 90
withdrawal_links_days = 180
"#,
        models = models.display(),
        calibration = calibration.display(),
        hold = wishes.hold_ms,
    )
}

fn counter_toml(id: &str, camera: &Camera, wishes: &Wishes) -> String {
    let camera = match camera {
        Camera::Replay(path) => {
            format!("kind = \"replay\"\npath = \"{}\"\nframes_per_second = 15\n", path.display())
        }
        Camera::Rtsp(url) => format!("kind = \"rtsp\"\nurl = \"{url}\"\n"),
        Camera::V4l2(device) => {
            format!("kind = \"v4l2\"\ndevice = \"{}\"\nwidth = 640\nheight = 480\n", device.display())
        }
    };
    format!(
        "[[counters]]\nid = \"{id}\"\nbefore_ms = {}\nafter_ms = {}\n\
         region = {{ x = 0, y = 0, w = 1, h = 1 }}\n[counters.camera]\n{camera}",
        wishes.before_ms, wishes.after_ms
    )
}

/// What an entrance is watched under, to stand behind `[privacy.retention]`.
pub fn entrance_toml(counter: &str) -> String {
    format!(
        r#"[privacy.entrance.basis]
kind = "statutory_duty"
instrument = "演示 demonstration only"
article = "0"
[privacy.entrance.notice]
id = "DEMO-2"
wording = 1
sha256 = "{NO_DIGEST}"
posted_on = "2026-01-01"
place = "{counter}"
[privacy.entrance.impact_assessment]
id = "DEMO-2"
review_by = "2099-01-01"
"#
    )
}
