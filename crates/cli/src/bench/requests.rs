//! The requests of the load: transfers between two holders of many assets, each message exactly as long as
//! the relay's.
//!
//! The length is reached with the names of assets and accounts, as long names are what real identifiers are
//! (an ISIN with a suffix, CAIP-10 accounts), and not with a field that nobody reads.

use anyhow::{Context as _, bail};
use common::ids::{IdempotencyKey, Rid, Shard, Tenant};
use common::message::{About, Body, Message};
use common::request::SyncRequest;
use serde_json::{Value, json};

use super::MESSAGE_BYTES;
use super::load::Prepared;

/// Assets the load is spread over.
pub(super) const ASSETS: usize = 128;
/// What each asset's first holder gets; more than any run transfers.
const MINTED: &str = "1000000000000";
pub(super) const NULL_TARGET: &str = "sink";
pub(super) const NULL_SOURCE: &str = "instant";
const ACCOUNT_BYTES_MAX: usize = 128;

/// What the requests of a run look like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) tenant: Tenant,
    pub(super) with_source: bool,
    account_bytes: usize,
    name_bytes: usize,
}

impl Shape {
    /// Finds the name lengths that make a message exactly [`MESSAGE_BYTES`] long.
    pub(super) fn find(tenant: &Tenant, with_source: bool) -> anyhow::Result<Self> {
        for account_bytes in (16..=ACCOUNT_BYTES_MAX).rev() {
            for name_bytes in 16..=64 {
                let shape = Self { tenant: tenant.clone(), with_source, account_bytes, name_bytes };
                if shape.message_bytes(0)? == MESSAGE_BYTES {
                    return Ok(shape);
                }
            }
        }
        bail!("no length of names makes a message of {MESSAGE_BYTES} bytes")
    }

    fn asset(&self, asset: usize) -> String {
        let width = self.name_bytes - 6;
        format!("bond:BENCH-{asset:0width$}")
    }

    fn account(&self, holder: &str) -> String {
        let width = self.account_bytes - holder.len() - 1;
        format!("{holder}:{:0width$}", 0)
    }

    /// Registers one asset and gives its first holder everything.
    pub(super) fn setup(&self, asset: usize) -> Value {
        json!({
            "asset": {"id": self.asset(asset)},
            "state_changes": [
                {"kind": "REGISTER", "decimals": 2, "chains": [NULL_TARGET]},
                {"kind": "MINT", "to": self.account("a"), "amount": MINTED},
            ],
        })
    }

    /// Three transfers, there and back with one unit of difference, so that balances move.
    fn body(&self, number: usize) -> Value {
        let (there, back) = (self.account("a"), self.account("b"));
        let mut body = json!({
            "asset": {"id": self.asset(number % ASSETS)},
            "state_changes": [
                {"kind": "TRANSFER", "from": there, "to": back, "amount": "3"},
                {"kind": "TRANSFER", "from": back, "to": there, "amount": "1"},
                {"kind": "TRANSFER", "from": back, "to": there, "amount": "1"},
            ],
        });
        if self.with_source
            && let Some(object) = body.as_object_mut()
        {
            object.insert("external_apis".to_owned(), json!([NULL_SOURCE]));
        }
        body
    }

    /// Length of the message that travels through Redis for a request.
    fn message_bytes(&self, number: usize) -> anyhow::Result<usize> {
        let body = self.body(number);
        let Ok(request) = SyncRequest::parse(&body) else { return Ok(0) };
        let key: IdempotencyKey = "k".parse()?;
        let about = About {
            rid: Rid::from_key(&self.tenant, &key, Shard::Financial),
            tenant: self.tenant.clone(),
            fp: request.fingerprint(),
            accepted_ms: None,
        };
        let id = about.rid.to_string();
        let body = Body::Collected { about, request: Box::new(request), observations: Vec::new() };
        Ok(Message { id, traceparent: None, body }.encode().len())
    }

    /// The HTTP bytes of requests `0..count` of a run.
    pub(super) fn prepare(
        &self,
        run: &str,
        count: u32,
        host: &str,
        token: &str,
    ) -> anyhow::Result<Vec<Prepared>> {
        (0..count as usize)
            .map(|number| {
                let key: IdempotencyKey = format!("{run}-{number}").parse().context("an idempotency key")?;
                let body = serde_json::to_vec(&self.body(number))?;
                let head = format!(
                    "POST /v1/sync-requests HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nIdempotency-Key: \"{key}\"\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let bytes = [head.as_bytes(), &body].concat();
                Ok(Prepared { rid: Rid::from_key(&self.tenant, &key, Shard::Financial), bytes })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        "demo".parse().expect("a tenant")
    }

    #[test]
    fn every_message_is_exactly_as_long_as_the_relays() {
        for with_source in [false, true] {
            let shape = Shape::find(&tenant(), with_source).expect("a shape");
            for number in [0, 1, ASSETS - 1, 54_321] {
                assert_eq!(shape.message_bytes(number).expect("a message"), MESSAGE_BYTES);
            }
        }
    }

    #[test]
    fn setup_and_load_are_requests_that_parse_and_only_one_kind_is_collected() {
        let shape = Shape::find(&tenant(), false).expect("a shape");
        let setup = SyncRequest::parse(&shape.setup(3)).expect("well formed");
        let load = SyncRequest::parse(&shape.body(3)).expect("well formed");
        assert_eq!(setup.asset, load.asset);
        assert!(!load.needs_collecting());
        let shape = Shape::find(&tenant(), true).expect("a shape");
        assert!(SyncRequest::parse(&shape.body(3)).expect("well formed").needs_collecting());
    }
}
