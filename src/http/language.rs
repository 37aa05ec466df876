//! Which language a page is in: `?lang=` if it is given, else what the
//! browser prefers, else Chinese.

use axum::http::{HeaderMap, header};

/// A language that pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// 中文
    Chinese,
    /// English
    English,
}

impl Language {
    /// Its tag in HTML and HTTP.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Chinese => Self::English,
            Self::English => Self::Chinese,
        }
    }

    fn of(tag: &str) -> Option<Self> {
        match tag.trim().split('-').next()?.to_ascii_lowercase().as_str() {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }
}

/// Chooses by the query, then by the `Accept-Language` of the headers.
pub fn of_request(asked: Option<&str>, headers: &HeaderMap) -> Language {
    choose(asked, headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()))
}

/// Chooses by the query, then by the text of `Accept-Language`.
fn choose(asked: Option<&str>, accepted: Option<&str>) -> Language {
    if let Some(language) = asked.and_then(Language::of) {
        return language;
    }
    let mut best = (0.0, Language::Chinese);
    for part in accepted.unwrap_or_default().split(',') {
        let (tag, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse().ok());
        if let (Some(language), Some(weight)) = (Language::of(tag), weight)
            && weight > best.0
        {
            best = (weight, language);
        }
    }
    best.1
}

/// What stands in a template outside its tags and its blocks: no sentence may.
#[cfg(test)]
pub fn outside_tags(template: &str) -> String {
    let mut depth = 0;
    let outside = template.chars().filter(|c| {
        match c {
            '<' | '{' => depth += 1,
            '>' | '}' => depth -= 1,
            _ => return depth == 0,
        }
        false
    });
    outside.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_query_wins_then_the_browser_then_chinese() {
        assert_eq!(choose(Some("en"), Some("zh-CN")), Language::English);
        assert_eq!(choose(Some("fr"), Some("en-GB")), Language::English);
        assert_eq!(choose(None, Some("fr, en;q=0.5, zh-TW;q=0.8")), Language::Chinese);
        assert_eq!(choose(None, Some("en;q=0.9, zh;q=0.2")), Language::English);
        assert_eq!(choose(None, None), Language::Chinese);
    }

    proptest! {
        #[test]
        fn any_header_gives_a_language(text in ".{0,80}") {
            let _ = choose(Some(&text), Some(&text));
        }
    }
}
