//! The demo's requests, as a client writes them.

use common::amount::Amount;
use common::request::EventRef;
use serde_json::{Value, json};

use super::facts::{self, NOTE};
use crate::rate;
use crate::stack::sources::{RATE_SOURCE, TOKEN_SOURCE};

/// The rate is a recorded figure, so its age is years at most, not minutes.
const RATE_AGE_MAX_S: u32 = 10 * 365 * 24 * 3_600;

/// Registers the note on the chains; the benchmark yield comes from the source, not from the client.
pub(super) fn register(chains: &[String]) -> Value {
    json!({
        "asset": {"id": facts::asset_id()},
        "state_changes": [{
            "kind": "REGISTER",
            "decimals": facts::DECIMALS,
            "chains": chains,
            "terms": {
                "issuer": "United States Treasury",
                "isin": NOTE.isin,
                "cusip": NOTE.cusip,
                "security_term": NOTE.term,
                "coupon_percent": NOTE.coupon,
                "interest_payment_frequency": NOTE.frequency,
                "dated_date": NOTE.dated_date,
                "maturity_date": NOTE.maturity_date,
                "benchmark_yield_percent": {
                    "from": RATE_SOURCE, "pointer": rate::VALUE_POINTER, "max_age_s": RATE_AGE_MAX_S,
                },
            },
        }],
        "external_apis": [RATE_SOURCE],
    })
}

/// Mints what an event of the token says.
pub(super) fn mint(to: &str, amount: Amount, event: &EventRef) -> Value {
    json!({
        "asset": {"id": facts::asset_id()},
        "state_changes": [{
            "kind": "MINT", "to": to, "amount": amount,
            "backed_by": {"source": TOKEN_SOURCE, "event": event},
        }],
        "event_sources": [TOKEN_SOURCE],
    })
}

pub(super) fn transfer(from: &str, to: &str, amount: Amount) -> Value {
    json!({
        "asset": {"id": facts::asset_id()},
        "state_changes": [{"kind": "TRANSFER", "from": from, "to": to, "amount": amount}],
    })
}

#[cfg(test)]
mod tests {
    use common::request::SyncRequest;

    use super::*;

    #[test]
    fn every_request_of_the_demo_is_well_formed() {
        let event = EventRef { tx: common::hash::Digest([7; 32]), position: 0 };
        let chains = ["base".to_owned(), "arbitrum".to_owned()];
        let amount = Amount::new(5);
        for request in [register(&chains), mint("eip155:1:0xaa", amount, &event), transfer("a", "b", amount)]
        {
            assert!(SyncRequest::parse(&request).is_ok(), "{:?}", SyncRequest::parse(&request));
        }
    }
}
