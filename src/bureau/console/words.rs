//! Every sentence of the console, from message files: `locales/zh-CN` and `locales/en`.
//!
//! Promises: a message that one language lacks, that nothing uses, or that is used
//! and not there, fails a test. At run time a missing one shows its id and is logged.
//! Values are written as they are: no mark for the direction of writing is put
//! around them, since both languages run one way.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unic_langid::LanguageIdentifier;

use crate::http::language::Language;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const CHINESE: &[&str] =
            &[$(include_str!(concat!("../../../locales/zh-CN/", $name, ".ftl"))),*];
        const ENGLISH: &[&str] = &[$(include_str!(concat!("../../../locales/en/", $name, ".ftl"))),*];
    };
}

files! {
    "abnormal",
    "alert",
    "blind",
    "accounts",
    "acts",
    "boxes",
    "cases",
    "check_in",
    "failure",
    "frame",
    "ledger",
    "mail",
    "matters",
    "privacy",
    "queue",
    "reports",
    "rights",
    "rollouts",
    "sign_in",
    "statistics",
    "transfers",
}

/// Kinds of care that have a name here; provinces add others.
const NAMED_CARE: [&str; 12] = ["11", "12", "13", "14", "21", "22", "41", "51", "52", "91", "9901", "9902"];

/// The sentences in one language.
pub(super) struct Words(FluentBundle<FluentResource>);

impl Words {
    /// The sentences in `language`.
    pub(super) fn of(language: Language) -> &'static Self {
        static CHINESE_WORDS: LazyLock<Words> = LazyLock::new(|| Words::read("zh-CN", CHINESE));
        static ENGLISH_WORDS: LazyLock<Words> = LazyLock::new(|| Words::read("en", ENGLISH));
        match language {
            Language::Chinese => &CHINESE_WORDS,
            Language::English => &ENGLISH_WORDS,
        }
    }

    fn read(tag: &str, files: &[&str]) -> Self {
        let language: LanguageIdentifier = tag.parse().unwrap_or_default();
        let mut bundle = FluentBundle::new_concurrent(vec![language]);
        bundle.set_use_isolating(false);
        for file in files {
            let resource = FluentResource::try_new((*file).to_owned()).unwrap_or_else(|(rest, faults)| {
                tracing::error!(?faults, "a file of messages is not understood");
                rest
            });
            if let Err(faults) = bundle.add_resource(resource) {
                tracing::error!(?faults, "a message is there twice");
            }
        }
        Self(bundle)
    }

    /// A sentence.
    pub(super) fn say(&self, id: &str) -> String {
        self.say_with(id, &[])
    }

    /// A sentence with its values.
    pub(super) fn say_with(&self, id: &str, values: &[(&str, &str)]) -> String {
        let mut args = FluentArgs::new();
        for (name, value) in values {
            args.set((*name).to_owned(), (*value).to_owned());
        }
        self.format(id, &args)
    }

    /// A sentence that depends on a number, `$n` in it.
    pub(super) fn count(&self, id: &str, n: i64) -> String {
        let mut args = FluentArgs::new();
        args.set("n", n);
        self.format(id, &args)
    }

    /// The word for a value of the program: the message `PREFIX-value`, with `-` for `_`.
    pub(super) fn word(&self, prefix: &str, value: &str) -> String {
        self.say(&format!("{prefix}-{}", value.replace('_', "-")))
    }

    /// What a kind of care is called; its number where it has no name here.
    pub(super) fn care(&self, medical_type: &str) -> String {
        match NAMED_CARE.contains(&medical_type) {
            true => self.word("medical-type", medical_type),
            false => medical_type.to_owned(),
        }
    }

    fn format(&self, id: &str, args: &FluentArgs<'_>) -> String {
        let Some(pattern) = self.0.get_message(id).and_then(|m| m.value()) else {
            tracing::error!(id, "a message is missing");
            return id.to_owned();
        };
        let mut faults = Vec::new();
        let text = self.0.format_pattern(pattern, Some(args), &mut faults).into_owned();
        if !faults.is_empty() {
            tracing::error!(id, ?faults, "a message could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    /// Id and text of each message, continued lines joined.
    fn messages(files: &[&str]) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut last = None;
        for line in files.iter().flat_map(|f| f.lines()) {
            if line.starts_with(' ') || line.starts_with('}') {
                if let Some(text) = last.as_ref().and_then(|id| found.get_mut(id)) {
                    text.push_str(line);
                }
            } else if let Some((id, text)) = line.split_once(" =").filter(|_| !line.starts_with('#')) {
                assert!(found.insert(id.to_owned(), text.to_owned()).is_none(), "{id} is there twice");
                last = Some(id.to_owned());
            }
        }
        found
    }

    fn values(text: &str) -> BTreeSet<String> {
        let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        text.split('$').skip(1).map(name).collect()
    }

    fn sources() -> String {
        fn read(dir: &Path, all: &mut String) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, all);
                } else if path.extension().is_some_and(|e| e == "rs" || e == "html") {
                    all.push_str(&std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = String::new();
        read(&root.join("src/bureau"), &mut all);
        read(&root.join("templates/console"), &mut all);
        all
    }

    #[test]
    fn both_languages_have_every_message_with_the_same_values() {
        let (chinese, english) = (messages(CHINESE), messages(ENGLISH));
        let ids = |m: &BTreeMap<String, String>| m.keys().cloned().collect::<BTreeSet<_>>();
        let (c, e) = (ids(&chinese), ids(&english));
        assert_eq!(c, e, "missing: {:?}", c.symmetric_difference(&e));
        let is_chinese = |t: &str| t.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for (id, text) in &chinese {
            assert_eq!(values(text), values(&english[id]), "{id}");
            // What both write alike says so in its id.
            if !id.starts_with("same-") && id != "frame-other-language" {
                assert!(is_chinese(text), "{id} is not in Chinese: {text}");
                assert!(!is_chinese(&english[id]) || id.starts_with("letter-"), "{id}: {}", english[id]);
            }
        }
    }

    #[test]
    fn every_file_is_understood() {
        for file in CHINESE.iter().chain(ENGLISH) {
            let faults = FluentResource::try_new((*file).to_owned()).err().map(|(_, f)| f);
            assert!(faults.is_none(), "{faults:?}");
        }
    }

    #[test]
    fn every_message_is_used() {
        let sources = sources();
        for id in messages(CHINESE).keys() {
            let literally = sources.contains(&format!("\"{id}\""));
            // `word("state", value)` uses every message `state-…`.
            let by_word =
                id.match_indices('-').any(|(at, _)| sources.contains(&format!("word(\"{}\"", &id[..at])));
            assert!(literally || by_word, "{id} is not used");
        }
    }

    #[test]
    fn every_message_that_is_asked_for_is_there() {
        let (sources, known) = (sources(), messages(CHINESE));
        let said = ["say", "say_of", "say_with", ".count", "Failure::bad", "Failure::conflict"];
        let shown = ["ui::th", "ui::thn", "ui::row", "ui::td", "ui::num", "ui::cell"];
        for call in said.iter().chain(&shown).map(|c| format!("{c}(\"")) {
            for rest in sources.split(&call).skip(1) {
                let id = rest.split('"').next().unwrap();
                assert!(known.contains_key(id), "{call}{id}\" is not there");
            }
        }
    }

    #[test]
    fn no_template_has_a_sentence_of_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/console");
        for entry in std::fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let outside = crate::http::language::outside_tags(&text);
            assert!(!outside.contains(char::is_alphabetic), "{}: {outside}", path.display());
        }
    }
}
