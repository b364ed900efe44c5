//! Reading replies of Redis into typed values; anything unexpected is [`LinkError::Reply`], never a guess.

use std::str::FromStr;

use redis::Value;

use super::error::LinkError;

/// The array a script answers: a word, then the word's values in order.
#[derive(Debug)]
pub(super) struct Reply {
    call: &'static str,
    word: String,
    rest: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(super) fn read(call: &'static str, value: Value) -> Result<Self, LinkError> {
        let mut rest = array(call, value)?.into_iter();
        let word = text(call, rest.next())?;
        Ok(Self { call, word, rest })
    }

    pub(super) fn word(&self) -> &str {
        &self.word
    }

    /// The next value, parsed from its text.
    pub(super) fn next<T: FromStr>(&mut self) -> Result<T, LinkError> {
        parsed(self.call, self.rest.next())
    }

    /// The next value, where an empty text means "none".
    pub(super) fn next_optional<T: FromStr>(&mut self) -> Result<Option<T>, LinkError> {
        let value = text(self.call, self.rest.next())?;
        if value.is_empty() { Ok(None) } else { parse(self.call, &value).map(Some) }
    }

    /// The next value as field-value pairs.
    pub(super) fn next_pairs(&mut self) -> Result<Vec<(String, Vec<u8>)>, LinkError> {
        pairs(self.call, self.rest.next().unwrap_or_default())
    }

    /// All remaining values, each a reply of its own (one per item of a batch).
    pub(super) fn items(self) -> Result<Vec<Self>, LinkError> {
        let call = self.call;
        self.rest.map(|value| Self::read(call, value)).collect()
    }

    /// All remaining values as numbers.
    pub(super) fn numbers(self) -> Result<Vec<usize>, LinkError> {
        let call = self.call;
        self.rest.map(|value| parsed(call, Some(value))).collect()
    }

    /// All remaining values as texts.
    pub(super) fn texts(self) -> Result<Vec<String>, LinkError> {
        let call = self.call;
        self.rest.map(|value| text(call, Some(value))).collect()
    }

    /// The error for a word that the call does not know.
    pub(super) fn unknown<T>(self) -> Result<T, LinkError> {
        Err(LinkError::Reply { call: self.call, detail: self.word })
    }
}

pub(super) fn odd(call: &'static str, value: &Value) -> LinkError {
    let mut detail = format!("{value:?}");
    detail.truncate(200);
    LinkError::Reply { call, detail }
}

pub(super) fn array(call: &'static str, value: Value) -> Result<Vec<Value>, LinkError> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        other => Err(odd(call, &other)),
    }
}

pub(super) fn bytes(call: &'static str, value: Option<Value>) -> Result<Vec<u8>, LinkError> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(bytes),
        Some(Value::SimpleString(text)) => Ok(text.into_bytes()),
        Some(Value::Okay) => Ok(b"OK".to_vec()),
        Some(Value::Int(number)) => Ok(number.to_string().into_bytes()),
        other => Err(odd(call, &other.unwrap_or_default())),
    }
}

pub(super) fn text(call: &'static str, value: Option<Value>) -> Result<String, LinkError> {
    String::from_utf8(bytes(call, value)?)
        .map_err(|error| LinkError::Reply { call, detail: error.to_string() })
}

pub(super) fn parse<T: FromStr>(call: &'static str, value: &str) -> Result<T, LinkError> {
    value.parse().map_err(|_| LinkError::Reply { call, detail: value.chars().take(200).collect() })
}

pub(super) fn parsed<T: FromStr>(call: &'static str, value: Option<Value>) -> Result<T, LinkError> {
    parse(call, &text(call, value)?)
}

/// A flat list `field value field value …`, as HGETALL and the entries of streams have it.
pub(super) fn pairs(call: &'static str, value: Value) -> Result<Vec<(String, Vec<u8>)>, LinkError> {
    let mut items = array(call, value)?.into_iter();
    let mut pairs = Vec::with_capacity(items.len() / 2);
    while let Some(field) = items.next() {
        pairs.push((text(call, Some(field))?, bytes(call, items.next())?));
    }
    Ok(pairs)
}
