//! Undo records: what an entry's keys held before it, all of an entry in one row.
//!
//! In: the changes of an entry. Out: rows that are read without copying, because looking up a key in many of them is
//! what they are for. Layout: per key, in the order of keys, its length (u16), the value's length + 1 (u32, 0 = absent),
//! key, value; little endian.

use std::collections::BTreeMap;

use super::ViewError;
use crate::engine::boundary::ValueChange;

/// A key with the value before the entry; `None` = absent.
type Before<'a> = (&'a str, Option<&'a [u8]>);

/// Of keys no longer than 64 KiB, which state keys are far below, and values below 4 GiB.
pub(super) fn encode(changes: &BTreeMap<String, ValueChange>) -> Vec<u8> {
    let mut row = Vec::new();
    for (key, change) in changes {
        let value = change.before.as_deref();
        let value_len = value.map_or(0, |value| u32::try_from(value.len()).unwrap_or(u32::MAX - 1) + 1);
        row.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        row.extend(value_len.to_le_bytes());
        row.extend(key.as_bytes());
        row.extend(value.unwrap_or_default());
    }
    row
}

/// The keys of a row, in order.
pub(super) fn read(seq: u64, row: &[u8]) -> impl Iterator<Item = Result<Before<'_>, ViewError>> {
    let mut rest = row;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = take(rest);
        rest = taken.map_or(&[][..], |(_, rest)| rest);
        Some(
            taken
                .map(|(before, _)| before)
                .ok_or_else(|| ViewError::Row { table: "undo", row: seq.to_string() }),
        )
    })
}

fn take(row: &[u8]) -> Option<(Before<'_>, &[u8])> {
    let (key_len, rest) = row.split_first_chunk()?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_len)))?;
    let key = std::str::from_utf8(key).ok()?;
    match u32::from_le_bytes(*value_len).checked_sub(1) {
        None => Some(((key, None), rest)),
        Some(value_len) => {
            let (value, rest) = rest.split_at_checked(usize::try_from(value_len).ok()?)?;
            Some(((key, Some(value)), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Vec<u8> {
        let change = |before: Option<&[u8]>| ValueChange { before: before.map(<[u8]>::to_vec), after: None };
        let changes = [("a", change(Some(b"1"))), ("b", change(None)), ("c", change(Some(b"")))];
        encode(&changes.into_iter().map(|(key, change)| (key.to_owned(), change)).collect())
    }

    #[test]
    fn every_key_is_found_with_its_value_before_and_an_empty_value_is_not_an_absent_one() {
        let row = row();
        let found: Vec<Before<'_>> = read(7, &row).map(|before| before.expect("reads")).collect();
        assert_eq!(found, [("a", Some(&b"1"[..])), ("b", None), ("c", Some(&b""[..]))]);
        assert_eq!(read(7, &encode(&BTreeMap::new())).count(), 0);
    }

    #[test]
    fn a_row_cut_short_anywhere_is_an_error_and_no_answer() {
        let row = row();
        let whole: Vec<usize> =
            (0..=row.len()).filter(|end| read(7, &row[..*end]).all(|key| key.is_ok())).collect();
        // After no key, and after each.
        assert_eq!(whole.len(), 4);
    }
}
