//! Single sign-on: OpenID Connect's authorization code flow with PKCE, at the
//! bureau's own issuer.
//!
//! Promises: an identity comes only of an ID token that the configured issuer signed
//! for this client, for this browser's own attempt (state and nonce), within the
//! last minutes; no authority but the configured one is trusted on the way; roles
//! come of the configured table alone, and a claim that it does not name gives none.
//! What it does not do: keep tokens, ask the issuer again while a session lasts, or
//! sign anybody out there.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{Role, Roles};
use crate::bureau::BureauError;
use crate::clock::WallTime;
use crate::crypto::keys::read_password;
use crate::crypto::tls::client_trusting;
use crate::settings::Problem;

/// How long somebody may take at the issuer, in milliseconds.
pub const FLOW_MS: i64 = 10 * 60 * 1000;
/// How far the issuer's clock may be from ours, in milliseconds.
const SKEW_MS: i64 = 60 * 1000;
/// How long the issuer's own description and keys are believed, in milliseconds.
const FRESH_MS: i64 = 5 * 60 * 1000;
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of the issuer, in bytes.
const MOST_ANSWER: usize = 1024 * 1024;
/// Where the issuer sends browsers back to.
pub const CALLBACK: &str = "/sign-in/oidc/callback";

/// `[oidc]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The issuer, letter for letter as its own tokens name it.
    pub issuer: String,
    /// How the issuer knows this console.
    pub client_id: String,
    /// And by which secret: a path or `credential:NAME`.
    pub client_secret: String,
    /// The authority that signed the issuer's certificate (PEM).
    pub ca: PathBuf,
    /// Where browsers are sent back to; made of `console.names` if left out.
    pub redirect: Option<Url>,
    /// What is asked for besides `openid`.
    #[serde(default = "profile")]
    pub scopes: Vec<String>,
    /// The claim of the ID token that says what somebody is: a text or a list of texts.
    #[serde(default = "groups")]
    pub roles_claim: String,
    /// Which of its values give which role.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

fn profile() -> Vec<String> {
    vec!["profile".into()]
}

fn groups() -> String {
    "groups".into()
}

impl OidcConfig {
    /// What is not allowed.
    pub(in crate::bureau) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let is_safe = |url: &Url| url.scheme() == "https" && url.host().is_some();
        let advice = "Over http anybody on the way could say who somebody is.";
        if !self.issuer.parse::<Url>().is_ok_and(|u| is_safe(&u)) {
            problems.push(Problem::new("oidc.issuer", &self.issuer, "an https address", advice));
        }
        let is_ours = |u: &Url| {
            let loopback = matches!(u.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            (is_safe(u) || loopback) && u.path() == CALLBACK
        };
        if let Some(found) = self.redirect.as_ref().filter(|u| !is_ours(u)) {
            let allowed = format!("an https address of the console with the path {CALLBACK}");
            problems.push(Problem::new("oidc.redirect", found.as_str(), allowed, advice));
        }
        problems
    }
}

/// Why nobody was signed in; for the log, without anything about a person.
#[derive(Debug, thiserror::Error)]
pub enum SignOnError {
    /// The issuer cannot be reached, or does not say what an issuer says.
    #[error("the issuer cannot be used: {0}")]
    Issuer(String),
    /// The browser brought back what does not belong to its own attempt.
    #[error("what came back belongs to no attempt of this browser: {0}")]
    Foreign(&'static str),
    /// The issuer took no code, or gave a token that is not good.
    #[error("the issuer's word was not taken: {0}")]
    Token(String),
}

/// Every claim of an ID token that OpenID Connect does not name itself.
#[derive(Debug, Deserialize, Serialize)]
struct Extra(BTreeMap<String, Value>);
impl AdditionalClaims for Extra {}

type Fields = IdTokenFields<
    Extra,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Issuer = Client<
    Extra,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// One browser's attempt; the browser keeps it, sealed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flow {
    state: String,
    nonce: String,
    verifier: String,
    begun: WallTime,
    /// Where to go afterwards.
    pub back: String,
}

/// What the issuer sends back through the browser.
#[derive(Debug, Deserialize)]
pub struct Returned {
    /// To be changed for tokens, once.
    pub code: Option<String>,
    /// Which attempt it belongs to.
    pub state: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
    /// Who sends it (RFC 9207).
    pub iss: Option<String>,
}

/// Whom the issuer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Issuer and subject, with a space between: the same for ever.
    pub subject: String,
    /// As they call themselves; not to be trusted as an account's name.
    pub preferred: Option<String>,
    /// Their name for pages.
    pub display: Option<String>,
    /// What the table of the configuration makes of their claim; may be none.
    pub roles: Roles,
}

