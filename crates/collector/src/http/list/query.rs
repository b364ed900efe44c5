//! What a list is asked for: the query of `GET /v1/sync-requests`, and the cursor. Pure.
//!
//! A cursor is the place of the last request looked at, as hex; nothing in it is secret or trusted, it only says
//! where to read on.

use actix_web::http::StatusCode;
use common::ids::{Rid, Shard, Tenant};
use common::link::{Indexed, StatusRecord};
use common::problem::Problem;
use common::status::Status;

/// Most requests in one page.
pub(super) const LIMIT_MAX: usize = 200;
const LIMIT_DEFAULT: usize = 50;
/// First byte of a cursor: its form.
const CURSOR_FORM: u8 = 1;
const CURSOR_BYTES: usize = 1 + 8 + 16;

/// A question about accepted requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) shards: Vec<Shard>,
    /// Only these, as shown; empty = all.
    pub(super) statuses: Vec<Status>,
    pub(super) from_ms: u64,
    /// Read on before this place: the cursor's or `accepted_to`'s.
    pub(super) before: Option<Indexed>,
    pub(super) limit: usize,
}

impl Query {
    /// Reads the pairs of a query string.
    ///
    /// # Errors
    /// 400 with a pointer to the parameter.
    pub(super) fn read(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut query = Self {
            shards: Shard::ALL.to_vec(),
            statuses: Vec::new(),
            from_ms: 0,
            before: None,
            limit: LIMIT_DEFAULT,
        };
        for (index, (name, value)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(fault(name, "is given twice"));
            }
            match name.as_str() {
                "status" => query.statuses = statuses(value)?,
                "shard" => {
                    query.shards =
                        vec![value.parse().map_err(|_| {
                            fault("shard", "expected financial, gaming, real_estate or general")
                        })?];
                }
                "accepted_from" => query.from_ms = unix_ms("accepted_from", value)?,
                "accepted_to" => {
                    let at_ms = unix_ms("accepted_to", value)?;
                    query.narrow(Indexed { at_ms, rid: first_rid() });
                }
                "limit" => query.limit = limit(value)?,
                "cursor" => {
                    let before = place(value).ok_or_else(|| fault("cursor", "is not one of this route"))?;
                    query.narrow(before);
                }
                _ => return Err(fault(&name.chars().take(64).collect::<String>(), UNKNOWN)),
            }
        }
        Ok(query)
    }

    fn narrow(&mut self, before: Indexed) {
        self.before = Some(self.before.map_or(before, |earlier| earlier.min(before)));
    }

    /// Whether a record may be in the list, as far as it says itself.
    pub(super) fn may_have(&self, tenant: &Tenant, record: &StatusRecord) -> bool {
        let is_shown_as = |status: &Status| {
            *status == record.status
                || (*status == Status::Broadcasting && record.status == Status::Committed)
        };
        record.tenant == *tenant && (self.statuses.is_empty() || self.statuses.iter().any(is_shown_as))
    }

    /// Whether a request of that shown status is in the list.
    pub(super) fn has(&self, shown: Status) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&shown)
    }
}

const UNKNOWN: &str =
    "is not a parameter of this route: status, shard, accepted_from, accepted_to, limit and cursor are";

/// The text of a place.
pub(super) fn cursor(place: Indexed) -> String {
    let mut bytes = Vec::with_capacity(CURSOR_BYTES);
    bytes.push(CURSOR_FORM);
    bytes.extend_from_slice(&place.at_ms.to_be_bytes());
    bytes.extend_from_slice(place.rid.as_bytes());
    hex::encode(bytes)
}

fn place(cursor: &str) -> Option<Indexed> {
    let bytes = hex::decode(cursor).ok()?;
    let (form, rest) = bytes.split_first()?;
    let (at_ms, rid) = rest.split_first_chunk::<8>()?;
    let rid = Rid::from_bytes(rid.try_into().ok()?).ok()?;
    (*form == CURSOR_FORM).then_some(Indexed { at_ms: u64::from_be_bytes(*at_ms), rid })
}

/// Before every other id.
fn first_rid() -> Rid {
    Rid::from_bytes([0; 16]).unwrap_or_else(|_| Rid::fresh(Shard::Financial))
}

fn statuses(list: &str) -> Result<Vec<Status>, Problem> {
    let names = list.split(',').map(|name| {
        let known = || Status::ALL.map(Status::name).join(", ");
        Status::from_name(name).ok_or_else(|| fault("status", &format!("expected some of {}", known())))
    });
    names.collect()
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| fault("limit", &format!("expected 1 to {LIMIT_MAX}")))
}

fn unix_ms(name: &str, text: &str) -> Result<u64, Problem> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    time.and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .ok_or_else(|| fault(name, "expected a time of RFC 3339, such as 2026-01-31T12:00:00Z"))
}

pub(super) fn fault(name: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "A query parameter is not valid").error(
        format!("#query/{name}"),
        "invalid",
        detail,
    )
}

#[cfg(test)]
mod tests {
    use super::{Indexed, Query, Rid, Shard, Status, cursor};

    fn read(pairs: &[(&str, &str)]) -> Result<Query, String> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Query::read(&pairs).map_err(|problem| problem.errors[0].pointer.clone())
    }

    #[test]
    fn a_cursor_and_an_upper_time_both_hold_and_the_earlier_one_decides() {
        let place = Indexed { at_ms: 5_000, rid: Rid::fresh(Shard::Gaming) };
        let text = cursor(place);
        assert_eq!(read(&[("cursor", &text)]).map(|query| query.before), Ok(Some(place)));
        let both = |to: &str| read(&[("accepted_to", to), ("cursor", &text)]).map(|query| query.before);
        assert_eq!(both("1970-01-01T00:00:06Z"), Ok(Some(place)));
        let earlier = both("1970-01-01T00:00:04.5Z").expect("a query").expect("a place");
        assert_eq!((earlier.at_ms, *earlier.rid.as_bytes()), (4_500, [0; 16]));
    }

    #[test]
    fn every_parameter_that_cannot_be_read_is_named() {
        for (name, value) in [
            ("status", "done"),
            ("status", ""),
            ("shard", "art"),
            ("accepted_from", "yesterday"),
            ("accepted_to", "1700000000000"),
            ("limit", "0"),
            ("limit", "201"),
            ("cursor", "00"),
            ("asset", "bond:X"),
        ] {
            assert_eq!(read(&[(name, value)]), Err(format!("#query/{name}")), "{name}={value}");
        }
        let foreign = format!("02{}", &cursor(Indexed { at_ms: 1, rid: Rid::fresh(Shard::General) })[2..]);
        assert_eq!(read(&[("cursor", &foreign)]), Err("#query/cursor".to_owned()));
        assert_eq!(read(&[("limit", "1"), ("limit", "2")]), Err("#query/limit".to_owned()));
        let query = read(&[("status", "committed,failed"), ("shard", "gaming")]).expect("a query");
        assert_eq!(
            (query.statuses, query.shards),
            (vec![Status::Committed, Status::Failed], vec![Shard::Gaming])
        );
    }
}
