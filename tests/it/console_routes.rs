//! Every route of the console, asked by every role and by nobody.
//!
//! The table here is written by hand: who may do what changes only when somebody
//! changes it in two places. A route that is missing here, or here only, fails.

use counterproof::bureau::console;

use crate::support::bureau::{Bureau, Chain};

const ROLES: [&str; 5] = ["reviewer", "supervisor", "privacy_officer", "administrator", "ward"];

/// What it takes, in the words of `console::table`: `nobody`, `signed_in`, or roles.
const ANYBODY: &str = "nobody";
const SIGNED_IN: &str = "signed_in";
const REVIEW: &str = "reviewer supervisor";
const SUPERVISE: &str = "supervisor";
const PRIVACY: &str = "privacy_officer";
const OFFICERS: &str = "supervisor privacy_officer";
const BOXES: &str = "supervisor administrator";
const RECORD: &str = "privacy_officer administrator";
const ADMINISTER: &str = "administrator";
const STAFF: &str = "reviewer supervisor privacy_officer administrator";
const WARD: &str = "ward";

/// Method, path, who may.
const TABLE: &[(&str, &str, &str)] = &[
    ("GET", "/sign-in", ANYBODY),
    ("POST", "/sign-in", ANYBODY),
    ("GET", "/sign-in/oidc", ANYBODY),
    ("GET", "/sign-in/oidc/callback", ANYBODY),
    ("GET", "/language/{tag}", ANYBODY),
    ("POST", "/sign-out", SIGNED_IN),
    ("GET", "/", SIGNED_IN),
    ("GET", "/account", SIGNED_IN),
    ("POST", "/account/password", SIGNED_IN),
    ("POST", "/account/sign-out-everywhere", SIGNED_IN),
    ("GET", "/agents.json", STAFF),
    ("GET", "/statistics", STAFF),
    ("GET", "/statistics.csv", STAFF),
    // The list of alerts.
    ("GET", "/alerts", REVIEW),
    ("POST", "/alerts/find", REVIEW),
    ("GET", "/alerts/rows", REVIEW),
    ("GET", "/alerts/row", REVIEW),
    ("GET", "/alerts/fresh", REVIEW),
    ("GET", "/alerts.json", REVIEW),
    ("GET", "/feed", REVIEW),
    // One alert.
    ("GET", "/alerts/next", REVIEW),
    ("GET", "/alerts/{id}", REVIEW),
    ("GET", "/alerts/{id}/bundle", OFFICERS),
    ("POST", "/alerts/{id}/decision", REVIEW),
    ("POST", "/alerts/{id}/assignment", REVIEW),
    ("POST", "/alerts/{id}/reopening", REVIEW),
    ("POST", "/alerts/{id}/appeal", REVIEW),
    ("POST", "/alerts/{id}/proxies", REVIEW),
    ("POST", "/alerts/{id}/proxies/{proxy}/end", REVIEW),
    ("POST", "/alerts/{id}/letters", REVIEW),
    ("GET", "/alerts/{id}/letters/{letter}", REVIEW),
    ("POST", "/alerts/{id}/letters/{letter}", REVIEW),
    ("GET", "/blind", SUPERVISE),
    ("POST", "/blind", SUPERVISE),
    ("GET", "/abnormal", REVIEW),
    ("GET", "/abnormal/{mark}", REVIEW),
    ("POST", "/abnormal/import", SUPERVISE),
    // Cases, transfers, reports of the public.
    ("GET", "/cases", REVIEW),
    ("POST", "/cases", REVIEW),
    ("GET", "/cases/holds", OFFICERS),
    ("GET", "/cases/new", REVIEW),
    ("GET", "/cases/{number}", REVIEW),
    ("POST", "/cases/{number}/alerts", REVIEW),
    ("POST", "/cases/{number}/close", SUPERVISE),
    ("POST", "/cases/{number}/conclude", SUPERVISE),
    ("POST", "/cases/{number}/facts", REVIEW),
    ("POST", "/cases/{number}/hold", SUPERVISE),
    ("POST", "/cases/{number}/lift", SUPERVISE),
    ("POST", "/cases/{number}/transfers", REVIEW),
    ("GET", "/ledger", REVIEW),
    ("GET", "/ledger.csv", REVIEW),
    ("GET", "/reports", REVIEW),
    ("POST", "/reports", REVIEW),
    ("GET", "/reports/new", REVIEW),
    ("GET", "/reports/{number}", REVIEW),
    ("POST", "/reports/{number}/answer", REVIEW),
    ("POST", "/reports/{number}/case", REVIEW),
    ("POST", "/reports/{number}/conclude", REVIEW),
    ("POST", "/reports/{number}/extend", SUPERVISE),
    ("GET", "/transfers", REVIEW),
    ("GET", "/transfers/in", REVIEW),
    ("POST", "/transfers/in", REVIEW),
    ("GET", "/transfers/in/new", REVIEW),
    ("GET", "/transfers/in/{number}", REVIEW),
    ("POST", "/transfers/in/{number}/answer", REVIEW),
    ("POST", "/transfers/in/{number}/ask", REVIEW),
    ("POST", "/transfers/in/{number}/conclude", REVIEW),
    ("GET", "/transfers/in/{number}/receipt", REVIEW),
    ("POST", "/transfers/in/{number}/supplied", REVIEW),
    ("GET", "/transfers/{id}", REVIEW),
    ("POST", "/transfers/{id}/approve", SUPERVISE),
    ("POST", "/transfers/{id}/asked", REVIEW),
    ("POST", "/transfers/{id}/concluded", REVIEW),
    ("GET", "/transfers/{id}/letter", REVIEW),
    ("POST", "/transfers/{id}/received", REVIEW),
    ("POST", "/transfers/{id}/refuse", SUPERVISE),
    ("POST", "/transfers/{id}/supplied", REVIEW),
    ("GET", "/yearly", REVIEW),
    ("GET", "/yearly.csv", REVIEW),
    // Boxes.
    ("GET", "/boxes", BOXES),
    ("POST", "/boxes/code", ADMINISTER),
    ("GET", "/boxes/{name}", BOXES),
    ("POST", "/boxes/{name}/sign", SUPERVISE),
    ("POST", "/boxes/{name}/revoke", SUPERVISE),
    ("POST", "/boxes/{name}/hand-out", ADMINISTER),
    ("POST", "/boxes/{name}/suspend", ADMINISTER),
    ("POST", "/boxes/{name}/resume", ADMINISTER),
    ("GET", "/rollouts", BOXES),
    ("POST", "/rollouts", ADMINISTER),
    ("POST", "/rollouts/{number}/stages/{stage}/begin", ADMINISTER),
    ("POST", "/rollouts/{number}/stages/{stage}/stop", ADMINISTER),
    // Officers.
    ("GET", "/privacy", OFFICERS),
    ("GET", "/privacy/boxes/{name}", OFFICERS),
    ("POST", "/privacy/export", OFFICERS),
    ("GET", "/rights", PRIVACY),
    ("POST", "/rights", PRIVACY),
    ("GET", "/rights/{id}", PRIVACY),
    ("GET", "/rights/{id}/receipt", PRIVACY),
    ("POST", "/rights/{id}/export", PRIVACY),
    ("POST", "/rights/{id}/erase", PRIVACY),
    ("POST", "/rights/{id}/exempt", PRIVACY),
    ("POST", "/rights/{id}/end", PRIVACY),
    // Photographs from telephones.
    ("GET", "/check-in", WARD),
    ("POST", "/check-in", WARD),
    ("GET", "/check-ins", OFFICERS),
    // The record itself, and who may sign in.
    ("GET", "/acts", RECORD),
    ("GET", "/acts.csv", RECORD),
    ("GET", "/accounts", ADMINISTER),
    ("POST", "/accounts", ADMINISTER),
    ("GET", "/accounts/{name}", ADMINISTER),
    ("POST", "/accounts/{name}/roles", ADMINISTER),
    ("POST", "/accounts/{name}/disable", ADMINISTER),
    ("POST", "/accounts/{name}/enable", ADMINISTER),
    ("POST", "/accounts/{name}/unlock", ADMINISTER),
    ("POST", "/accounts/{name}/sign-out", ADMINISTER),
    ("POST", "/accounts/{name}/password", ADMINISTER),
];

