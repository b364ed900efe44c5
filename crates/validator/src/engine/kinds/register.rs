//! REGISTER `{decimals, chains, terms?, documents?}`: an asset comes into being.
//!
//! - Footprint: writes the asset.
//! - Effect: the record with supply 0, the request's tenant as issuer, and the chains, sorted.
//! - Rejected: `ALREADY_REGISTERED` (an id is registered once, ever), `UNKNOWN_TARGET` per chain.
//! - Inverse: status WITHDRAWN. The leaf stays, because the version must live on.

use std::collections::BTreeMap;

use common::amount::Amount;
use common::hash::Digest;
use common::ids::Name;
use common::request::{Document, Field};
use common::state::{AssetRecord, AssetStatus};

use super::super::codes::Code;
use super::super::evidence::literal;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;

pub(super) fn footprint(touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_asset();
    ChangeSlots::default()
}

pub(super) fn apply(
    decimals: u8,
    chains: &[Name],
    terms: &BTreeMap<String, Field<String>>,
    documents: &BTreeMap<String, Document>,
    applying: &mut Applying<'_, '_>,
) {
    if applying.overlay.asset().is_some() {
        applying.error(Code::AlreadyRegistered, "/kind", "the asset is registered already");
    }
    for (index, chain) in chains.iter().enumerate() {
        applying.check_target(chain, &format!("/chains/{index}"));
    }
    let mut chains: Vec<String> = chains.iter().map(Name::to_string).collect();
    chains.sort();
    applying.overlay.put_asset(AssetRecord {
        class: applying.class.to_owned(),
        issuer: applying.tenant.to_owned(),
        decimals,
        supply: Amount::ZERO,
        status: AssetStatus::Active,
        chains,
        terms: terms.iter().map(|(key, value)| (key.clone(), literal(value).clone())).collect(),
        documents: documents.clone(),
        version: 0,
        history_hash: Digest::ZERO,
        former_chains: BTreeMap::new(),
        snapshots: 0,
    });
}
