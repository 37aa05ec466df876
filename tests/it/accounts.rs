//! Accounts over the real program: who gets in, what ends a session, what an
//! administrator may do, the console over TLS.

use std::process::Output;

use crate::support::bureau::{Bureau, PASSWORD};
use crate::support::issuer::Browser;

/// A console over TLS, and a browser that trusts it.
fn console(names: &str) -> (Bureau, Browser, String) {
    let mut bureau = Bureau::prepare("");
    let text = std::fs::read_to_string(&bureau.config).unwrap();
    let tls = format!(
        "[console]\nnames = {names}\ntls = {{ certificate = 'pki/bureau.pem', key = 'pki/bureau.key' }}\n"
    );
    std::fs::write(&bureau.config, text.replace("[console]\n", &tls)).unwrap();
    bureau.run();
    let browser = Browser::new(&bureau.dir.path().join("pki/ca.pem"));
    let origin = bureau.console_url("").replace("http://127.0.0.1", "https://localhost");
    (bureau, browser, origin)
}

fn csrf(html: &str) -> String {
    html.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

async fn enter(browser: &Browser, origin: &str, name: &str, password: &str) -> u16 {
    let form = [("name", name), ("password", password)];
    browser.post(&format!("{origin}/sign-in"), &form).await.status().as_u16()
}

/// Sends a form of a page, with its token.
async fn send(browser: &Browser, origin: &str, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
    let page = browser.get(&format!("{origin}/account")).await.text().await.unwrap();
    let token = csrf(&page);
    let form: Vec<(&str, &str)> = form.iter().copied().chain([("csrf", token.as_str())]).collect();
    browser.post(&format!("{origin}{path}"), &form).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn over_tls_the_console_answers_to_its_own_names_with_cookies_of_its_own() {
    let (bureau, browser, origin) = console("['localhost', 'bureau.example']");
    bureau.add_account("chen", &["administrator"]);
    let other = origin.replace("localhost", "127.0.0.1");
    assert_eq!(
        browser.get(&format!("{other}/sign-in")).await.status().as_u16(),
        421,
        "a name that is not ours"
    );
    let page = browser.get(&format!("{origin}/sign-in")).await;
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("strict-transport-security"), "max-age=31536000");
    assert_eq!(header("referrer-policy"), "same-origin");
    assert_eq!(header("cache-control"), "no-store");
    let form = [("name", "Chen "), ("password", PASSWORD), ("back", "//evil.example")];
    let answer = browser.post(&format!("{origin}/sign-in"), &form).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, "/"));
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let (name, attributes) = cookie.split_once('=').unwrap();
    assert_eq!(name, "__Host-counterproof-session");
    let attributes: Vec<&str> = attributes.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "HttpOnly", "Secure", "SameSite=Strict", "Max-Age=43200"]);
    let plain = reqwest::Client::new().get(bureau.console_url("/sign-in")).send().await;
    assert!(plain.is_err() || plain.unwrap().status().as_u16() != 200, "no plain HTTP beside it");
}

#[tokio::test]
async fn a_start_password_opens_one_page_until_it_is_changed_and_old_sessions_end() {
    let (bureau, chen, origin) = console("['localhost']");
    bureau.add_account("chen", &["administrator"]);
    assert_eq!(enter(&chen, &origin, "chen", PASSWORD).await, 303);
    let form = [("name", "li"), ("display", "李"), ("reviewer", "on"), ("supervisor", "on")];
    let page = send(&chen, &origin, "/accounts", &form).await.text().await.unwrap();
    let word = page.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(word.len(), 24, "{page}");
    assert_eq!(send(&chen, &origin, "/accounts", &form).await.status().as_u16(), 409, "there is one already");
    assert_eq!(send(&chen, &origin, "/accounts", &[("name", "ma")]).await.status().as_u16(), 422, "no role");

    let li = Browser::new(&bureau.dir.path().join("pki/ca.pem"));
    assert_eq!(enter(&li, &origin, "li", &word).await, 303);
    let first = li.cookies.borrow().clone();
    let answer = li.get(&format!("{origin}/")).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, "/account"));
    for (old, new, again, status) in [
        ("wrong", "four words of my own", "four words of my own", 422),
        (word.as_str(), "four words of my own", "another", 422),
        (&word, "short", "short", 422),
        (&word, &word, &word, 422),
        (&word, "four words of my own", "four words of my own", 303),
    ] {
        let form = [("old", old), ("new", new), ("again", again)];
        assert_eq!(send(&li, &origin, "/account/password", &form).await.status().as_u16(), status, "{new}");
    }
    assert_eq!(li.get(&format!("{origin}/alerts")).await.status().as_u16(), 200);
    let kept = li.cookies.replace(first);
    assert_eq!(
        li.get(&format!("{origin}/account")).await.status().as_u16(),
        303,
        "the session before has ended"
    );
    *li.cookies.borrow_mut() = kept;

    // Other roles, another password, no account: each ends what is open.
    for (path, form) in [
        ("/accounts/li/roles", &[("reviewer", "on")] as &[_]),
        ("/accounts/li/sign-out", &[]),
        ("/accounts/li/disable", &[]),
    ] {
        assert_eq!(li.get(&format!("{origin}/account")).await.status().as_u16(), 200, "{path}");
        assert_eq!(send(&chen, &origin, path, form).await.status().as_u16(), 303);
        assert_eq!(li.get(&format!("{origin}/account")).await.status().as_u16(), 303, "{path}");
        let status = enter(&li, &origin, "li", "four words of my own").await;
        assert_eq!(status, if path.ends_with("disable") { 401 } else { 303 }, "{path}");
    }
    // Whoever was there alone stays.
    for (path, form) in
        [("/accounts/chen/roles", &[("reviewer", "on")] as &[_]), ("/accounts/chen/disable", &[])]
    {
        assert_eq!(send(&chen, &origin, path, form).await.status().as_u16(), 422, "{path}");
    }
    // Everything is in the record, the page and the file of it show it.
    let acts = chen.get(&format!("{origin}/acts?about=li")).await.text().await.unwrap();
    for what in ["accounts add", "accounts roles", "accounts sign-out", "accounts disable", "their own"] {
        assert!(acts.contains(what), "{what}: {acts}");
    }
    let csv = chen.get(&format!("{origin}/acts.csv?by=li&what=accounts")).await.text().await.unwrap();
    assert!(
        csv.starts_with("at,by,what,about,detail\n") && csv.contains(",li,accounts password,li,their own"),
        "{csv}"
    );
    assert_eq!(chen.get(&format!("{origin}/acts?from=tomorrow")).await.status().as_u16(), 422);
    assert_eq!(send(&chen, &origin, "/account/sign-out-everywhere", &[]).await.status().as_u16(), 303);
    assert_eq!(chen.get(&format!("{origin}/account")).await.status().as_u16(), 303);
    assert!(!bureau.log().contains("\"li\"") && !bureau.log().contains(&word), "{}", bureau.log());
}

