//! Every sentence of the page, in both languages side by side. The page and its
//! script take their words from here alone.

use crate::http::language::Language;

/// A name, and its words in Chinese and English.
type Entry = (&'static str, &'static str, &'static str);

const ALL: &[Entry] = &[
    ("title", "摄像头对准", "Aim the camera"),
    ("where", "counterproof · 窗口", "counterproof · Counter"),
    ("other_language", "English", "中文"),
    ("left", "剩余时间", "Time left"),
    ("ended", "对准已结束。可关闭本页。", "Aiming has ended. You may close this page."),
    ("unreachable", "程序没有应答：对准可能已结束。", "The program does not answer: aiming may have ended."),
    ("end", "结束", "End now"),
    (
        "outlines",
        "只显示轮廓和数字，不显示画面；不计算人脸特征，不保存任何人脸信息。",
        "Outlines and numbers only, no picture. No embedding is computed and nothing of a face is kept.",
    ),
    (
        "with_picture",
        "正在显示粗马赛克画面，人脸已抹去；60 秒后自动停止。此次操作已记入审计日志。",
        "The camera's picture is shown in coarse blocks, faces as one tone. It ends by itself after 60 s. This is in the audit log.",
    ),
    ("picture_over", "画面显示已结束，轮廓继续。", "The picture has ended; outlines go on."),
    ("picture_left", "画面剩余", "Picture ends in"),
    ("stage", "视野", "View"),
    (
        "stage_label",
        "摄像头视野轮廓：采集区域与检测到的人脸框",
        "Outline of the camera's view: capture region and boxes of the faces found",
    ),
    ("camera", "摄像头", "Camera"),
    ("no_picture_yet", "还没有收到图像", "No picture has come yet"),
    ("size", "尺寸", "Size"),
    ("rate", "每秒帧数", "Pictures a second"),
    ("age", "最近一帧（毫秒前）", "Newest picture (ms ago)"),
    ("light", "采集区域光线", "Light in the region"),
    ("light_mean", "平均亮度", "Mean brightness"),
    ("light_dark", "过暗占比", "Share too dark"),
    ("light_bright", "过亮占比", "Share too bright"),
    ("light_ok", "光线合适", "The light is right"),
    (
        "fault_too_dark",
        "太暗：给人脸补光，光源不要在人背后；检查镜头盖。",
        "Too dark: put light on the person, not behind them; look at the lens cover.",
    ),
    (
        "fault_too_bright",
        "太亮：避开窗户和灯，或降低摄像头曝光。",
        "Too bright: turn away from windows and lamps, or lower the camera's exposure.",
    ),
    ("face", "人脸", "Face"),
    (
        "nobody",
        "采集区域内没有检测到人脸。请一位同事站到办理位置。",
        "No face is found in the region. Ask a colleague to stand where people stand.",
    ),
    ("face_ok", "可用于核验", "Good for verification"),
    ("ok", "合格", "ok"),
    ("not_ok", "不合格", "not ok"),
    ("allowed", "允许", "allowed"),
    ("least", "至少", "at least"),
    ("most", "至多", "at most"),
    ("inter_eye", "两眼间距（像素）", "Between the eyes (pixels)"),
    ("detection", "检测置信度", "Detector's confidence"),
    ("yaw", "左右偏转", "Turn to the side"),
    ("pitch", "俯仰", "Nod"),
    ("roll", "倾斜（度）", "Tilt (degrees)"),
    ("sharpness", "清晰度", "Sharpness"),
    ("brightness", "脸部亮度", "Brightness of the face"),
    ("contrast", "脸部反差", "Contrast of the face"),
    ("inside", "在区域内的比例", "Share inside the region"),
    (
        "flaw_too_small",
        "人脸太小：摄像头移近，或换长焦、提高分辨率。",
        "Too small: bring the camera nearer, zoom in, or set a larger picture.",
    ),
    (
        "flaw_doubtful_face",
        "不确定是人脸：检查遮挡、角度和光线。",
        "Hardly a face: look at what hides it, the angle and the light.",
    ),
    (
        "flaw_turned_away",
        "未正对镜头：把摄像头移到人看工作人员的方向，高度接近眼睛。",
        "Turned away: move the camera to where people look when they speak to the clerk, at eye level.",
    ),
    ("flaw_blurred", "模糊：对焦，擦拭镜头，增加光线。", "Blurred: focus, clean the lens, give more light."),
    ("flaw_too_dark", "脸部太暗：从正面补光。", "The face is too dark: light it from the front."),
    (
        "flaw_too_bright",
        "脸部太亮：移开直射光，降低曝光。",
        "The face is too bright: take direct light away, lower the exposure.",
    ),
    (
        "flaw_low_contrast",
        "反差太小：擦拭镜头，避免逆光和雾面玻璃。",
        "Too little contrast: clean the lens, avoid light from behind and frosted glass.",
    ),
    (
        "flaw_truncated",
        "被区域边缘切断：调整区域或摄像头。",
        "Cut by the edge: move the region or the camera.",
    ),
    ("flaw_occluded", "口鼻被遮住。", "Mouth and chin are hidden."),
    ("region", "采集区域", "Capture region"),
    (
        "region_help",
        "用鼠标拖动方框或四角，或在空白处画新框；也可填写数字（占画面的比例）。只框办理人站立处，不要框到排队的人和工作人员。",
        "Drag the frame or its corners, draw a new one, or type the shares of the picture. Take in where the person served stands, not the queue and not the clerk.",
    ),
    ("region_x", "左", "Left"),
    ("region_y", "上", "Top"),
    ("region_w", "宽", "Width"),
    ("region_h", "高", "Height"),
    ("save", "写入配置", "Write to the configuration"),
    ("undo", "还原", "Undo"),
    ("saved", "已写入配置。", "Written to the configuration."),
    ("not_saved", "没有写入：", "Not written:"),
    ("unsaved", "方框已改动，尚未写入。", "The frame was changed and is not written yet."),
    (
        "policy_changed",
        "采集区域是隐私策略的一部分：策略和告知书的摘要已改变。请依次完成以下各步，否则程序重启后不会启动：",
        "The region is part of the privacy policy: the digests of the policy and of its notice have changed. Do this now, in this order, or the agent will not start again:",
    ),
    ("step_0", "打印新的告知书并张贴：", "Print the new notice and post it:"),
    ("step_1", "在配置中写入告知书摘要：", "Write the notice's digest into the configuration:"),
    ("step_2", "写入张贴日期：", "Write the day it was posted:"),
    ("step_3", "检查：", "Check:"),
    (
        "step_4",
        "把新策略送医保局申报（counterproof-bureau agents declare）：",
        "Send the new policy to the bureau, which declares it (counterproof-bureau agents declare):",
    ),
    ("step_5", "重启服务，新区域才生效：", "Restart the agent; until then it keeps the former region:"),
    ("reference", "参考视野", "Reference view"),
    (
        "reference_help",
        "对准后记下视野（只存边缘分布，不存画面）：以后摄像头被移动，程序会发现。请在窗口前没有人时记下。",
        "Keep the view once the camera is aimed (where edges are, no picture): a camera that is moved later is then noticed. Best with nobody at the counter.",
    ),
    ("reference_keep", "记下当前视野", "Keep this view"),
    ("reference_kept", "已记下；程序下次查看时采用。", "Kept; the agent takes it up at its next look."),
    ("reference_not_kept", "没有记下：", "Not kept:"),
    ("trouble", "摄像头故障", "The camera is in trouble"),
    ("no_script", "本页需要 JavaScript。", "This page needs JavaScript."),
];

/// One word or sentence.
pub(super) struct Word {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// All of them in one language.
pub(super) fn words(language: Language) -> Vec<Word> {
    let of = |(name, chinese, english): &Entry| match language {
        Language::Chinese => Word { name, text: chinese },
        Language::English => Word { name, text: english },
    };
    ALL.iter().map(of).collect()
}

/// The one of this name; empty if there is none, which a test excludes.
pub(super) fn word(language: Language, name: &str) -> &'static str {
    words(language).iter().find(|w| w.name == name).map_or("", |w| w.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = include_str!("../../../templates/aim.js");
    const PAGE: &str = include_str!("../../../templates/aim.html");

    #[test]
    fn both_languages_have_every_message() {
        let is_chinese = |t: &str| t.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for (name, chinese, english) in ALL {
            assert!(!chinese.trim().is_empty() && !english.trim().is_empty(), "{name} is empty");
            // The switch names the other language in that language.
            if *name != "other_language" {
                assert!(is_chinese(chinese) && !is_chinese(english), "{name}: {chinese} / {english}");
            }
        }
    }

    #[test]
    fn every_message_is_used_and_every_name_that_is_used_is_there() {
        // Names that the script puts together.
        let made = ["flaw_", "fault_", "step_", "light_", "region_"];
        let measures = include_str!("looker.rs");
        for (name, ..) in ALL {
            let used = [SCRIPT, measures].iter().any(|s| s.contains(&format!("\"{name}\"")))
                || PAGE.contains(&format!("\"{name}\""))
                || made.iter().any(|m| name.starts_with(m));
            assert!(used, "{name} is not used");
        }
        for named in SCRIPT.split("word(\"").skip(1).filter_map(|s| s.split('"').next()) {
            let known = ALL.iter().any(|(name, ..)| *name == named) || made.contains(&named);
            assert!(known, "{named} is asked for");
        }
        for named in PAGE.split("self.word(\"").skip(1).filter_map(|s| s.split('"').next()) {
            assert!(ALL.iter().any(|(name, ..)| *name == named), "{named} is asked for");
        }
    }

    #[test]
    fn script_and_template_have_no_sentence_of_their_own() {
        assert!(SCRIPT.is_ascii() && !SCRIPT.contains("innerHTML"));
        let outside = crate::http::language::outside_tags(PAGE);
        assert!(!outside.contains(char::is_alphabetic), "{outside}");
    }
}
