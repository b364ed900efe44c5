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

    /// `self × numerator / denominator`, rounded down; the product is exact. `None`: 2^128 or more, or nothing to divide by.
    #[must_use]
    pub fn mul_div(self, numerator: Self, denominator: Self) -> Option<Self> {
        match self.0.checked_mul(numerator.0) {
            Some(product) => product.checked_div(denominator.0).map(Self),
            None => divide(product(self.0, numerator.0), denominator.0).map(Self),
        }
    }
}

/// High and low half of a product.
fn product(a: u128, b: u128) -> (u128, u128) {
    let halves = |n: u128| (n >> 64, n & u128::from(u64::MAX));
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    let low = a_low * b_low;
    let (cross_high, cross_low) = halves(a_high * b_low + (low >> 64));
    let cross = a_low * b_high + cross_low;
    (a_high * b_high + cross_high + (cross >> 64), (cross << 64) | halves(low).1)
}

/// Long division, bit by bit. `None`: the quotient is 2^128 or more.
fn divide((high, low): (u128, u128), by: u128) -> Option<u128> {
    if high >= by {
        return None;
    }
    let (mut rest, mut quotient) = (high, 0);
    for bit in (0..128).rev() {
        let carries = rest >> 127 == 1;
        rest = (rest << 1) | ((low >> bit) & 1);
        if carries || rest >= by {
            rest = rest.wrapping_sub(by);
            quotient |= 1 << bit;
        }
    }
    Some(quotient)
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

#[cfg(test)]
mod tests;
