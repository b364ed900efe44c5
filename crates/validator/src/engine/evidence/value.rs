//! A value inside a JSON text, without turning numbers into binary fractions.
//!
//! In: JSON text and an RFC 6901 pointer. Out: the text of the value there, digits as the source wrote them.

use std::collections::BTreeMap;

use common::amount::Amount;
use serde_json::value::RawValue;

/// The JSON text of the value at `pointer`. Of a member that stands twice the last counts.
pub(super) fn find<'a>(json: &'a str, pointer: &str) -> Option<&'a str> {
    let mut here = json.trim();
    let Some(tokens) = pointer.strip_prefix('/') else {
        return pointer.is_empty().then_some(here);
    };
    for token in tokens.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next: &'a RawValue = match here.as_bytes().first() {
            Some(b'{') => serde_json::from_str::<BTreeMap<String, &'a RawValue>>(here).ok()?.get(&token)?,
            Some(b'[') => {
                serde_json::from_str::<Vec<&'a RawValue>>(here).ok()?.get(index(&token)?).copied()?
            }
            _ => return None,
        };
        here = next.get();
    }
    Some(here)
}

/// An array index has no leading zero.
fn index(token: &str) -> Option<usize> {
    let canonical = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    canonical.then(|| token.parse().ok()).flatten()
}

/// The content of a JSON string, or a JSON number as written.
pub(super) fn text(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'-' | b'0'..=b'9' => Some(json.to_owned()),
        _ => None,
    }
}

/// `text × 10^scale` as a whole number above zero and below 2^128. The text has the form of a JSON number,
/// so `1e3` and `12.50` are exact values; a sign, spaces and leading zeros are not taken.
pub(super) fn amount(text: &str, scale: u8) -> Option<Amount> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || (whole.len() > 1 && whole.starts_with('0'))
        || !is_digits(whole)
        || !is_digits(fraction)
    {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    // The value is `significant × 10^shift`; a factor of ten left below the point is not whole.
    let shift =
        exponent + i64::from(scale) + i64::try_from(dropped).ok()? - i64::try_from(fraction.len()).ok()?;
    let factor = 10_u128.checked_pow(u32::try_from(shift).ok()?)?;
    // All zeros leave no digit, which does not parse.
    let units = significant.parse::<u128>().ok()?.checked_mul(factor)?;
    Some(Amount::new(units))
}

/// Digits with an optional sign; beyond four digits no amount can be meant.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let magnitude: i64 = digits.parse().ok()?;
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests;
