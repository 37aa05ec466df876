//! The notice that is posted, made from the policy that is enforced.
//!
//! Promises: the text says every limit and every name of the policy in Chinese
//! and in English, and nothing that changes when it is posted (not its own
//! digest, not the date); so the digest that the configuration declares is
//! that of the text on the wall, and a policy that changes asks for a new one.
//! The page for printing holds exactly the text. The words are in `wording`.

use std::fmt::Write;

use super::entrance_wording;
use super::policy::Policy;
use super::wording::{Sheet, sheets};
use crate::crypto::Sha256;
use crate::svg::escape;

/// A notice in both languages.
pub struct Printed {
    sheets: [Sheet; 2],
}

/// The notice of a policy.
pub fn of(policy: &Policy) -> Printed {
    Printed { sheets: sheets(policy) }
}

/// The notice that is posted at entrances, if the policy watches any.
pub fn of_entrance(policy: &Policy) -> Option<Printed> {
    let entrance = policy.entrance.as_ref()?;
    Some(Printed { sheets: entrance_wording::sheets(policy, entrance) })
}

const STYLE: &str = "\
@page { size: A4; margin: 0; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #111; font: 11pt/1.42 'Noto Sans CJK SC', 'Source Han Sans SC', 'Microsoft YaHei', 'PingFang SC', sans-serif; }
section { width: 210mm; min-height: 290mm; margin: 0 auto; padding: 11mm 16mm 7mm; page-break-after: always; break-after: page; }
section:last-child { page-break-after: auto; break-after: auto; }
h1 { margin: 0; font-size: 23pt; line-height: 1.25; text-align: center; }
h2 { margin: 2.4mm 0 0.5mm; font-size: 12pt; line-height: 1.35; border-bottom: 0.35mm solid #111; break-after: avoid; }
p { margin: 0.3mm 0; overflow-wrap: anywhere; }
.about { margin: 1.5mm 0 0; text-align: center; color: #333; font-size: 10.5pt; }
.item { padding-left: 1em; text-indent: -0.75em; }
:lang(en) { font-size: 10pt; line-height: 1.34; }
:lang(en) h1 { font-size: 19pt; }
:lang(en) h2 { font-size: 11pt; margin-top: 2.2mm; }
:lang(en) p { font-size: 10pt; }
";

impl Printed {
    /// The same in these words, Chinese first.
    pub(super) fn of_sheets(sheets: [Sheet; 2]) -> Self {
        Self { sheets }
    }

    /// The sheet in a language, as HTML names it; the Chinese one if there is none.
    pub fn sheet(&self, lang: &str) -> &Sheet {
        let [chinese, other] = &self.sheets;
        if other.lang == lang { other } else { chinese }
    }

    /// The notice as plain text, Chinese first. Its bytes are what the digest is
    /// made of.
    pub fn text(&self) -> String {
        let one = |sheet: &Sheet| {
            let mut out = format!("{}\n{}\n", sheet.title, sheet.about);
            for section in &sheet.sections {
                let lines = section.lines.join("\n");
                out.push_str(&format!("\n{}\n{lines}\n", section.heading));
            }
            out
        };
        self.sheets.each_ref().map(one).join("\n\n")
    }

    /// SHA-256 of the text.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.text().as_bytes())
    }

    /// The same text as a page for printing: one sheet of A4 for each language,
    /// self-contained, without a script.
    pub fn html(&self) -> String {
        let mut out =
            String::from("<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n");
        out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
        let titles = self.sheets.each_ref().map(|s| s.title).join(" / ");
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>", escape(&titles));
        for sheet in &self.sheets {
            let (title, about) = (escape(sheet.title), escape(&sheet.about));
            let _ = writeln!(
                out,
                "<section lang=\"{}\">\n<h1>{title}</h1>\n<p class=\"about\">{about}</p>",
                sheet.lang
            );
            for section in &sheet.sections {
                let _ = writeln!(out, "<h2>{}</h2>", escape(section.heading));
                for line in &section.lines {
                    let class = if line.starts_with('·') { " class=\"item\"" } else { "" };
                    let _ = writeln!(out, "<p{class}>{}</p>", escape(line));
                }
            }
            out.push_str("</section>\n");
        }
        out.push_str("</body>\n</html>\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::declared::tests::with;
    use crate::privacy::policy::{CaptureRegion, Entrance, LIMITS, ROSTERS};

    #[test]
    fn every_limit_and_name_stands_in_both_languages() {
        let policy = with("show an identity card", "show a card");
        let text = of(&policy).text();
        let (chinese, english) = text.split_once("\n\n\n").unwrap();
        let figures = [
            ("内存中的摄像头画面：最多 21 秒", "camera pictures in memory: at most 21 seconds"),
            ("核验后的结算记录：最多 23 小时", "settlements, after their verdict: at most 23 hours"),
            ("已签收的预警：最多 6 天", "the bureau has acknowledged: at most 6 days"),
            ("尚未签收的预警：最多 89 天", "the bureau has not acknowledged: at most 89 days"),
            ("加密散列：最多 179 天", "for withdrawals: at most 179 days"),
        ];
        assert_eq!(figures.len(), LIMITS.len());
        for (zh, en) in figures {
            assert!(chinese.contains(zh), "{zh}: {chinese}");
            assert!(english.contains(en), "{en}: {english}");
        }
        for name in ["hospital", "office", "show a card", "regulation", "N1", "window 1", "w01", "w02", "80%"]
        {
            assert!(chinese.contains(name) && english.contains(name), "{name}");
        }
        assert!(with("journal_hours = 23", "journal_hours = 1").notice.sha256 != policy.notice.sha256);
        let hour = of(&with("journal_hours = 23", "journal_hours = 1")).text();
        assert!(hour.contains("at most 1 hour\n"), "{hour}");
    }

    #[test]
    fn changing_any_limit_changes_the_digest() {
        let base = of(&with("hospital", "hospital")).digest();
        for from in [
            "frames_seconds = 21",
            "journal_hours = 23",
            "acknowledged_alerts_days = 6",
            "waiting_alerts_days = 89",
            "withdrawal_links_days = 179",
        ] {
            let (key, value) = from.split_once(" = ").unwrap();
            let less = value.parse::<u64>().unwrap() - 1;
            assert_ne!(of(&with(from, &format!("{key} = {less}"))).digest(), base, "{from}");
        }
    }

    #[test]
    fn the_text_does_not_depend_on_what_is_known_only_once_it_is_posted() {
        let mut policy = with("hospital", "hospital");
        let before = of(&policy).text();
        policy.notice.sha256 = Sha256::of(b"another");
        policy.notice.posted_on = jiff::civil::date(2020, 2, 2);
        assert_eq!(of(&policy).text(), before);
    }

    /// What a browser would show, line by line.
    fn shown(html: &str) -> String {
        let body = html.split_once("<body>").unwrap().1;
        let mut out = String::new();
        let mut inside = false;
        for c in body.chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                _ if !inside => out.push(c),
                _ => {}
            }
        }
        for (name, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
            out = out.replace(name, c);
        }
        out
    }

    #[test]
    fn the_page_holds_exactly_the_text_and_no_script() {
        let printed = of(&with("\"hospital\"", "'<script>alert(\"&amp;\")</script>'"));
        let html = printed.html();
        let lines = |t: &str| -> Vec<String> {
            t.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect()
        };
        assert_eq!(lines(&shown(&html)), lines(&printed.text()));
        for active in ["<script", "src=", "href=", "url(", "@import", "http:", "https:"] {
            assert!(!html.contains(active), "{active}");
        }
    }

    #[test]
    fn the_entrance_has_a_notice_of_its_own_whose_first_wording_is_never_changed() {
        let mut policy = with("hospital", "hospital");
        assert!(of_entrance(&policy).is_none());
        let entrance = Entrance::for_evaluation();
        let region = CaptureRegion { x: 100, y: 0, w: 800, h: 1000 };
        policy.entrance = Some(Entrance {
            capture_regions_permille: [("d01".parse().unwrap(), region)].into(),
            ..entrance
        });
        policy.retention_s.insert(ROSTERS.key.into(), 7 * 3600);
        let text = of_entrance(&policy).unwrap().text();
        let (chinese, english) = text.split_once("\n\n\n").unwrap();
        assert!(chinese.contains("最多 7 小时") && english.contains("at most 7 hours"), "{text}");
        assert!(
            [chinese, english].iter().all(|t| t.contains("d01") && t.contains("80%") && t.contains("60"))
        );
        // What a shift's facts are kept for is told where they are made, and not at the windows.
        assert!(!of(&policy).text().contains(ROSTERS.what.zh));
        let known = "c53841575798feef915127048a7a77194bbbe0835ca261fbac62dbb9eebc34da";
        assert_eq!(
            Sha256::of(text.as_bytes()).to_string(),
            known,
            "published words are never changed:\n{text}"
        );
    }

    #[test]
    fn the_first_wording_is_never_changed() {
        let text = of(&with("hospital", "hospital")).text();
        let known = "879247d1ffb41cdc36118181a3796f5633103f13cff018489ae08481fabede1a";
        assert_eq!(
            Sha256::of(text.as_bytes()).to_string(),
            known,
            "published words are never changed:\n{text}"
        );
    }
}
