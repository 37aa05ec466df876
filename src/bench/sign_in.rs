//! Signing in at a console that was started for the occasion.

use std::io;

use reqwest::Client;
use reqwest::redirect::Policy;

/// The cookie of a new session of this account.
///
/// # Errors
/// If the console cannot be reached, or nobody is signed in.
pub async fn sign_in(console: &str, name: &str, password: &str) -> io::Result<String> {
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("name", name)
        .append_pair("password", password)
        .finish();
    // Redirections are not followed: the cookie is in the first answer.
    let client = Client::builder().no_proxy().tls_certs_only([]).redirect(Policy::none());
    let client = client.build().map_err(io::Error::other)?;
    let post = client.post(format!("{console}/sign-in"));
    let post = post.header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = post.send().await.map_err(io::Error::other)?;
    let cookie = answer.headers().get("set-cookie").and_then(|c| c.to_str().ok());
    let cookie = cookie.and_then(|c| c.split(';').next()).map(str::to_owned);
    cookie.ok_or_else(|| io::Error::other(format!("nobody was signed in: {}", answer.status())))
}
