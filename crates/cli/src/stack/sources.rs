//! The sources file of a stack: the token's events and the reference rate.

use anyhow::Context as _;
use common::bridge::Address;
use reqwest::Url;
use serde_json::{Value, json};

use super::anvil;
use crate::demo::facts;
use crate::rate;

/// Names under which requests refer to them.
pub(crate) const TOKEN_SOURCE: &str = "ust-token";
pub(crate) const RATE_SOURCE: &str = "ust-par-yield";

/// Confirmations an event needs. The demo's chain makes a block a second and never reorganizes.
const CONFIRMATIONS: u64 = 2;
const WINDOW_BLOCKS: u64 = 1_000;
const TIMEOUT_MS: u64 = 5_000;
const RATE_BYTES_MAX: u64 = 4_096;

/// The file's content.
pub(crate) fn document(source_rpc: &str, token: Address, rate_url: &str) -> anyhow::Result<Value> {
    let host = Url::parse(rate_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .with_context(|| format!("{rate_url} is not a URL with a host"))?;
    Ok(json!({"sources": [
        {
            "name": TOKEN_SOURCE,
            "kind": "evm_logs",
            "rpc": [source_rpc],
            "chain": format!("eip155:{}", anvil::SOURCE.chain_id),
            "address": token,
            "topics": ["Transfer(address,address,uint256)"],
            "asset": facts::asset_id(),
            "mint_from_zero": true,
            "accounts": {},
            "confirmations": CONFIRMATIONS,
            "window_blocks": WINDOW_BLOCKS,
            "timeout_ms": TIMEOUT_MS,
        },
        {
            "name": RATE_SOURCE,
            "kind": "http_json",
            "urls": [rate_url],
            "as_of_pointer": rate::AS_OF_POINTER,
            "hosts": [host],
            // The endpoint of a development stack is on this machine or in its network.
            "allow_private": true,
            "bytes_max": RATE_BYTES_MAX,
            "timeout_ms": TIMEOUT_MS,
            "content_types": ["application/json"],
        },
    ]}))
}
