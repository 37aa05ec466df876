//! Signing in at a real OpenID Connect issuer, as a browser would, and everything that
//! is not taken on the way.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use url::Url;

use crate::support::bureau::Bureau;
use crate::support::issuer::{Browser, Issuer};

const CALLBACK: &str = "/sign-in/oidc/callback";
const SESSION: &str = "__Host-counterproof-session";

/// A bureau with a console over TLS whose single sign-on is the issuer.
pub struct House {
    pub issuer: Issuer,
    pub bureau: Bureau,
    pub origin: String,
    back: String,
}

fn secret(path: &Path, text: &str) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub fn house(console: &str) -> House {
    let mut bureau = Bureau::prepare("");
    let mut issuer = Issuer::start(bureau.dir.path());
    secret(&bureau.dir.path().join("oidc.secret"), "the secret of bureau\n");
    let text = std::fs::read_to_string(&bureau.config).unwrap();
    let text = text.replace(
        "[console]\n",
        &format!("[console]\nnames = ['localhost']\n{console}tls = {{ certificate = 'pki/bureau.pem', key = 'pki/bureau.key' }}\n"),
    );
    let oidc = format!(
        "[oidc]\nissuer = '{}'\nclient_id = 'bureau'\nclient_secret = 'oidc.secret'\nca = '{}'\n\
         roles = {{ desk-review = 'reviewer', desk-lead = 'supervisor' }}\n",
        issuer.address,
        issuer.ca.display()
    );
    std::fs::write(&bureau.config, format!("{text}{oidc}")).unwrap();
    bureau.run();
    let port = Url::parse(&bureau.console_url("/")).unwrap().port().unwrap();
    let origin = format!("https://localhost:{port}");
    let back = format!("{origin}{CALLBACK}");
    issuer.serve(&back);
    House { issuer, bureau, origin, back }
}

/// Both authorities are trusted: the issuer's and the console's.
fn browser(house: &House) -> Browser {
    let both = house.bureau.dir.path().join("both.pem");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let console = house.bureau.dir.path().join("pki/ca.pem");
    std::fs::write(&both, format!("{}{}", read(&house.issuer.ca), read(&console))).unwrap();
    Browser::new(&both)
}

