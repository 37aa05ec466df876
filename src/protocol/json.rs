//! JSON documents, read whole: what is wrong is named by its field, and nothing
//! may follow the document, since nobody would look at it.

use serde::de::DeserializeOwned;

/// A document that was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {what}")]
pub struct Misread {
    /// Path of the field; `.` is the whole.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

/// Reads one document and nothing else.
///
/// # Errors
/// [`Misread`] naming the field.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misread> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| Misread { field: e.path().to_string(), what: e.inner().to_string() })?;
    json.end().map_err(|e| Misread { field: ".".into(), what: e.to_string() })?;
    Ok(value)
}
