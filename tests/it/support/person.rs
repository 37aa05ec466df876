//! Somebody who is signed in at the console, as their browser asks: with a cookie, for
//! pages, and with the token of the page that a form stands on.

use reqwest::Response;
use reqwest::redirect::Policy;

use super::bureau::{Bureau, PASSWORD};

/// A person with a session.
pub struct Person {
    console: String,
    cookie: String,
    client: reqwest::Client,
    language: &'static str,
}

impl Person {
    /// A new account, signed in, that reads English.
    pub async fn new(bureau: &Bureau, name: &str, roles: &[&str]) -> Self {
        bureau.add_account(name, roles);
        Self::signed_in(bureau.console_url(""), name).await
    }

    /// An account of the console at this address, whose password is [`PASSWORD`].
    pub async fn signed_in(console: String, name: &str) -> Self {
        let cookie = counterproof::bench::sign_in(&console, name, PASSWORD).await.unwrap();
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { console, cookie, client, language: "en" }
    }

    /// The same, reading Chinese.
    pub fn in_chinese(self) -> Self {
        Self { language: "zh-CN", ..self }
    }

    /// A path's answer.
    pub async fn ask(&self, path: &str) -> Response {
        let get = self.client.get(format!("{}{path}", self.console)).header("cookie", &self.cookie);
        let get = get.header("accept", "text/html").header("accept-language", self.language);
        get.send().await.unwrap()
    }

    /// A path's status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(path).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A page that is there.
    pub async fn page(&self, path: &str) -> String {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {page}");
        page
    }

    /// Sends a form as the page at `from` would; status, where it leads, body.
    pub async fn send(&self, from: &str, to: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let page = self.page(from).await;
        self.send_from(&page, to, fields).await
    }

    /// The same, of a page that was read before.
    pub async fn send_from(&self, page: &str, to: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("csrf", between(page, "name=\"csrf\" value=\"", "\"")).extend_pairs(fields);
        let post = self.client.post(format!("{}{to}", self.console)).header("cookie", &self.cookie);
        let post = post.header("accept", "text/html").header("accept-language", self.language);
        let post = post.header("content-type", "application/x-www-form-urlencoded").body(body.finish());
        let answer = post.send().await.unwrap();
        let place = answer.headers().get("location").map(|l| l.to_str().unwrap().to_owned());
        (answer.status().as_u16(), place.unwrap_or_default(), answer.text().await.unwrap())
    }
}

/// What stands between two texts.
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split(after).next().unwrap()
}