fn may(needs: &str, role: Option<&str>) -> bool {
    match (needs, role) {
        (ANYBODY, _) | (SIGNED_IN, Some(_)) => true,
        (_, None) => false,
        (roles, Some(role)) => roles.split(' ').any(|r| r == role),
    }
}

type Pairs<'p> = &'p [(&'p str, &'p str)];

/// Somebody who asks, with a session if they have an account.
struct Visitor<'b> {
    bureau: &'b Bureau,
    account: Option<&'static str>,
    http: reqwest::Client,
    cookie: String,
    csrf: String,
}

impl<'b> Visitor<'b> {
    fn new(bureau: &'b Bureau, account: Option<&'static str>) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { bureau, account, http, cookie: String::new(), csrf: String::new() }
    }

    /// Signs in, anew if the last request ended the session.
    async fn enter(&mut self) {
        let Some(account) = self.account else { return };
        let mut page = self.ask("GET", "/account", &[], &[]).await;
        if page.status().as_u16() != 200 {
            self.cookie = self.bureau.sign_in(account).await;
            page = self.ask("GET", "/account", &[], &[]).await;
        }
        let html = page.text().await.unwrap();
        let csrf = html.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        csrf.clone_into(&mut self.csrf);
    }

    async fn ask(&self, method: &str, path: &str, form: Pairs<'_>, headers: Pairs<'_>) -> reqwest::Response {
        let mut request = self.http.request(method.parse().unwrap(), self.bureau.console_url(path));
        for (name, value) in headers.iter().copied().chain([("cookie", self.cookie.as_str())]) {
            request = request.header(name, value);
        }
        let (kind, body) = if path.ends_with("/import") || path == "/check-in" {
            // A form with a file.
            let part = |(name, value): &(&str, &str)| {
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let parts: String = form.iter().map(part).collect();
            ("multipart/form-data; boundary=b", format!("{parts}--b--\r\n"))
        } else {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            ("application/x-www-form-urlencoded", body)
        };
        request.header("content-type", kind).body(body).send().await.unwrap()
    }

    async fn status(&self, method: &str, path: &str, form: Pairs<'_>, headers: Pairs<'_>) -> u16 {
        self.ask(method, path, form, headers).await.status().as_u16()
    }
}

