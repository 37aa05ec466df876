//! What a person is told before and after the questions.

use std::path::Path;

use crate::http::language::Language;

use super::ask::Words;
use super::questions::Whole;

/// The first words to a person.
pub(super) fn welcome(language: Language) -> &'static str {
    Words {
        zh: "counterproof 终端配置。逐项回答；方括号内为默认值，直接回车即采用。Ctrl-C 中止，不写入任何内容。",
        en: "The configuration of a counterproof box. What stands in brackets is taken for an empty answer. Ctrl-C ends it, and nothing is written.",
    }
    .of(language)
}

pub(super) fn wrote(language: Language) -> &'static str {
    Words { zh: "已写入", en: "written" }.of(language)
}

pub(super) fn keys_kept(language: Language) -> &'static str {
    Words { zh: "已有密钥，保持不变", en: "keys are there already, and stay" }.of(language)
}

pub(super) fn public_key(language: Language) -> &'static str {
    Words { zh: "签名公钥，交给医保局", en: "public signing key, for the bureau" }.of(language)
}

/// What a technician does next.
pub(super) fn next(language: Language, file: &Path, whole: &Whole) -> String {
    let f = file.display();
    let counter = whole.counters.first().map_or("w01", |c| c.id.as_str());
    let say = |zh: &'static str, en: &'static str| Words { zh, en }.of(language);
    let mut lines = vec![
        say("接下来：", "Next:").to_owned(),
        say(
            "1. 把公钥和 tls.csr 交给医保局登记、签发证书。",
            "1. Give the public key and tls.csr to the bureau, which registers the box and signs its certificate.",
        )
        .to_owned(),
        format!(
            "2. {}\n   counterproof aim --config {f} --counter {counter}",
            say("对准每个摄像头，画采集区域：", "Aim each camera and draw its region:")
        ),
        format!(
            "3. {}\n   counterproof policy notice --html --config {f} > notice.html",
            say(
                "打印并张贴告知书，再把它的 sha256 和张贴日期写入 [privacy.notice]：",
                "Print and post the notice, then write its sha256 and the day into [privacy.notice]:"
            )
        ),
        format!(
            "4. {}\n   counterproof check --config {f}",
            say("检查，直到没有 FAILURE：", "Check until nothing says FAILURE:")
        ),
    ];
    if whole.make_keys.is_some() {
        lines.push(
            say(
                "以上命令前加 CREDENTIALS_DIRECTORY=密钥文件夹，如果密钥由 systemd 载入。",
                "Put CREDENTIALS_DIRECTORY=(folder of the keys) before these commands if systemd loads the keys.",
            )
            .to_owned(),
        );
    }
    lines.join("\n")
}
