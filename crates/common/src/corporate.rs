//! What corporate actions are named and reckoned by: dates, kinds of payment, rates.
//!
//! Every type here has one constructor that checks its form.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::ids::IdError;

/// A calendar day `YYYY-MM-DD`, from 0001-01-01 to 9999-12-31. It names an event; log time is not compared with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Date(String);

impl Date {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Date {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_form = text.len() == 10
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let is_day = is_form && text.parse::<jiff::civil::Date>().is_ok_and(|date| date.year() > 0);
        is_day.then(|| Self(text.to_owned())).ok_or(IdError { what: "date", form: "a day YYYY-MM-DD" })
    }
}

/// What a payment to holders is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentKind {
    InterestPayment,
    PrincipalRepayment,
}

impl PaymentKind {
    /// As it stands in JSON and in state keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InterestPayment => "INTEREST_PAYMENT",
            Self::PrincipalRepayment => "PRINCIPAL_REPAYMENT",
        }
    }
}

impl FromStr for PaymentKind {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::InterestPayment, Self::PrincipalRepayment]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(IdError { what: "kind of payment", form: "INTEREST_PAYMENT or PRINCIPAL_REPAYMENT" })
    }
}

/// Smallest units of the cash asset per smallest unit held: `numerator / 10^scale`, above zero. In JSON a decimal string,
/// one per value: no sign, no exponent, no leading zero, no zero at the end of a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    numerator: u128,
    /// 0 to [`Rate::SCALE_MAX`].
    scale: u8,
}

impl Rate {
    /// Most digits of a fraction.
    pub const SCALE_MAX: u8 = 18;

    /// What so many units give, rounded down. `None`: 2^128 or more.
    #[must_use]
    pub fn of(self, held: Amount) -> Option<Amount> {
        held.mul_div(Amount::new(self.numerator), Amount::new(10_u128.checked_pow(u32::from(self.scale))?))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.numerator, width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if fraction.is_empty() { f.write_str(whole) } else { write!(f, "{whole}.{fraction}") }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for Rate {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Rate {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = IdError { what: "rate", form: "a decimal above zero with at most 18 digits of fraction" };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(error);
        }
        let scale = u8::try_from(fraction.len()).map_err(|_| error.clone())?;
        let numerator: u128 = format!("{whole}{fraction}").parse().map_err(|_| error.clone())?;
        let rate = Self { numerator, scale };
        // One rate has one spelling.
        let is_canonical = rate.to_string() == text && !(text.contains('.') && text.ends_with('0'));
        if numerator > 0 && scale <= Self::SCALE_MAX && is_canonical { Ok(rate) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests;