/// A bureau with an alert and a request of a person about their data.
struct House {
    bureau: Bureau,
    alert: String,
    request: String,
}

impl House {
    async fn new() -> Self {
        let bureau = Bureau::start("");
        let boxed = bureau.add_box("box-1");
        let (alert, bytes) = Chain::new("box-1").mismatch();
        assert_eq!(boxed.alert(&bureau, &bytes).await, 201);
        bureau.add_account("everything", &ROLES);
        let mut officer = Visitor::new(&bureau, Some("everything"));
        officer.enter().await;
        let form = [
            ("csrf", officer.csrf.as_str()),
            ("cardholder", "P0001"),
            ("kind", "access"),
            ("received", "2026-11-22"),
            ("asked", "what is held about me"),
        ];
        let made = officer.ask("POST", "/rights", &form, &[]).await;
        let request = made.headers()["location"].to_str().unwrap().trim_start_matches("/rights/").to_owned();
        Self { bureau, alert, request }
    }

    /// A path with something in its places: what there is, else what is not there.
    fn filled(&self, path: &str) -> String {
        let part = |part: &str| match (part, path.split('/').nth(1)) {
            ("{id}", Some("alerts")) => self.alert.clone(),
            ("{id}", Some("rights")) => self.request.clone(),
            ("{name}", Some("boxes" | "privacy")) => "box-1".to_owned(),
            ("{number}" | "{stage}", _) => "1".to_owned(),
            (place, _) if place.starts_with('{') => "nothing-of-this-name".to_owned(),
            _ => part.to_owned(),
        };
        let filled = path.split('/').map(part).collect::<Vec<_>>().join("/");
        if path == "/alerts/row" { format!("{filled}?id={}", self.alert) } else { filled }
    }
}

