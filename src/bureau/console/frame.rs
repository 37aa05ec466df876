//! What stands around every page: title, navigation, who is signed in, the switch
//! of language.

use super::route::{self, Needs};
use super::visitor::Visitor;
use crate::http::language::Language;

/// Where the navigation leads, its message, and who sees it.
pub(super) const PLACES: &[(&str, &str, Needs)] = &[
    ("/alerts", "nav-queue", route::REVIEW),
    ("/blind", "nav-blind", route::SUPERVISE),
    ("/ledger", "nav-ledger", route::REVIEW),
    ("/abnormal", "nav-abnormal", route::REVIEW),
    ("/statistics", "nav-statistics", route::STAFF),
    ("/boxes", "nav-boxes", super::boxes::BOXES),
    ("/rollouts", "nav-rollouts", super::boxes::BOXES),
    ("/privacy", "nav-privacy", super::privacy::READ),
    ("/rights", "nav-rights", route::PRIVACY),
    ("/check-in", "nav-check-in", route::WARD),
    ("/cases/holds", "nav-holds", route::PRIVACY),
    ("/acts", "nav-acts", route::RECORD),
    ("/accounts", "nav-accounts", route::ADMINISTER),
];

/// One entry of the navigation.
pub(super) struct Place {
    /// Where it leads.
    pub(super) path: &'static str,
    /// What stands there.
    pub(super) label: String,
    /// Whether this page is it, or lies under it.
    pub(super) is_here: bool,
}

/// The frame of one page.
pub(super) struct Frame<'v> {
    /// Who looks at it.
    pub(super) visitor: &'v Visitor,
    title: String,
}

impl<'v> Frame<'v> {
    /// A page with this message as its title.
    pub(super) fn new(visitor: &'v Visitor, title: &str) -> Self {
        Self { visitor, title: visitor.words().say(title) }
    }

    /// A page with a title that was made.
    pub(super) fn titled(visitor: &'v Visitor, title: String) -> Self {
        Self { visitor, title }
    }

    /// The title.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// A sentence.
    pub(super) fn say(&self, id: &str) -> String {
        self.visitor.words().say(id)
    }

    /// A sentence with one value, `$value` in it.
    pub(super) fn say_of(&self, id: &str, value: &str) -> String {
        self.visitor.words().say_with(id, &[("value", value)])
    }

    /// The word for a value of the program.
    pub(super) fn word(&self, prefix: &str, value: &str) -> String {
        self.visitor.words().word(prefix, value)
    }

    /// A sentence about a number.
    pub(super) fn count(&self, id: &str, n: &i64) -> String {
        self.visitor.words().count(id, *n)
    }

    /// The language of the page.
    pub(super) fn tag(&self) -> &'static str {
        self.visitor.language.tag()
    }

    /// The other language's tag.
    pub(super) fn other_tag(&self) -> &'static str {
        self.visitor.language.other().tag()
    }

    /// Where the switch of language leads.
    pub(super) fn switch(&self) -> String {
        let back: String = url::form_urlencoded::byte_serialize(self.visitor.path.as_bytes()).collect();
        let to = match self.visitor.language.other() {
            Language::Chinese => "zh-CN",
            Language::English => "en",
        };
        format!("/language/{to}?back={back}")
    }

    /// What the visitor may go to.
    pub(super) fn places(&self) -> Vec<Place> {
        let path = self.visitor.path.split('?').next().unwrap_or("/");
        PLACES
            .iter()
            .filter(|(.., needs)| self.visitor.may(*needs))
            .map(|(to, label, _)| Place {
                path: to,
                label: self.say(label),
                is_here: path == *to
                    || (*to != "/" && path.strip_prefix(to).is_some_and(|r| r.starts_with('/'))),
            })
            .collect()
    }

    /// The name of who is signed in.
    pub(super) fn person(&self) -> Option<&str> {
        self.visitor.person.as_ref().map(|p| p.display.as_str())
    }

    /// Whether what the bureau holds is made up.
    pub(super) fn made_up(&self) -> bool {
        self.visitor.made_up
    }

    /// Whether they work through alerts, and so have use for keys.
    pub(super) fn reviews(&self) -> bool {
        self.visitor.may(route::REVIEW)
    }

    /// What every form holds.
    pub(super) fn csrf(&self) -> &str {
        &self.visitor.csrf
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Words;
    use super::*;

    #[test]
    fn every_place_has_its_word_in_both_languages() {
        for language in [Language::Chinese, Language::English] {
            for (path, label, _) in PLACES {
                assert_ne!(&Words::of(language).say(label), label, "{path} in {}", language.tag());
            }
        }
    }
}
