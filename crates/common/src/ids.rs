//! Names of things: shards, assets, accounts, tenants, configured names and request ids.
//!
//! Every type here has one constructor that checks its form, so a value that exists is well formed.
//! The class of an asset id alone decides its shard, everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::hash::Digest;

/// One of the four logs. Its number is the last byte of every request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Shard {
    Financial = 0,
    Gaming = 1,
    RealEstate = 2,
    General = 3,
}

impl Shard {
    pub const ALL: [Self; 4] = [Self::Financial, Self::Gaming, Self::RealEstate, Self::General];

    /// The shard's number, 0 to 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Financial),
            1 => Some(Self::Gaming),
            2 => Some(Self::RealEstate),
            3 => Some(Self::General),
            _ => None,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Financial => "financial",
            Self::Gaming => "gaming",
            Self::RealEstate => "real_estate",
            Self::General => "general",
        }
    }

    /// The shard of an asset class; classes without a shard of their own go to `general`.
    #[must_use]
    pub fn of_class(class: &str) -> Self {
        match class {
            "bond" | "stock" | "derivative" | "fund" => Self::Financial,
            "game_item" | "virtual_asset" => Self::Gaming,
            "real_estate" => Self::RealEstate,
            _ => Self::General,
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shard {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|shard| shard.name() == text)
            .ok_or(IdError { what: "shard", form: "financial, gaming, real_estate or general" })
    }
}

/// A text that is not a well-formed id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: expected {form}")]
pub struct IdError {
    /// The kind of id, as a noun.
    pub what: &'static str,
    /// The form that was expected.
    pub form: &'static str,
}

/// Defines a text newtype whose only constructor is `FromStr` with the given check.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $form:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The form, as messages to a client name it.
            pub const FORM: &'static str = $form;

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let well_formed: fn(&str) -> bool = $check;
                if well_formed(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { what: $what, form: $form })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_text(text: &str, len_max: usize, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= len_max && text.bytes().all(allowed)
}

text_id!(
    /// `<class>:<name>`; class `[a-z_]{1,32}`, name `[A-Za-z0-9._-]{1,64}`.
    AssetId,
    "asset id",
    "<class>:<name>, class [a-z_]{1,32}, name [A-Za-z0-9._-]{1,64}",
    |text| text.split_once(':').is_some_and(|(class, name)| {
        is_text(class, 32, |b| b.is_ascii_lowercase() || b == b'_')
            && is_text(name, 64, |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    })
);

impl AssetId {
    /// The part before the colon.
    #[must_use]
    pub fn class(&self) -> &str {
        self.0.split_once(':').map_or("", |(class, _)| class)
    }

    #[must_use]
    pub fn shard(&self) -> Shard {
        Shard::of_class(self.class())
    }
}

text_id!(
    /// A party's account: `[A-Za-z0-9._:-]{1,128}`, which CAIP-10 fits into.
    Account,
    "account",
    "[A-Za-z0-9._:-]{1,128}",
    |text| is_text(text, 128, |b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
);

text_id!(
    /// Whose keys these are: `[a-z0-9_-]{1,64}`. A tenant sees its own requests only.
    Tenant,
    "tenant",
    "[a-z0-9_-]{1,64}",
    |text| is_text(text, 64, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
);

text_id!(
    /// The name of a configured source or target: `[a-z0-9_-]{1,64}`.
    Name,
    "name",
    "[a-z0-9_-]{1,64}",
    |text| is_text(text, 64, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
);

text_id!(
    /// A client's idempotency key: 1 to 255 visible ASCII characters.
    IdempotencyKey,
    "idempotency key",
    "1 to 255 visible ASCII characters",
    |text| is_text(text, 255, |b| b.is_ascii_graphic())
);

/// A request id. Its last byte is the number of its shard, so an id alone finds its log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rid(Uuid);

impl Rid {
    /// The id of a request that came with an idempotency key: a function of tenant, key and shard, so
    /// that every replica computes the same one. UUIDv8 over the first 16 bytes of
    /// `SHA-256("oss/rid/1" ‖ len(tenant) as u16 big-endian ‖ tenant ‖ key)`, last byte = shard.
    #[must_use]
    pub fn from_key(tenant: &Tenant, key: &IdempotencyKey, shard: Shard) -> Self {
        let tenant = tenant.as_str().as_bytes();
        // A tenant has at most 64 bytes, so the length always fits.
        let len = u16::try_from(tenant.len()).unwrap_or(u16::MAX).to_be_bytes();
        let hash = Digest::of(&[b"oss/rid/1", &len, tenant, key.as_str().as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.0[..16]);
        bytes[15] = shard.number();
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// A new id, ordered by time (UUIDv7), for a request without an idempotency key.
    #[must_use]
    pub fn fresh(shard: Shard) -> Self {
        let mut bytes = Uuid::now_v7().into_bytes();
        bytes[15] = shard.number();
        Self(Uuid::from_bytes(bytes))
    }

    /// The shard whose log decides this request.
    #[must_use]
    pub fn shard(&self) -> Shard {
        // The constructors admit only the four numbers.
        Shard::from_number(self.0.as_bytes()[15]).unwrap_or(Shard::General)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// # Errors
    /// The last byte is not the number of a shard.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, IdError> {
        Shard::from_number(bytes[15])
            .map(|_| Self(Uuid::from_bytes(bytes)))
            .ok_or(IdError { what: "request id", form: RID_FORM })
    }
}

const RID_FORM: &str = "a UUID whose last byte is a shard number";

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Rid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Only the hyphenated lower-case form names a record, so that one request has one name.
        let uuid = Uuid::try_parse(text).map_err(|_| IdError { what: "request id", form: RID_FORM })?;
        if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(IdError { what: "request id", form: RID_FORM });
        }
        Self::from_bytes(uuid.into_bytes())
    }
}

impl Serialize for Rid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = Uuid::encode_buffer();
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut buffer))
    }
}

impl<'de> Deserialize<'de> for Rid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
