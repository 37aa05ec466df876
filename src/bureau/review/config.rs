//! `[review]`: when answers are due, and how long a declaration holds.

use serde::Deserialize;

use crate::settings::Problem;

/// `[review]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewConfig {
    /// A hospital's surveillance recording is taken to be overwritten so many days after
    /// the settlement.
    pub recording_days: u32,
    /// Within so many days an inquiry, a statement or papers are expected.
    pub reply_days: u32,
    /// A declaration of a proxy ends so many days after it was made.
    pub proxy_days: u32,
}

/// Longest that a proxy may be declared for at once, in days.
pub const MOST_PROXY_DAYS: u32 = 2 * 366;

impl Default for ReviewConfig {
    fn default() -> Self {
        Self { recording_days: 30, reply_days: 15, proxy_days: 365 }
    }
}

impl ReviewConfig {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        let recording = "Ask the hospital how long its recordings are kept. 公共安全视频图像信息系统管理条例 \
                         asks for 30 days at least.";
        let rows = [
            ("review.recording_days", self.recording_days, 365, recording),
            (
                "review.reply_days",
                self.reply_days,
                180,
                "What nobody expects, nobody notices when it is late.",
            ),
            (
                "review.proxy_days",
                self.proxy_days,
                MOST_PROXY_DAYS,
                "Who acts for somebody changes; a consent that nobody looks at again is none.",
            ),
        ];
        rows.into_iter()
            .filter(|(_, found, most, _)| !(1..=*most).contains(found))
            .map(|(key, found, most, advice)| Problem::new(key, found, format!("1 to {most} (days)"), advice))
            .collect()
    }
}
