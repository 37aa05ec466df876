//! The administrator's pages: who may sign in, and as what.
//!
//! A start password is shown once, in the answer to the form that made it, and is
//! nowhere else afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Nothing;
use super::route::{ADMINISTER, Route};
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::command::{self, Deed};
use crate::bureau::accounts::{AccountName, Role, Roles};
use crate::bureau::store::Account;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts", ADMINISTER, list),
        Route::post("/accounts", ADMINISTER, add),
        Route::get("/accounts/{name}", ADMINISTER, show),
        Route::post("/accounts/{name}/roles", ADMINISTER, set_roles),
        Route::post("/accounts/{name}/disable", ADMINISTER, disable),
        Route::post("/accounts/{name}/enable", ADMINISTER, enable),
        Route::post("/accounts/{name}/unlock", ADMINISTER, unlock),
        Route::post("/accounts/{name}/sign-out", ADMINISTER, sign_out),
        Route::post("/accounts/{name}/password", ADMINISTER, reissue),
    ]
}

/// One account, as the pages show it.
struct Row {
    account: Account,
    is_locked: bool,
}

impl Row {
    async fn of(console: &Console, account: Account) -> Result<Self, Failure> {
        let now = console.clock.now().wall;
        let is_locked = console.store.locked_until(&account.name, now).await?.is_some();
        Ok(Self { account, is_locked })
    }

    fn roles(&self) -> Vec<&'static str> {
        self.account.roles.iter().map(Role::as_str).collect()
    }

    fn state(&self) -> &'static str {
        match (self.account.disabled, self.is_locked, self.account.start_until) {
            (true, ..) => "disabled",
            (false, true, _) => "locked",
            (false, false, Some(_)) => "start",
            (false, false, None) => "active",
        }
    }

    fn kind(&self) -> &'static str {
        match (self.account.password.is_empty(), &self.account.subject) {
            (false, None) => "password",
            (true, _) => "elsewhere",
            (false, Some(_)) => "both",
        }
    }

    fn has(&self, role: &Role) -> bool {
        self.account.roles.has(*role)
    }
}

#[derive(Template)]
#[template(path = "console/accounts.html")]
struct AccountsPage<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    all_roles: [Role; 5],
}

#[derive(Template)]
#[template(path = "console/accounts_one.html")]
struct AccountPage<'a> {
    frame: Frame<'a>,
    row: Row,
    all_roles: [Role; 5],
}

#[derive(Template)]
#[template(path = "console/accounts_start.html")]
struct StartPage<'a> {
    frame: Frame<'a>,
    name: &'a str,
    password: &'a str,
}

async fn list(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let mut rows = Vec::new();
    for account in console.store.accounts().await? {
        rows.push(Row::of(&console, account).await?);
    }
    page(
        &visitor,
        &AccountsPage { frame: Frame::new(&visitor, "accounts-title"), rows, all_roles: Role::ALL },
    )
}

fn named(name: &str) -> Result<AccountName, Failure> {
    name.parse().map_err(|_| Failure::not_found())
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let account = console.store.account(&named(&name)?).await?.ok_or_else(Failure::not_found)?;
    let row = Row::of(&console, account).await?;
    page(&visitor, &AccountPage { frame: Frame::titled(&visitor, name), row, all_roles: Role::ALL })
}

/// The boxes that were ticked, each named like its role, and other fields.
#[derive(Deserialize)]
#[serde(transparent)]
struct Ticked(BTreeMap<String, String>);

impl Ticked {
    fn roles(&self) -> Result<Roles, Failure> {
        let roles = Roles::new(Role::ALL.into_iter().filter(|r| self.0.contains_key(r.as_str())));
        if roles.is_empty() { Err(Failure::bad("accounts-no-role")) } else { Ok(roles) }
    }

    fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |v| v.trim())
    }
}

fn start(visitor: &Visitor, name: &AccountName, password: &str) -> Result<Response, Failure> {
    let frame = Frame::new(visitor, "accounts-start-title");
    page(visitor, &StartPage { frame, name: name.as_str(), password })
}

async fn add(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Posted { form }: Posted<Ticked>,
) -> Result<Response, Failure> {
    let roles = form.roles()?;
    let name: AccountName =
        form.field("name").to_lowercase().parse().map_err(|_| Failure::bad("accounts-bad-name"))?;
    if console.store.account(&name).await?.is_some() {
        return Err(Failure::conflict("accounts-taken"));
    }
    let display = Some(form.field("display").to_owned()).filter(|d| !d.is_empty());
    let password = command::issue(&console.store, &visitor.acts_as()?, name.clone(), display, roles).await?;
    start(&visitor, &name, &password)
}

async fn apply(console: &Console, visitor: &Visitor, name: &str, deed: Deed) -> Result<Response, Failure> {
    let name = named(name)?;
    command::apply(&console.store, &visitor.acts_as()?, &name, deed).await?;
    Ok(Redirect::to(&format!("/accounts/{name}")).into_response())
}

async fn set_roles(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Posted { form }: Posted<Ticked>,
) -> Result<Response, Failure> {
    apply(&console, &visitor, &name, Deed::Roles(form.roles()?)).await
}

async fn disable(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    apply(&console, &visitor, &name, Deed::Disable).await
}

async fn enable(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    apply(&console, &visitor, &name, Deed::Enable).await
}

async fn unlock(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    apply(&console, &visitor, &name, Deed::Unlock).await
}

async fn sign_out(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    apply(&console, &visitor, &name, Deed::SignOut).await
}

async fn reissue(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let name = named(&name)?;
    let password = command::reissue(&console.store, &visitor.acts_as()?, &name).await?;
    start(&visitor, &name, &password)
}
