//! axe-core on a page, and what it does not look at.

use serde_json::Value;

use super::chromium::Chromium;

/// Put there by `scripts/axe`, its hash checked.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe/axe.min.js");

/// The rules of WCAG 2.0 to 2.2, levels A and AA.
const RUN: &str = "
    const done = arguments[arguments.length - 1];
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']}).then(
        found => done(found.violations.map(v => v.id + ': ' + v.help + '\\n' + v.nodes.slice(0, 4).map(
            n => '      ' + n.target.join(' ') + ' ' + n.html.slice(0, 160) + '\\n        '
                + n.any.concat(n.all, n.none).map(c => c.message).join('; ')).join('\\n'))),
        fault => done(['axe-core failed: ' + fault]));";

/// Elements that stand out of the window, where nothing scrolls them.
const BEYOND: &str = "
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    const out = [...document.querySelectorAll('main *, header *')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width > 0 && box.right > wide + 1 && !e.closest('.scroll, .visually-hidden');
    });
    const name = e => e.tagName.toLowerCase() + '.' + [...e.classList].join('.');
    return ['scrolls sideways: ' + out.slice(0, 4).map(name).join(', ')];";

/// What has the focus: its name, and whether that is seen.
const FOCUSED: &str = "
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const style = getComputedStyle(e);
    const seen = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2);
    return [seen, e.outerHTML.slice(0, 120)];";

/// Most keys that a page is walked through with.
const STEPS: usize = 60;

impl Chromium {
    /// What axe-core objects to on this page.
    pub async fn objections(&self) -> Vec<String> {
        if self.ask("return typeof axe").await == "undefined" {
            let script = std::fs::read_to_string(AXE).expect("axe-core is missing: scripts/axe fetches it");
            self.ask(&script).await;
        }
        texts(&self.ask_later(RUN).await)
    }

    /// What makes this page scroll sideways.
    pub async fn beyond(&self) -> Vec<String> {
        texts(&self.ask(BEYOND).await)
    }

    /// What has the focus, on the way of the Tab key, without its being seen.
    pub async fn unseen_focus(&self) -> Vec<String> {
        let mut unseen = Vec::new();
        for _ in 0..STEPS {
            self.press("\u{e004}").await.unwrap();
            let focused = self.ask(FOCUSED).await;
            if focused.is_null() {
                break;
            }
            if focused[0] == false {
                unseen.push(format!("focus is not seen: {}", focused[1].as_str().unwrap()));
            }
        }
        unseen
    }
}

fn texts(found: &Value) -> Vec<String> {
    found.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect()
}
