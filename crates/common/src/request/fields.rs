//! Reading a JSON object field by field, collecting every fault with its JSON pointer (RFC 6901).

use std::cell::RefCell;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is wrong with one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer to the value, or to where a missing value belongs.
    pub pointer: String,
    pub code: FaultCode,
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pointer, self.detail)
    }
}

/// The kind of fault, as problem documents name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultCode {
    /// Wrong type, form or value.
    #[serde(rename = "invalid")]
    Invalid,
    #[serde(rename = "missing")]
    Missing,
    #[serde(rename = "unknown_field")]
    UnknownField,
    /// Belongs to a feature that does not exist yet.
    #[serde(rename = "not_supported")]
    NotSupported,
    /// Names something of another shard.
    #[serde(rename = "CROSS_SHARD")]
    CrossShard,
    /// More than the limit.
    #[serde(rename = "too_many")]
    TooMany,
    /// A source, API or chain that is not configured.
    #[serde(rename = "not_configured")]
    NotConfigured,
}

impl FaultCode {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Missing => "missing",
            Self::UnknownField => "unknown_field",
            Self::NotSupported => "not_supported",
            Self::CrossShard => "CROSS_SHARD",
            Self::TooMany => "too_many",
            Self::NotConfigured => "not_configured",
        }
    }
}

/// A place in the document; the pointer text is built only when there is a fault to report.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    token: Token<'a>,
    faults: &'a RefCell<Vec<Fault>>,
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    pub(super) fn root(faults: &'a RefCell<Vec<Fault>>) -> Self {
        Place { parent: None, token: Token::Root, faults }
    }

    pub(super) fn key(&'a self, key: &'a str) -> Place<'a> {
        Place { parent: Some(self), token: Token::Key(key), faults: self.faults }
    }

    pub(super) fn index(&'a self, index: usize) -> Place<'a> {
        Place { parent: Some(self), token: Token::Index(index), faults: self.faults }
    }

    fn write(&self, pointer: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(pointer);
        }
        match self.token {
            Token::Root => {}
            Token::Key(key) => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Token::Index(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
    }

    /// Reports a fault here. Gives `None`, so that a reader can end with it.
    pub(super) fn fault<T>(&self, code: FaultCode, detail: impl Into<String>) -> Option<T> {
        let mut pointer = String::new();
        self.write(&mut pointer);
        self.faults.borrow_mut().push(Fault { pointer, code, detail: detail.into() });
        None
    }

    /// The value as an object all of whose fields are in `allowed`.
    pub(super) fn object(&'a self, value: &'a Value, allowed: &[&str]) -> Option<Fields<'a>> {
        let Value::Object(map) = value else {
            return self.fault(FaultCode::Invalid, "expected an object");
        };
        for key in map.keys().filter(|key| !allowed.contains(&key.as_str())) {
            self.key(key).fault::<()>(FaultCode::UnknownField, "is not a field of this object");
        }
        Some(Fields { map, place: self })
    }

    /// The value as an array of at most `len_max` elements, each read by `read`.
    pub(super) fn array<T>(
        &self,
        value: &Value,
        len_max: usize,
        read: impl Fn(&Value, &Place<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(elements) = value else {
            return self.fault(FaultCode::Invalid, "expected an array");
        };
        if elements.len() > len_max {
            return self
                .fault(FaultCode::TooMany, format!("at most {len_max} elements, found {}", elements.len()));
        }
        let read_all: Vec<Option<T>> =
            elements.iter().enumerate().map(|(index, element)| read(element, &self.index(index))).collect();
        read_all.into_iter().collect()
    }

    /// The value as text that `T` accepts.
    pub(super) fn text<T>(&self, value: &Value) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        let Value::String(text) = value else {
            return self.fault(FaultCode::Invalid, "expected a string");
        };
        text.parse().map_or_else(|error: T::Err| self.fault(FaultCode::Invalid, error.to_string()), Some)
    }

    /// The value as a whole number from `min` to `max`.
    pub(super) fn integer(&self, value: &Value, min: u64, max: u64) -> Option<u64> {
        match value.as_u64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => self.fault(FaultCode::Invalid, format!("expected a whole number from {min} to {max}")),
        }
    }
}

/// The fields of one object.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: &'a Place<'a>,
}

impl<'a> Fields<'a> {
    /// A field that must be there and not null.
    pub(super) fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value, &Place<'_>) -> Option<T>,
    ) -> Option<T> {
        let place = self.place.key(key);
        match self.map.get(key) {
            None | Some(Value::Null) => place.fault(FaultCode::Missing, "is required"),
            Some(value) => read(value, &place),
        }
    }

    /// A field that may be left out or null: `Some(None)` then, `None` on a fault.
    #[expect(clippy::option_option, reason = "outer: readable; inner: present")]
    pub(super) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value, &Place<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => read(value, &self.place.key(key)).map(Some),
        }
    }

    /// A field that may be left out, but is not null: what is left out means more than one value.
    #[expect(clippy::option_option, reason = "outer: readable; inner: present")]
    pub(super) fn if_named<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value, &Place<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.map.get(key) {
            Some(Value::Null) => {
                self.place.key(key).fault(FaultCode::Invalid, "leave it out, or say which one")
            }
            _ => self.optional(key, read),
        }
    }

    /// A field whose only value today is `only` (or left out, or null).
    pub(super) fn only(&self, key: &str, only: &str) -> Option<()> {
        match self.map.get(key) {
            None | Some(Value::Null) => Some(()),
            Some(Value::String(text)) if text == only => Some(()),
            Some(_) => self.place.key(key).fault(FaultCode::NotSupported, "this value is not supported yet"),
        }
    }

    pub(super) fn place(&self) -> &'a Place<'a> {
        self.place
    }
}
