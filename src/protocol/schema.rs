//! How what writes itself as text or as a list stands in the OpenAPI documents.
//!
//! What has fields derives its description; these are written by hand beside the
//! forms that `Serialize` gives them. A test compares them with real values.

use std::borrow::Cow;

use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::commission::Mode;
use super::figures::{BINS, ScoreHistogram};
use crate::clock::{HisTime, WallTime};
use crate::crypto::Sha256;
use crate::crypto::sign::{KeyId, PublicKey, Signature};
use crate::crypto::transform::TransformId;

macro_rules! texts {
    ($($kind:ty, $name:literal, $pattern:literal, $says:literal;)*) => {$(
        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::String))
                    .pattern(Some($pattern))
                    .description(Some($says));
                RefOr::T(Schema::Object(text.build()))
            }
        }

        impl ToSchema for $kind {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

texts! {
    Sha256, "Sha256", "^[0-9a-fA-F]{64}$", "A SHA-256 digest in hexadecimal digits.";
    KeyId, "KeyId", "^[0-9a-f]{16}$", "The first 16 hexadecimal digits of a public key's SHA-256.";
    PublicKey, "PublicKey", "^ed25519:[A-Za-z0-9+/]{43}=$", "An Ed25519 public key as base64.";
    Signature, "Signature", "^alg=ed25519,key=[0-9a-f]{16},sig=[A-Za-z0-9+/]{86}==$", "A detached Ed25519 signature, with the name of its key.";
    TransformId, "TransformId", "^[0-9a-f]{16}$", "Names the transform that references are under.";
    Mode, "Mode", "^(armed|shadow\\([a-z_]+\\))$", "`armed`, or `shadow(reason)`.";
}

impl PartialSchema for WallTime {
    fn schema() -> RefOr<Schema> {
        let millis = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Integer))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .description(Some("Milliseconds since 1970-01-01T00:00:00Z."));
        RefOr::T(Schema::Object(millis.build()))
    }
}

impl ToSchema for WallTime {}

impl PartialSchema for HisTime {
    fn schema() -> RefOr<Schema> {
        let time = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A moment by the hospital's clock, with its offset."));
        RefOr::T(Schema::Object(time.build()))
    }
}

impl ToSchema for HisTime {}

impl PartialSchema for ScoreHistogram {
    fn schema() -> RefOr<Schema> {
        let count = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(0));
        let counts = ArrayBuilder::new()
            .items(count.build())
            .min_items(Some(BINS))
            .max_items(Some(BINS))
            .description(Some("Settlements by comparison score, in 40 equal bins from -1 to 1."));
        RefOr::T(Schema::Array(counts.build()))
    }
}

impl ToSchema for ScoreHistogram {}
