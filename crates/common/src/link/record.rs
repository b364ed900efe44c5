//! The status record `:req:<rid>` as it is read.

use super::{Link, LinkError, reply};
use crate::hash::Digest;
use crate::ids::{Rid, Tenant};
use crate::status::{OutcomeKind, Status};

/// The status and idempotency record of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRecord {
    pub rid: Rid,
    pub tenant: Tenant,
    pub fp: Digest,
    /// Never `broadcasting`: that is shown by joining [`super::EntryProgress`].
    pub status: Status,
    /// +1 per write.
    pub version: u64,
    /// When SUBMIT took it in, Unix ms.
    pub at_ms: u64,
    pub source_state: Option<String>,
    /// The entry that decided it.
    pub seq: Option<u64>,
    pub outcome: Option<OutcomeKind>,
    pub code: Option<String>,
    /// JSON list.
    pub errors: Option<String>,
    pub targets: Option<String>,
    /// The replica that collects it.
    pub by: Option<String>,
    pub ended_ms: Option<u64>,
    /// `errors` or `targets` did not fit: the validator's `GET /v1/decisions/{rid}` reads them from the entry.
    pub is_cut: bool,
    /// The entry that last withdrew an observation of the request.
    pub withdrawn: Option<u64>,
}

impl StatusRecord {
    pub(super) fn read(
        call: &'static str,
        rid: Rid,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, LinkError> {
        let mut fields = Fields { call, pairs };
        let outcome = fields.take("outcome");
        let status: String = fields.required("status")?;
        Ok(Self {
            rid,
            tenant: fields.required("tenant")?,
            fp: fields.required("fp")?,
            status: Status::from_name(&status).ok_or_else(|| LinkError::Reply { call, detail: status })?,
            version: fields.required("version")?,
            at_ms: fields.required("at")?,
            source_state: fields.take("source_state"),
            seq: fields.optional("seq")?,
            outcome: match outcome {
                None => None,
                Some(name) => Some(
                    OutcomeKind::from_name(&name).ok_or_else(|| LinkError::Reply { call, detail: name })?,
                ),
            },
            code: fields.take("code"),
            errors: fields.take("errors"),
            targets: fields.take("targets"),
            by: fields.take("by"),
            ended_ms: fields.optional("ended")?,
            is_cut: fields.take("cut").is_some(),
            withdrawn: fields.optional("withdrawn")?,
        })
    }
}

struct Fields {
    call: &'static str,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        let position = self.pairs.iter().position(|(field, _)| field == name)?;
        let (_, value) = self.pairs.swap_remove(position);
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    fn optional<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, LinkError> {
        self.take(name).map(|text| reply::parse(self.call, &text)).transpose()
    }

    fn required<T: std::str::FromStr>(&mut self, name: &'static str) -> Result<T, LinkError> {
        self.optional(name)?
            .ok_or_else(|| LinkError::Reply { call: self.call, detail: format!("record without {name}") })
    }
}

impl Link {
    /// The record of a request; `None` = never submitted, or expired.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn record(&self, rid: Rid) -> Result<Option<StatusRecord>, LinkError> {
        Ok(self.records(&[rid]).await?.pop().flatten())
    }

    /// The records of several requests, in their order, in one round trip.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn records(&self, rids: &[Rid]) -> Result<Vec<Option<StatusRecord>>, LinkError> {
        self.records_each(rids).await?.into_iter().collect()
    }

    /// As [`Self::records`], but one that this build cannot read is an error of its own, not of all.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn records_each(
        &self,
        rids: &[Rid],
    ) -> Result<Vec<Result<Option<StatusRecord>, LinkError>>, LinkError> {
        const CALL: &str = "HGETALL req";
        if rids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for rid in rids {
            pipeline.cmd("HGETALL").arg(self.keys.request(*rid));
        }
        let values = self.commands.query_all(&self.keys, CALL, &pipeline).await?;
        let records = rids.iter().zip(values).map(|(rid, value)| {
            let pairs = reply::pairs(CALL, value)?;
            if pairs.is_empty() { Ok(None) } else { StatusRecord::read(CALL, *rid, pairs).map(Some) }
        });
        Ok(records.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the fields as scripts of every build write them, and how each is read.
    #[test]
    fn the_fields_of_a_record_are_fixed() {
        let rid: Rid = "00000000-0000-7000-8000-000000000002".parse().expect("a rid");
        let fp = format!("0x{}", "07".repeat(32));
        let fields = [
            ("tenant", "acme"),
            ("fp", fp.as_str()),
            ("status", "rejected"),
            ("rank", "7"),
            ("version", "4"),
            ("at", "1700000000000"),
            ("source_state", "ecb=ok"),
            ("seq", "9"),
            ("outcome", "REJECTED"),
            ("code", "NOT_REGISTERED"),
            ("errors", "[]"),
            ("targets", "base,op"),
            ("by", "collector-1"),
            ("ended", "1700000000001"),
            ("cut", "1"),
            ("withdrawn", "12"),
        ];
        let pairs = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let record = StatusRecord::read("test", rid, pairs.to_vec()).expect("reads");
        let expected = StatusRecord {
            rid,
            tenant: "acme".parse().expect("a tenant"),
            fp: Digest([7; 32]),
            status: Status::Rejected,
            version: 4,
            at_ms: 1_700_000_000_000,
            source_state: Some("ecb=ok".to_owned()),
            seq: Some(9),
            outcome: Some(OutcomeKind::Rejected),
            code: Some("NOT_REGISTERED".to_owned()),
            errors: Some("[]".to_owned()),
            targets: Some("base,op".to_owned()),
            by: Some("collector-1".to_owned()),
            ended_ms: Some(1_700_000_000_001),
            is_cut: true,
            withdrawn: Some(12),
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn every_status_and_outcome_has_a_fixed_name_and_rank() {
        let statuses = Status::ALL.map(|status| format!("{}={}", status.name(), status.rank()));
        assert_eq!(
            statuses.join(" "),
            "accepted=1 collecting=2 collected=3 queued=4 committed=5 broadcasting=6 completed=7 rejected=7 \
             failed=7 cancelled=7 expired=7 rolled_back=8"
        );
        let outcomes = OutcomeKind::ALL.map(OutcomeKind::name);
        assert_eq!(outcomes.join(" "), "APPLIED REJECTED FAILED CANCELLED EXPIRED HELD PARKED REVERTED");
    }
}