#[tokio::test]
async fn a_browser_has_one_session_at_a_time_and_signing_out_ends_it_at_the_bureau() {
    let (bureau, browser, origin) = console("['localhost']");
    bureau.add_account("li", &["reviewer"]);
    assert_eq!(enter(&browser, &origin, "li", PASSWORD).await, 303);
    let first = browser.cookies.borrow().clone();
    assert_eq!(enter(&browser, &origin, "li", PASSWORD).await, 303);
    let second = browser.cookies.replace(first.clone());
    assert_ne!(first, second);
    assert_eq!(browser.get(&format!("{origin}/account")).await.status().as_u16(), 303, "the first has ended");
    *browser.cookies.borrow_mut() = second.clone();
    assert_eq!(send(&browser, &origin, "/sign-out", &[]).await.status().as_u16(), 303);
    assert!(browser.cookies.borrow().is_empty());
    *browser.cookies.borrow_mut() = second;
    assert_eq!(browser.get(&format!("{origin}/account")).await.status().as_u16(), 303);
}

#[tokio::test]
async fn passwords_cannot_be_tried_fast_over_many_names() {
    let (_bureau, browser, origin) = console("['localhost']");
    // All at once: it is counted before a password is looked at, however long that takes.
    let names: Vec<String> = (0..60).map(|n| format!("name-{n}")).collect();
    let all = names.iter().map(|name| enter(&browser, &origin, name, "a common password"));
    let statuses = futures_util::future::join_all(all).await;
    assert!(statuses.iter().all(|s| [401, 429].contains(s)), "{statuses:?}");
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    let long = "x".repeat(64 * 1024);
    let status = enter(&browser, &origin, &long, "a common password").await;
    assert!([413, 422].contains(&status), "{status}");
}

#[tokio::test]
async fn commands_do_what_the_pages_do() {
    let bureau = Bureau::prepare("");
    let run = |words: &[&str]| bureau.command(&[&["accounts"], words].concat()).output().unwrap();
    let issued = run(&["add", "chen", "--role", "administrator", "--issue", "--by", "ops"]);
    assert_eq!(String::from_utf8(issued.stdout).unwrap().trim().len(), 24);
    let last = run(&["disable", "chen"]);
    assert!(!last.status.success() && said(&last).contains("the last who may administer"), "{}", said(&last));
    bureau.add_account("ma", &["administrator"]);
    for words in [
        &["roles", "chen", "--role", "reviewer", "--role", "supervisor"] as &[&str],
        &["disable", "chen"],
        &["enable", "chen"],
        &["unlock", "chen"],
        &["sign-out", "chen"],
        &["password", "chen", "--issue"],
    ] {
        let done = run(words);
        assert!(done.status.success(), "{words:?}: {}", said(&done));
    }
    let listed: serde_json::Value = serde_json::from_slice(&run(&["list", "--json"]).stdout).unwrap();
    assert_eq!(listed[0]["roles"], serde_json::json!(["reviewer", "supervisor"]));
    assert_eq!((&listed[0]["by"][0], &listed[0]["disabled"]), (&"start password".into(), &false.into()));
    let missing = run(&["unlock", "nobody"]);
    assert!(!missing.status.success() && said(&missing).contains("there is no account nobody"));
    let acts = bureau.command(&["acts"]).output().unwrap();
    let acts = String::from_utf8(acts.stdout).unwrap();
    assert!(acts.contains("accounts unlock") && acts.contains("ops"), "{acts}");
}
