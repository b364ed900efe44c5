//! What the chains themselves say: the asset's state, and the proof checked by the contract.

use std::collections::BTreeMap;

use alloy::primitives::{Address, FixedBytes};
use alloy::providers::DynProvider;
use anyhow::Context as _;
use common::hash::Digest;
use common::ids::Name;
use common::proof::StateProof;
use common::targets::Targets;
use serde::Serialize;

use crate::access::StackFile;
use crate::stack::contracts::{self, abi::StateBridge};

/// `proveState` of a key that has the value.
const PRESENT: u8 = 1;

/// The bridge of one chain.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) chain: Name,
    contract: StateBridge::StateBridgeInstance<DynProvider>,
}

/// What one chain says of the asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct AssetState {
    pub(super) version: u64,
    pub(super) state_hash: Digest,
}

pub(super) fn bridges(file: &StackFile) -> anyhow::Result<Vec<Bridge>> {
    let targets = Targets::load(&file.targets_file)?;
    let contracts: BTreeMap<&Name, Address> =
        targets.iter().filter_map(|target| Some((&target.name, Address::from(target.contract?.0)))).collect();
    file.chains
        .iter()
        .map(|(name, rpc)| {
            let address = contracts.get(name).with_context(|| format!("no contract for chain {name}"))?;
            let contract = StateBridge::new(*address, contracts::connect(rpc)?);
            Ok(Bridge { chain: name.clone(), contract })
        })
        .collect()
}

impl Bridge {
    pub(super) async fn asset_state(&self, asset: Digest) -> anyhow::Result<AssetState> {
        let state = self.contract.assetState(asset.0.into()).call().await?;
        Ok(AssetState { version: state.version, state_hash: Digest(state.stateHash.0) })
    }

    /// The root the chain anchored after an entry, if it still keeps it.
    pub(super) async fn root_of(&self, proof: &StateProof) -> anyhow::Result<Option<Digest>> {
        let answer = self.contract.rootOf(proof.shard.number().into(), proof.seq).call().await?;
        Ok(answer.kept.then_some(Digest(answer.root.0)))
    }

    /// Whether the contract finds that its anchored root holds the proof's key with the proof's value.
    pub(super) async fn proves(&self, proof: &StateProof) -> anyhow::Result<bool> {
        let leaf = proof.leaf.context("the proof has no leaf")?;
        let siblings: Vec<FixedBytes<32>> = proof.siblings.iter().map(|sibling| sibling.0.into()).collect();
        let membership = self
            .contract
            .proveState(
                proof.shard.number().into(),
                proof.seq,
                proof.key_hash.0.into(),
                leaf.key_hash.0.into(),
                leaf.value_hash.0.into(),
                siblings,
            )
            .call()
            .await?;
        Ok(membership == PRESENT)
    }
}
