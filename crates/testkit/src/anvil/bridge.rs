//! `StateBridge` and `QuorumVerifier` on a private chain, deployed from `contracts/artifacts`.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::{Provider as _, RootProvider};
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::sol_types::{SolCall as _, SolEvent as _, SolValue as _};
use alloy::transports::TransportError;

use super::{Anvil, AnvilError, Mining};

mod abi {
    alloy::sol! {
        function assetState(bytes32 asset) external view returns (uint64 version, bytes32 stateHash);
        function latest(uint32 shard) external view returns (uint64 seq, bytes32 root);
        function pause() external;
        function unpause() external;
        event StateUpdated(bytes32 indexed asset, uint64 version, bytes32 stateHash);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    #[error(transparent)]
    Anvil(#[from] AnvilError),
    #[error("the chain refused a call")]
    Rpc(#[from] TransportError),
    #[error("contract artifact {name} is missing or not readable")]
    Artifact { name: &'static str },
    #[error("a transaction was not mined in time or was reverted")]
    NotMined,
    #[error("the contract answered something unreadable")]
    Answer,
}

/// A deployed pair of contracts.
#[derive(Debug, Clone)]
pub struct Bridge {
    pub address: Address,
    pub verifier: Address,
    owner: Address,
    is_manual: bool,
    provider: RootProvider,
}

fn bytecode(name: &'static str) -> Result<Vec<u8>, BridgeError> {
    let path = super::contracts().join(Path::new("artifacts").join(format!("{name}.json")));
    let artifact: Option<serde_json::Value> =
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let code = artifact.as_ref().and_then(|artifact| artifact.get("bytecode")?.as_str());
    code.and_then(|code| hex::decode(code).ok()).ok_or(BridgeError::Artifact { name })
}

impl Bridge {
    /// Deploys with set 1 = these validators (ascending), account 0 as owner and no time lock.
    ///
    /// # Errors
    /// The artifacts are missing, or the chain refuses.
    pub async fn deploy(anvil: &Anvil, validators: &[Address], threshold: u16) -> Result<Self, BridgeError> {
        let owner = anvil.account(0);
        let mut bridge = Self {
            address: Address::ZERO,
            verifier: Address::ZERO,
            owner,
            is_manual: anvil.options.mining == Mining::Manual,
            provider: anvil.provider(),
        };
        let arguments = (0_u64, validators.to_vec(), threshold, owner).abi_encode_params();
        bridge.verifier = bridge.create(bytecode("QuorumVerifier")?, arguments).await?;
        let arguments = (bridge.verifier, owner).abi_encode_params();
        bridge.address = bridge.create(bytecode("StateBridge")?, arguments).await?;
        Ok(bridge)
    }

    async fn create(&self, mut code: Vec<u8>, arguments: Vec<u8>) -> Result<Address, BridgeError> {
        code.extend(arguments);
        let transaction = TransactionRequest::default().from(self.owner).input(Bytes::from(code).into());
        // A creation names no receiver.
        let transaction = TransactionRequest { to: Some(alloy::primitives::TxKind::Create), ..transaction };
        self.mined(transaction).await?.ok_or(BridgeError::NotMined)
    }

    /// Sends as the owner and waits until it is in a block; answers the created contract, if it was a creation.
    async fn mined(&self, transaction: TransactionRequest) -> Result<Option<Address>, BridgeError> {
        let hash = *self.provider.send_transaction(transaction).await?.tx_hash();
        if self.is_manual {
            let _: serde_json::Value = self.provider.client().request("anvil_mine", (1,)).await?;
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(receipt) = self.provider.get_transaction_receipt(hash).await? {
                return if receipt.status() {
                    Ok(receipt.contract_address)
                } else {
                    Err(BridgeError::NotMined)
                };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(BridgeError::NotMined)
    }

    async fn call<C: alloy::sol_types::SolCall>(&self, call: C) -> Result<C::Return, BridgeError> {
        let request =
            TransactionRequest::default().to(self.address).input(Bytes::from(call.abi_encode()).into());
        let answer = self.provider.call(request).await?;
        C::abi_decode_returns(&answer).map_err(|_| BridgeError::Answer)
    }

    /// Version and state hash of an asset; version 0 = nothing has landed.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn asset_state(&self, asset: B256) -> Result<(u64, B256), BridgeError> {
        let state = self.call(abi::assetStateCall { asset }).await?;
        Ok((state.version, state.stateHash))
    }

    /// Highest entry anchored for a shard and its root.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn latest(&self, shard: u32) -> Result<(u64, B256), BridgeError> {
        let latest = self.call(abi::latestCall { shard }).await?;
        Ok((latest.seq, latest.root))
    }

    /// The owner pauses the bridge or lets it go on.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn set_paused(&self, paused: bool) -> Result<(), BridgeError> {
        let input = if paused { abi::pauseCall {}.abi_encode() } else { abi::unpauseCall {}.abi_encode() };
        let transaction =
            TransactionRequest::default().from(self.owner).to(self.address).input(Bytes::from(input).into());
        self.mined(transaction).await.map(drop)
    }

    /// Every update that took effect, in the order of the chain: asset, version, state hash.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn updates(&self) -> Result<Vec<(B256, u64, B256)>, BridgeError> {
        let filter = Filter::new().address(self.address).from_block(0_u64);
        let logs = self.provider.get_logs(&filter.event_signature(abi::StateUpdated::SIGNATURE_HASH)).await?;
        let read = |log: &Log| {
            let event = abi::StateUpdated::decode_log(&log.inner).map_err(|_| BridgeError::Answer)?;
            Ok((event.asset, event.version, event.stateHash))
        };
        logs.iter().map(read).collect()
    }
}