impl House {
    /// Where the console sends a browser that wants to sign in.
    async fn begin(&self, browser: &Browser) -> String {
        let answer = browser.get(&format!("{}/sign-in/oidc?back=%2Faccount", self.origin)).await;
        assert_eq!(answer.status().as_u16(), 303, "{}", self.bureau.log());
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Walks to the issuer and back, and gives the address with the code.
    async fn walk(&self, browser: &Browser, id: &str) -> Url {
        let to = self.begin(browser).await;
        browser.at_issuer(&to, id, &self.back).await
    }

    async fn sign_in(&self, browser: &Browser, id: &str) -> (u16, String) {
        let callback = self.walk(browser, id).await;
        let answer = browser.get(callback.as_str()).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn is_in(&self, browser: &Browser) -> bool {
        browser.get(&format!("{}/account", self.origin)).await.status().as_u16() == 200
    }

    fn acts(&self) -> String {
        let output = self.bureau.command(&["acts"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn whoever_has_a_mapped_role_signs_in_and_gets_an_account_of_these_roles() {
    let house = house("");
    let browser = browser(&house);
    let page = browser.get(&format!("{}/sign-in", house.origin)).await.text().await.unwrap();
    assert!(page.contains("/sign-in/oidc?back="), "{page}");
    let to = Url::parse(&house.begin(&browser).await).unwrap();
    let asked: std::collections::BTreeMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!((asked["code_challenge_method"].as_str(), asked["response_type"].as_str()), ("S256", "code"));
    assert!(asked["state"].len() >= 20 && asked["nonce"].len() >= 20 && asked["redirect_uri"] == house.back);

    house.issuer.control("id=wang&group=desk-review&group=canteen").await;
    let (status, page) = house.sign_in(&browser, "wang").await;
    assert!(status == 200 && page.contains("url=/account"), "{status} {page} {}", house.bureau.log());
    assert!(!browser.cookies.borrow().contains_key("__Host-counterproof-sign-on"), "the attempt is over");
    let page = browser.get(&format!("{}/account", house.origin)).await.text().await.unwrap();
    assert!(page.contains("wang") && page.contains("复核员") && !page.contains("复核主管"), "{page}");
    assert!(house.acts().contains("by single sign-on: roles reviewer"), "{}", house.acts());

    // Other groups there are other roles here, from the next sign-in on.
    house.issuer.control("id=wang&group=desk-lead").await;
    let second = self::browser(&house);
    assert_eq!(house.sign_in(&second, "wang").await.0, 200);
    let page = second.get(&format!("{}/account", house.origin)).await.text().await.unwrap();
    assert!(page.contains("复核主管") && !house.is_in(&browser).await, "{page}");
    // And none is the end of every session.
    house.issuer.control("id=wang").await;
    let (status, _) = house.sign_in(&self::browser(&house), "wang").await;
    assert!(status == 401 && !house.is_in(&second).await);
}

#[tokio::test]
async fn what_belongs_to_another_attempt_client_or_moment_signs_nobody_in() {
    let house = house("");
    house.issuer.control("id=wang&group=desk-review").await;
    let refused = async |browser: &Browser, address: &str| {
        let answer = browser.get(address).await;
        let status = answer.status().as_u16();
        assert!(status == 401 && !browser.cookies.borrow().contains_key(SESSION), "{address}: {status}");
        assert!(answer.text().await.unwrap().contains("role=\"alert\""));
    };
    // Another state, none, no code, an error.
    for change in [("state", "another"), ("state", ""), ("code", "made-up"), ("iss", "https://evil.example")]
    {
        let browser = browser(&house);
        let mut callback = house.walk(&browser, "wang").await;
        let pairs: Vec<(String, String)> = callback
            .query_pairs()
            .into_owned()
            .map(|(k, v)| if k == change.0 { (k, change.1.to_owned()) } else { (k, v) })
            .filter(|(_, v)| !v.is_empty())
            .collect();
        callback.query_pairs_mut().clear().extend_pairs(pairs);
        refused(&browser, callback.as_str()).await;
    }
    // Another browser: it has not begun.
    let (one, other) = (browser(&house), browser(&house));
    let callback = house.walk(&one, "wang").await;
    refused(&other, callback.as_str()).await;
    let _ = house.begin(&other).await;
    refused(&other, callback.as_str()).await;
    // The same code twice: even with the cookie of its attempt kept.
    let kept = one.cookies.borrow().clone();
    assert_eq!(one.get(callback.as_str()).await.status().as_u16(), 200, "{}", house.bureau.log());
    *other.cookies.borrow_mut() = kept;
    refused(&other, callback.as_str()).await;

    // An ID token of an earlier attempt: another nonce.
    let earlier = house.issuer.control("").await.unwrap();
    house.issuer.control(&format!("say={earlier}")).await;
    let browser = browser(&house);
    let callback = house.walk(&browser, "wang").await;
    refused(&browser, callback.as_str()).await;
    assert!(house.bureau.log().contains("nonce"), "{}", house.bureau.log());

    // One for another client, with this attempt's own nonce.
    house.issuer.control("say=").await;
    let mut address = Url::parse(&house.begin(&browser).await).unwrap();
    let to = address.clone();
    let verifier = "a-verifier-of-the-test-that-is-long-enough-for-the-rule";
    let pairs: Vec<(String, String)> = address
        .query_pairs()
        .into_owned()
        .map(|(k, v)| match k.as_str() {
            "client_id" => (k, "another".into()),
            "code_challenge" => (k, challenge(verifier)),
            _ => (k, v),
        })
        .collect();
    address.query_pairs_mut().clear().extend_pairs(pairs);
    let stolen = self::browser(&house);
    let callback = stolen.at_issuer(address.as_str(), "wang", &house.back).await;
    let code = callback.query_pairs().find(|(k, _)| k == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &house.back),
        ("code_verifier", verifier),
        ("client_id", "another"),
        ("client_secret", "the secret of another"),
    ];
    let given = token(&house.issuer, &form).await;
    house.issuer.control(&format!("say={given}")).await;
    let callback = browser.at_issuer(to.as_str(), "wang", &house.back).await;
    refused(&browser, callback.as_str()).await;
    let log = house.bureau.log();
    assert!(log.to_lowercase().contains("audience"), "{log}");
    assert!(!log.contains("wang") && !log.contains(&code), "nothing of a person or a code is logged: {log}");
}

fn challenge(verifier: &str) -> String {
    use base64::Engine;
    let digest = counterproof::crypto::Sha256::of(verifier.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest.0)
}

async fn token(issuer: &Issuer, form: &[(&str, &str)]) -> String {
    let basic = {
        use base64::Engine;
        let pair = format!("another:{}", "the secret of another".replace(' ', "+"));
        base64::engine::general_purpose::STANDARD.encode(pair)
    };
    let form: Vec<(&str, &str)> = form.iter().filter(|(k, _)| !k.starts_with("client_")).copied().collect();
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(counterproof::crypto::tls::client_trusting(&issuer.ca).unwrap())
        .build()
        .unwrap();
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let answer = http
        .post(format!("{}/token", issuer.address))
        .header("authorization", format!("Basic {basic}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    let said: serde_json::Value = answer.json().await.unwrap();
    said["id_token"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[tokio::test]
async fn no_role_is_no_account_a_name_is_no_proof_and_passwords_can_be_left_to_administrators() {
    let house = house("local_sign_in = 'administrators'\n");
    let stranger = browser(&house);
    house.issuer.control("id=zhao&group=canteen").await;
    assert_eq!(house.sign_in(&stranger, "zhao").await.0, 401);
    let listed = |house: &House| {
        let output = house.bureau.command(&["accounts", "list", "--json"]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(listed(&house), serde_json::json!([]));

    // Whoever may choose a name at the issuer is not the local account of that name.
    house.bureau.add_account("chen", &["administrator"]);
    house.bureau.add_account("li", &["reviewer"]);
    house.issuer.control("id=chen&group=desk-review").await;
    let namesake = browser(&house);
    assert_eq!(house.sign_in(&namesake, "chen").await.0, 200);
    assert_eq!(namesake.get(&format!("{}/accounts", house.origin)).await.status().as_u16(), 403);
    let names = listed(&house);
    let made = names.as_array().unwrap().iter().find(|a| a["by"][0] == "single sign-on").unwrap();
    assert!(made["name"].as_str().unwrap().starts_with("sso-"), "{names}");

    // Nor is there a way around the issuer's word on roles.
    let made = made["name"].as_str().unwrap();
    let run = |words: &[&str]| {
        let output = house.bureau.command(&[&["accounts"], words].concat()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = run(&["password", made, "--issue"]);
    assert!(!done && said.contains("accounts roles"), "{said}");
    // Somebody with two accounts gets one.
    let subject = format!("{} chen", house.issuer.address);
    let (done, said) = run(&["link", "chen", "--subject", &subject]);
    assert!(!done && said.contains("linked to it already"), "{said}");
    let (done, said) = run(&["link", "chen", "--subject", "chen"]);
    assert!(!done && said.contains("the issuer's address"), "{said}");
    assert!(run(&["unlink", made]).0 && !house.is_in(&namesake).await);
    assert!(run(&["link", "chen", "--subject", &subject]).0);
    assert_eq!(house.sign_in(&namesake, "chen").await.0, 200);
    assert_eq!(namesake.get(&format!("{}/accounts", house.origin)).await.status().as_u16(), 200);

    // An administrator may say that it is them.
    house.issuer.control("id=li-at-the-issuer").await;
    let subject = format!("{} li-at-the-issuer", house.issuer.address);
    let linked = house.bureau.command(&["accounts", "link", "li", "--subject", &subject]).output().unwrap();
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    let li = browser(&house);
    assert_eq!(house.sign_in(&li, "li-at-the-issuer").await.0, 200, "with the account's own roles");
    assert!(house.is_in(&li).await);
    let disabled = house.bureau.command(&["accounts", "disable", "li"]).output().unwrap();
    assert!(disabled.status.success() && !house.is_in(&li).await);
    assert_eq!(house.sign_in(&li, "li-at-the-issuer").await.0, 401);

    // With a password, administrators alone.
    house.bureau.add_account("ma", &["reviewer"]);
    for (name, status) in [("ma", 401), ("chen", 303)] {
        let form = [("name", name), ("password", crate::support::bureau::PASSWORD)];
        let answer = browser(&house).post(&format!("{}/sign-in", house.origin), &form).await;
        assert_eq!(answer.status().as_u16(), status, "{name}");
    }
}