/// The issuer, as configured.
pub struct SignOn {
    config: OidcConfig,
    secret: ClientSecret,
    redirect: RedirectUrl,
    http: Carrier,
    known: Mutex<Option<(WallTime, Arc<CoreProviderMetadata>)>>,
}

impl SignOn {
    /// Reads secret and authority; asks the issuer nothing yet, so that the bureau
    /// starts while it is away. `origin` is the console's own address.
    ///
    /// # Errors
    /// If secret or authority cannot be used.
    pub fn new(config: OidcConfig, origin: &str) -> Result<Self, BureauError> {
        let secret = read_password(&config.client_secret)?;
        let bad = |e: String| BureauError::Command(format!("[oidc]: {e}"));
        let address = config.redirect.as_ref().map_or_else(|| format!("{origin}{CALLBACK}"), Url::to_string);
        let redirect = RedirectUrl::new(address).map_err(|e| bad(e.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(client_trusting(&config.ca)?)
            // A redirection would lead the secret elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let secret = ClientSecret::new(secret.as_str().to_owned());
        Ok(Self { config, secret, redirect, http: Carrier(http), known: Mutex::default() })
    }

    /// Begins an attempt: where to send the browser, and what it has to keep.
    ///
    /// # Errors
    /// If the issuer cannot be reached.
    pub async fn begin(&self, back: String, now: WallTime) -> Result<(Url, Flow), SignOnError> {
        let issuer = self.issuer(now).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let request = issuer.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let scopes = self.config.scopes.iter().map(|s| Scope::new(s.clone()));
        let (to, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        if to.scheme() != "https" {
            return Err(SignOnError::Issuer("it sends browsers to an address that is not https".into()));
        }
        let (state, nonce) = (state.into_secret(), nonce.secret().clone());
        Ok((to, Flow { state, nonce, verifier: verifier.into_secret(), begun: now, back }))
    }

    /// Ends an attempt: whom the issuer vouches for.
    ///
    /// # Errors
    /// If what came back is not this attempt's, or the issuer's word is not good.
    pub async fn finish(
        &self,
        flow: &Flow,
        returned: Returned,
        now: WallTime,
    ) -> Result<Identity, SignOnError> {
        let age = now.as_millis().saturating_sub(flow.begun.as_millis());
        if !(0..FLOW_MS).contains(&age) {
            return Err(SignOnError::Foreign("it took too long"));
        }
        if returned.state.as_deref() != Some(flow.state.as_str()) {
            return Err(SignOnError::Foreign("another state"));
        }
        if returned.iss.is_some_and(|iss| iss != self.config.issuer) {
            return Err(SignOnError::Foreign("another issuer"));
        }
        if returned.error.is_some() {
            return Err(SignOnError::Token("it signed nobody in".into()));
        }
        let code = returned.code.ok_or(SignOnError::Foreign("no code"))?;
        let issuer = self.issuer(now).await?;
        let tokens = issuer
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|e| SignOnError::Issuer(e.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()))
            .request_async(&self.http)
            .await
            .map_err(|e| SignOnError::Token(e.to_string()))?;
        self.identity(&issuer, &tokens, flow, now)
    }

    fn identity(
        &self,
        issuer: &Issuer,
        tokens: &StandardTokenResponse<Fields, CoreTokenType>,
        flow: &Flow,
        now: WallTime,
    ) -> Result<Identity, SignOnError> {
        use CoreJwsSigningAlgorithm as Algorithm;
        let bad = |e: &dyn std::fmt::Display| SignOnError::Token(e.to_string());
        let token = tokens.id_token().ok_or_else(|| bad(&"there is no ID token"))?;
        let (early, late) = (now.as_millis() - SKEW_MS, now.as_millis() + SKEW_MS);
        let verifier = issuer
            .id_token_verifier()
            // Signed with a key of the issuer's, never with our own secret, never not at all.
            .set_allowed_algs([
                Algorithm::RsaSsaPkcs1V15Sha256,
                Algorithm::RsaSsaPssSha256,
                Algorithm::EcdsaP256Sha256,
                Algorithm::EdDsa,
            ])
            .set_time_fn(move || moment(early).into())
            .set_issue_time_verifier_fn(move |at| {
                let issued = at.timestamp_millis();
                if (early - FLOW_MS..=late).contains(&issued) {
                    return Ok(());
                }
                Err("issued at a time that is not about now: look at both clocks".into())
            });
        let claims = token.claims(&verifier, &Nonce::new(flow.nonce.clone())).map_err(|e| bad(&e))?;
        let said = claims.additional_claims().0.get(&self.config.roles_claim);
        let display = claims.name().and_then(|n| n.get(None)).map(|n| n.to_string());
        Ok(Identity {
            subject: format!("{} {}", self.config.issuer, claims.subject().as_str()),
            preferred: claims.preferred_username().map(|n| n.to_string()),
            display,
            roles: roles_of(said, &self.config.roles),
        })
    }

    async fn issuer(&self, now: WallTime) -> Result<Issuer, SignOnError> {
        let metadata = self.metadata(now).await?;
        let id = ClientId::new(self.config.client_id.clone());
        let client = Client::from_provider_metadata((*metadata).clone(), id, Some(self.secret.clone()));
        Ok(client.set_auth_type(auth_type(&metadata)).set_redirect_uri(self.redirect.clone()))
    }

    async fn metadata(&self, now: WallTime) -> Result<Arc<CoreProviderMetadata>, SignOnError> {
        let known = self.known.lock().unwrap_or_else(|e| e.into_inner()).clone();
        if let Some((at, metadata)) = known
            && (0..FRESH_MS).contains(&now.as_millis().saturating_sub(at.as_millis()))
        {
            return Ok(metadata);
        }
        let bad = |e: &dyn std::fmt::Display| SignOnError::Issuer(e.to_string());
        let name = IssuerUrl::new(self.config.issuer.clone()).map_err(|e| bad(&e))?;
        let asked = CoreProviderMetadata::discover_async(name, &self.http).await;
        let metadata = Arc::new(asked.map_err(|e| bad(&e))?);
        *self.known.lock().unwrap_or_else(|e| e.into_inner()) = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }
}

/// How the issuer wants to be shown our secret: in a header unless it takes it in the
/// form alone.
fn auth_type(metadata: &CoreProviderMetadata) -> AuthType {
    use CoreClientAuthMethod::{ClientSecretBasic, ClientSecretPost};
    match metadata.token_endpoint_auth_methods_supported() {
        Some(known) if known.contains(&ClientSecretPost) && !known.contains(&ClientSecretBasic) => {
            AuthType::RequestBody
        }
        _ => AuthType::BasicAuth,
    }
}

/// Carries the library's requests to the issuer.
struct Carrier(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Carrier {
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, io::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(carry(&self.0, request))
    }
}

async fn carry(http: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, io::Error> {
    let (parts, body) = request.into_parts();
    let method = reqwest::Method::from_bytes(parts.method.as_str().as_bytes()).map_err(io::Error::other)?;
    let address = parts.uri.to_string();
    if !address.starts_with("https://") {
        return Err(io::Error::other("the issuer names an address that is not https"));
    }
    let mut asked = http.request(method, address).body(body);
    for (name, value) in &parts.headers {
        asked = asked.header(name.as_str(), value.as_bytes());
    }
    let mut answer = asked.send().await.map_err(|e| io::Error::other(e.without_url()))?;
    let mut made = HttpResponse::new(Vec::new());
    *made.status_mut() = answer.status();
    *made.headers_mut() = answer.headers().clone();
    while let Some(chunk) = answer.chunk().await.map_err(|e| io::Error::other(e.without_url()))? {
        if made.body().len() + chunk.len() > MOST_ANSWER {
            return Err(io::Error::other("the issuer's answer is too long"));
        }
        made.body_mut().extend_from_slice(&chunk);
    }
    Ok(made)
}

fn moment(at: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or_default())
}

fn roles_of(said: Option<&Value>, table: &BTreeMap<String, Role>) -> Roles {
    let role = |v: &Value| v.as_str().and_then(|text| table.get(text)).copied();
    match said {
        Some(Value::Array(list)) => Roles::new(list.iter().filter_map(role)),
        Some(one) => Roles::new(role(one)),
        None => Roles::new([]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_secret_is_shown_as_the_issuer_takes_it() {
        let of = |methods: Value| {
            let mut said = json!({
                "issuer": "https://sso.example/",
                "authorization_endpoint": "https://sso.example/auth",
                "jwks_uri": "https://sso.example/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            });
            said["token_endpoint_auth_methods_supported"] = methods;
            auth_type(&serde_json::from_value(said).unwrap())
        };
        assert!(matches!(of(json!(["client_secret_post"])), AuthType::RequestBody));
        for basic in [json!(null), json!(["client_secret_basic", "client_secret_post"])] {
            assert!(matches!(of(basic), AuthType::BasicAuth));
        }
    }

    #[test]
    fn only_what_the_table_names_gives_a_role() {
        let table: BTreeMap<String, Role> =
            [("desk".to_owned(), Role::Reviewer), ("lead".to_owned(), Role::Supervisor)].into();
        let of = |said: Value| roles_of(Some(&said), &table).to_string();
        assert_eq!(of(json!(["desk", "lead", "canteen", 7])), "reviewer supervisor");
        assert_eq!(of(json!("lead")), "supervisor");
        for none in [json!("administrator"), json!([]), json!({"desk": true}), json!(null), json!("Desk")] {
            assert!(roles_of(Some(&none), &table).is_empty(), "{none}");
        }
        assert!(roles_of(None, &table).is_empty());
    }
}