#[test]
fn the_table_names_every_route_and_what_it_needs() {
    let built: Vec<(String, String, String)> =
        console::table().into_iter().map(|(m, p, n)| (m, p.to_owned(), n)).collect();
    let mut written: Vec<(String, String, String)> =
        TABLE.iter().map(|(m, p, n)| ((*m).into(), (*p).into(), (*n).into())).collect();
    let mut sorted = built.clone();
    sorted.sort();
    written.sort();
    let missing: Vec<_> = sorted.iter().filter(|r| !written.contains(r)).collect();
    let gone: Vec<_> = written.iter().filter(|r| !sorted.contains(r)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the test: {missing:#?}\nonly in it: {gone:#?}");
    sorted.dedup();
    assert_eq!(sorted.len(), built.len(), "a route is there twice");
    // Whoever is not signed in sees the way in, and nothing else.
    let open: Vec<&str> = TABLE.iter().filter(|r| r.2 == ANYBODY).map(|r| r.1).collect();
    assert!(open.iter().all(|p| p.starts_with("/sign-in") || p.starts_with("/language")), "{open:?}");
}

#[tokio::test]
async fn every_route_answers_each_role_as_the_table_says() {
    let house = House::new().await;
    for role in ROLES {
        house.bureau.add_account(role, &[role]);
    }
    for role in ROLES.into_iter().map(Some).chain([None]) {
        let mut visitor = Visitor::new(&house.bureau, role);
        for &(method, path, needs) in TABLE {
            visitor.enter().await;
            let (at, said) = (house.filled(path), format!("{method} {path} as {role:?}"));
            if method == "POST" {
                foreign(&visitor, &at, needs, &said).await;
            }
            let form = [("csrf", visitor.csrf.as_str())];
            let form: Pairs<'_> = if method == "POST" { &form } else { &[] };
            let status = visitor.status(method, &at, form, &[]).await;
            let refused = match (may(needs, role), role) {
                (true, _) => None,
                (false, Some(_)) => Some(403),
                (false, None) => Some(401),
            };
            match refused {
                Some(expected) => assert_eq!(status, expected, "{said}"),
                // What is allowed may still be missing or incomplete.
                None => assert!(
                    ![401, 403, 405, 500, 503].contains(&status) || needs == ANYBODY,
                    "{said}: {status}"
                ),
            }
        }
        if role.is_none() {
            let answer = visitor.ask("GET", "/accounts?x=1", &[], &[("accept", "text/html")]).await;
            assert_eq!(answer.headers()["location"], "/sign-in?back=%2Faccounts%3Fx%3D1");
        }
        assert_eq!(visitor.status("GET", "/nothing-here", &[], &[]).await, 404);
        let other_method = visitor.status("DELETE", "/accounts", &[], &[]).await;
        assert!([401, 403, 405].contains(&other_method), "{other_method}");
    }
}

/// Forms of other sites, and of no page of this session.
async fn foreign(visitor: &Visitor<'_>, at: &str, needs: &str, said: &str) {
    let form = [("csrf", visitor.csrf.as_str())];
    for elsewhere in
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")]
    {
        assert_eq!(visitor.status("POST", at, &form, &[elsewhere]).await, 403, "{said}, {elsewhere:?}");
    }
    if needs == ANYBODY || visitor.account.is_none() {
        return;
    }
    for wrong in [&[("csrf", "")] as Pairs<'_>, &[("csrf", "c2Vjb25kIGhhbmQ")], &[]] {
        assert_eq!(visitor.status("POST", at, wrong, &[]).await, 403, "{said}, {wrong:?}");
    }
}
