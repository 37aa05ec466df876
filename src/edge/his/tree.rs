//! A JSON message, looked at by path: what is wrong is named by where it stands.

use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::{Misread, untidy};

/// An object of a message, and where it stands in it.
pub(super) struct Branch<'m> {
    map: &'m Map<String, Value>,
    path: String,
}

/// A whole message. What it held is overwritten when it is dropped: names and
/// numbers of certificates are in it.
pub(super) struct Tree(Value);

impl Tree {
    /// Reads the text of a message.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Misread> {
        let text = untidy::text(bytes).map_err(|what| Misread::new("body", what))?;
        let value =
            serde_json::from_str(&text).map_err(|e| Misread::new("body", format!("not JSON: {e}")))?;
        Ok(Self(value))
    }

    /// Its outermost object.
    pub(super) fn root(&self) -> Result<Branch<'_>, Misread> {
        match &self.0 {
            Value::Object(map) => Ok(Branch { map, path: String::new() }),
            other => Err(Misread::new("body", format!("found {}; expected an object", kind(other)))),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(s) => s.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl<'m> Branch<'m> {
    /// The path of one of its keys.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn value(&self, key: &str) -> Option<&'m Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    /// Whether a key is there with something in it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// An object beneath; nothing if it is absent or null.
    pub(super) fn branch(&self, key: &str) -> Result<Option<Branch<'m>>, Misread> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Branch { map, path: self.at(key) })),
            Some(other) => {
                Err(Misread::new(self.at(key), format!("found {}; expected an object", kind(other))))
            }
        }
    }

    /// The objects of a list beneath; none if it is absent or null.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Branch<'m>>, Misread> {
        let items = match self.value(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => {
                return Err(Misread::new(self.at(key), format!("found {}; expected a list", kind(other))));
            }
        };
        let one = |(i, item): (usize, &'m Value)| {
            let path = format!("{}[{i}]", self.at(key));
            match item {
                Value::Object(map) => Ok(Branch { map, path }),
                other => Err(Misread::new(path, format!("found {}; expected an object", kind(other)))),
            }
        };
        items.iter().enumerate().map(one).collect()
    }

    /// The same object, or the one under `data` where a message has that level.
    pub(super) fn or_data(self) -> Result<Branch<'m>, Misread> {
        match self.value("data") {
            Some(Value::Object(map)) => Ok(Branch { map, path: self.at("data") }),
            // Some write a list with one.
            Some(Value::Array(items)) => match items.as_slice() {
                [Value::Object(map)] => Ok(Branch { map, path: format!("{}[0]", self.at("data")) }),
                _ => Err(Misread::new(
                    self.at("data"),
                    format!("found a list of {}; expected one object", items.len()),
                )),
            },
            _ => Ok(self),
        }
    }

    /// A text beneath, trimmed, also where it was written as a number; nothing if
    /// it is absent, null or empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Misread> {
        let text = match self.value(key) {
            None => return Ok(None),
            Some(Value::String(s)) => s.trim().to_owned(),
            Some(Value::Number(n)) => n.to_string(),
            Some(other) => {
                return Err(Misread::new(self.at(key), format!("found {}; expected text", kind(other))));
            }
        };
        Ok(Some(text).filter(|t| !t.is_empty()))
    }

    /// The same, where the message says nothing without it.
    pub(super) fn needed(&self, key: &str) -> Result<String, Misread> {
        self.text(key)?.ok_or_else(|| Misread::new(self.at(key), "nothing; it is needed"))
    }

    /// A name of this program's, such as a cardholder's number.
    pub(super) fn name<T: std::str::FromStr>(&self, key: &str) -> Result<T, Misread>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.needed(key)?;
        text.parse().map_err(|e: T::Err| Misread::new(self.at(key), e.to_string()))
    }

    /// A value that a function reads from its text.
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Misread> {
        read(&self.needed(key)?).map_err(|what| Misread::new(self.at(key), what))
    }

    /// An object that may have been written as JSON text.
    pub(super) fn document(&self, key: &str) -> Result<Option<Tree>, Misread> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(s)) if s.trim().is_empty() => Ok(None),
            Some(Value::String(s)) => {
                Tree::read(s.as_bytes()).map(Some).map_err(|e| Misread::new(self.at(key), e.what))
            }
            Some(other) => Ok(Some(Tree(other.clone()))),
        }
    }
}
