//! Token amounts: unsigned integers in an asset's smallest unit, decimal strings in JSON.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// An amount in smallest units. Arithmetic is checked; there is no wrapping.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "std::borrow::Cow<'_, str>", into = "String")]
pub struct Amount(u128);

/// The text is not a whole number below 2^128 without sign, leading zero or separator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal string of a whole number below 2^128")]
pub struct ParseAmountError;

impl Amount {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// The amount in smallest units.
    #[must_use]
    pub const fn units(self) -> u128 {
        self.0
    }

    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if !canonical {
            return Err(ParseAmountError);
        }
        text.parse().map(Self).map_err(|_| ParseAmountError)
    }
}

impl TryFrom<std::borrow::Cow<'_, str>> for Amount {
    type Error = ParseAmountError;

    fn try_from(text: std::borrow::Cow<'_, str>) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.0.to_string()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
