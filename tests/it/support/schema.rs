//! Holds what programs say against an OpenAPI document: the part of JSON Schema
//! that the documents use. A keyword that is not known here fails.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keywords that say nothing about a value, or that are checked elsewhere
/// (`pattern` and `format`: by the types that read the text).
const PASSED_OVER: &[&str] = &["description", "format", "pattern", "title", "default", "propertyNames"];

/// A document, ready to be held against.
pub struct Contract(Value);

/// Names of all schemas that a value refers to.
pub fn refs(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(refs)).collect()
        }
        Value::Array(items) => items.iter().flat_map(refs).collect(),
        _ => BTreeSet::new(),
    }
}

impl Contract {
    pub fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    /// Paths with their methods.
    pub fn paths(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().map(|(p, m)| (p.as_str(), m.as_object().unwrap().keys().map(String::as_str).collect()))
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        let found = &self.0["paths"][path][method];
        assert!(found.is_object(), "{method} {path} is not described");
        found
    }

    /// Whether a body is as described.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Result<(), String> {
        let content = self.operation(method, path)["requestBody"]["content"].as_object().unwrap();
        self.fits(&content.values().next().unwrap()["schema"], body, "body")
    }

    /// Fails unless an answer is as described: status, media type, body.
    pub async fn answer(&self, method: &str, path: &str, answer: reqwest::Response) {
        let status = answer.status().as_u16().to_string();
        let described = &self.operation(method, path)["responses"][&status];
        assert!(described.is_object(), "{method} {path}: {status} is not described");
        let media = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        let media = media.unwrap_or_default();
        let schema = &described["content"][&media]["schema"];
        assert!(schema.is_object(), "{method} {path}: {status} comes as {media:?}, which is not described");
        let body: Value = answer.json().await.unwrap();
        if let Err(what) = self.fits(schema, &body, "body") {
            panic!("{method} {path}: {status}: {what}\n{body:#}");
        }
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Some(rules) = schema.as_object() else { return Ok(()) };
        for (rule, wanted) in rules {
            self.rule(rule, wanted, rules, value).map_err(|e| format!("{at}: {e}"))?;
        }
        Ok(())
    }

    fn rule(
        &self,
        rule: &str,
        wanted: &Value,
        rules: &Map<String, Value>,
        value: &Value,
    ) -> Result<(), String> {
        let wrong = || Err(format!("{rule} {wanted} does not fit {value}"));
        let number = |v: &Value| v.as_f64().unwrap_or_default();
        match rule {
            "$ref" => self.fits(self.named(wanted), value, wanted.as_str().unwrap()),
            "type" if !is_a(wanted, value) => wrong(),
            "const" if wanted != value => wrong(),
            "enum" if !wanted.as_array().unwrap().contains(value) => wrong(),
            "minimum" if value.is_number() && number(value) < number(wanted) => wrong(),
            "maximum" if value.is_number() && number(value) > number(wanted) => wrong(),
            "minItems" if value.as_array().is_some_and(|a| (a.len() as f64) < number(wanted)) => wrong(),
            "maxItems" if value.as_array().is_some_and(|a| a.len() as f64 > number(wanted)) => wrong(),
            "required" => {
                let missing =
                    wanted.as_array().unwrap().iter().find(|n| value.get(n.as_str().unwrap()).is_none());
                missing.map_or(Ok(()), |n| Err(format!("{n} is missing")))
            }
            "properties" => (wanted.as_object().unwrap().iter())
                .filter_map(|(name, schema)| Some((name, schema, value.get(name)?)))
                .try_for_each(|(name, schema, v)| self.fits(schema, v, name)),
            "items" => value.as_array().unwrap().iter().try_for_each(|v| self.fits(wanted, v, "item")),
            "allOf" => wanted.as_array().unwrap().iter().try_for_each(|s| self.fits(s, value, "allOf")),
            "oneOf" | "anyOf" => {
                let tried = wanted.as_array().unwrap().iter().map(|s| self.fits(s, value, rule));
                let (good, bad): (Vec<_>, Vec<_>) = tried.partition(Result::is_ok);
                if good.len() == 1 || (rule == "anyOf" && !good.is_empty()) {
                    return Ok(());
                }
                Err(format!("{} of {rule} fit: {bad:?}", good.len()))
            }
            "additionalProperties" | "unevaluatedProperties" => self.others(wanted, rules, value),
            "type" | "const" | "enum" | "minimum" | "maximum" | "minItems" | "maxItems" => Ok(()),
            _ if PASSED_OVER.contains(&rule) => Ok(()),
            other => Err(format!("the keyword {other} is not known here")),
        }
    }

    /// The fields that no part of a schema names.
    fn others(&self, wanted: &Value, rules: &Map<String, Value>, value: &Value) -> Result<(), String> {
        let known = self.names(&Value::Object(rules.clone()));
        let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(*name));
        others.into_iter().try_for_each(|(name, v)| match wanted {
            Value::Bool(false) => Err(format!("nobody named {name}")),
            schema => self.fits(schema, v, name),
        })
    }

    fn names(&self, schema: &Value) -> BTreeSet<String> {
        let own = schema["properties"].as_object().into_iter().flat_map(|p| p.keys().cloned());
        let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|k| schema[k].as_array()).flatten();
        let named = schema.get("$ref").map(|r| self.named(r));
        own.chain(parts.chain(named).flat_map(|s| self.names(s))).collect()
    }

    fn named(&self, reference: &Value) -> &Value {
        let path = reference.as_str().unwrap().trim_start_matches('#');
        self.0.pointer(path).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

fn is_a(wanted: &Value, value: &Value) -> bool {
    let kinds: Vec<&str> = match wanted {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    kinds.into_iter().any(|kind| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    })
}
