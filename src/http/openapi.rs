//! OpenAPI documents, from tables in the code: what machines may say to a program.
//!
//! Promises: what a field is stands in one place, the type that is read and written;
//! every operation answers with problem details where it refuses. A document is
//! text with sorted keys, so that the file that is checked in changes only when an
//! interface does. It does not say who may call; `docs/contracts.md` does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::problem::{PROBLEM_JSON, Problem};

/// Media type of JSON.
const JSON: &str = "application/json";

/// A document while it is made.
pub struct OpenApi {
    about: Value,
    paths: BTreeMap<&'static str, Map<String, Value>>,
    schemas: BTreeMap<String, Value>,
    clashes: Vec<String>,
}

/// One thing that can be asked.
pub struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    schemas: Vec<(String, Value)>,
}

/// The schema of a type, and of all that it is made of. What Rust has itself
/// (`i64`) has no name of its own here.
fn schemas_of<T: ToSchema>() -> (Value, Vec<(String, Value)>) {
    let name = T::name().into_owned();
    if name.starts_with(char::is_lowercase) {
        return (serde_json::to_value(T::schema()).unwrap_or_default(), Vec::new());
    }
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    parts.push((name.clone(), T::schema()));
    let parts = parts.into_iter().map(|(n, s)| (n, tidy(serde_json::to_value(s).unwrap_or_default())));
    (json!({"$ref": format!("#/components/schemas/{name}")}), parts.collect())
}

/// Where a type is written into another (`serde(flatten)`), what neither names is
/// refused by the whole: nothing here takes a field that nobody named. Links between
/// types of the code become plain words.
fn tidy(schema: Value) -> Value {
    match schema {
        Value::Object(mut fields) => {
            if let Some(Value::Array(parts)) = fields.get_mut("allOf") {
                // Each part alone would refuse what its neighbours name.
                for part in parts.iter_mut().filter_map(Value::as_object_mut) {
                    part.remove("additionalProperties");
                }
                fields.insert("unevaluatedProperties".into(), false.into());
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
            }
            Value::Object(fields.into_iter().map(|(k, v)| (k, tidy(v))).collect())
        }
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        other => other,
    }
}

impl Operation {
    /// `method` in small letters, `path` as the router names it.
    pub fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let parameter = |n| json!({"name": n, "in": "path", "required": true, "schema": {"type": "string"}});
        let (parameters, schemas) = (names.map(parameter).collect(), Vec::new());
        Self { method, path, summary, parameters, body: None, answers: Map::new(), schemas }
    }

    fn takes_schema<T: ToSchema>(&mut self) -> Value {
        let (reference, parts) = schemas_of::<T>();
        self.schemas.extend(parts);
        reference
    }

    /// A value of the query.
    #[must_use]
    pub fn query<T: ToSchema>(mut self, name: &str, is_required: Need) -> Self {
        let schema = self.takes_schema::<T>();
        let required = is_required == Need::Required;
        self.parameters.push(json!({"name": name, "in": "query", "required": required, "schema": schema}));
        self
    }

    /// A header that must be there.
    #[must_use]
    pub fn header<T: ToSchema>(mut self, name: &str) -> Self {
        let schema = self.takes_schema::<T>();
        self.parameters.push(json!({"name": name, "in": "header", "required": true, "schema": schema}));
        self
    }

    /// What is sent, in this media type.
    #[must_use]
    pub fn takes<T: ToSchema>(mut self, media: &str) -> Self {
        let schema = self.takes_schema::<T>();
        self.body = Some(json!({"required": true, "content": {media: {"schema": schema}}}));
        self
    }

    /// Any bytes are sent.
    #[must_use]
    pub fn takes_bytes(mut self) -> Self {
        self.body = Some(json!({"required": true, "content": {"application/octet-stream": {}}}));
        self
    }

    /// An answer with JSON.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, status: u16, says: &str) -> Self {
        let schema = self.takes_schema::<T>();
        let answer = json!({"description": says, "content": {JSON: {"schema": schema}}});
        self.answers.insert(status.to_string(), answer);
        self
    }

    /// An answer in another media type, or without a body where that is empty.
    #[must_use]
    pub fn answers_plainly(mut self, status: u16, says: &str, media: &str) -> Self {
        let mut answer = json!({"description": says});
        if !media.is_empty() {
            answer["content"] = json!({media: {}});
        }
        self.answers.insert(status.to_string(), answer);
        self
    }

    /// These statuses come with a problem.
    #[must_use]
    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        let schema = self.takes_schema::<Problem>();
        for status in statuses {
            let named = axum::http::StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason());
            let answer = json!({
                "description": named.unwrap_or("refused"),
                "content": {PROBLEM_JSON: {"schema": schema}},
            });
            self.answers.insert(status.to_string(), answer);
        }
        self
    }
}

/// Whether a value of a query may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must be there.
    Required,
    /// It may be left out.
    Optional,
}

impl OpenApi {
    /// An empty one.
    pub fn new(title: &str, description: &str) -> Self {
        let about = json!({
            "title": title,
            "description": description,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        });
        Self { about, paths: BTreeMap::new(), schemas: BTreeMap::new(), clashes: Vec::new() }
    }

    /// With one operation more.
    #[must_use]
    pub fn with(mut self, operation: Operation) -> Self {
        let Operation { method, path, summary, parameters, body, answers, schemas } = operation;
        let mut asked = json!({"summary": summary, "responses": answers});
        if !parameters.is_empty() {
            asked["parameters"] = parameters.into();
        }
        if let Some(body) = body {
            asked["requestBody"] = body;
        }
        self.paths.entry(path).or_default().insert(method.to_owned(), asked);
        for (name, schema) in schemas {
            if self.schemas.get(&name).is_some_and(|held| *held != schema) {
                self.clashes.push(name.clone());
            }
            self.schemas.insert(name, schema);
        }
        self
    }

    /// Each of these routes and no other is described, and no two types of different
    /// form have one name.
    #[cfg(test)]
    pub(crate) fn assert_of(&self, routes: impl IntoIterator<Item = &'static str>) {
        let routed: std::collections::BTreeSet<&str> = routes.into_iter().collect();
        assert_eq!(self.paths.keys().copied().collect::<std::collections::BTreeSet<_>>(), routed);
        assert_eq!(self.clashes, [""; 0]);
    }

    /// The document, as it is checked in.
    pub fn to_text(&self) -> String {
        let whole = json!({
            "openapi": "3.1.0",
            "info": self.about,
            "paths": self.paths,
            "components": {"schemas": self.schemas},
        });
        format!("{whole:#}\n")
    }
}
