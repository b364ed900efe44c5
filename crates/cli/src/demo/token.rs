//! The token on the source chain: real mints, whose Transfer events back the requests.

use alloy::primitives::{Address, U256, address};
use alloy::providers::DynProvider;
use alloy::sol_types::SolEvent as _;
use anyhow::{Context as _, bail};
use common::amount::Amount;
use common::hash::Digest;
use common::request::EventRef;

use crate::access::SourceChain;
use crate::stack::anvil;
use crate::stack::contracts::{self, abi::BondToken};

/// The development accounts that hold the token: public addresses of the well-known mnemonic.
pub(super) const ALICE: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
pub(super) const BOB: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
/// Somebody the double spend goes to.
pub(super) const CAROL: Address = address!("90F79bf6EB2c4f870365E785982E1f101E93b906");

/// The account of an address: CAIP-10 with the source chain's id.
pub(super) fn account(address: Address) -> String {
    format!("eip155:{}:{}", anvil::SOURCE.chain_id, format!("{address:#x}").to_lowercase())
}

/// The deployed token.
#[derive(Debug)]
pub(super) struct Token {
    contract: BondToken::BondTokenInstance<DynProvider>,
}

impl Token {
    pub(super) fn connect(source: &SourceChain) -> anyhow::Result<Self> {
        let provider = contracts::connect(&source.rpc)?;
        Ok(Self { contract: BondToken::new(Address::from(source.token.0), provider) })
    }

    /// Mints in a transaction of its own and gives the event it made.
    pub(super) async fn mint(&self, to: Address, amount: Amount) -> anyhow::Result<EventRef> {
        let receipt = self.contract.mint(to, U256::from(amount.units())).send().await?.get_receipt().await?;
        if !receipt.status() {
            bail!("the token's mint {} failed", receipt.transaction_hash);
        }
        let is_ours = |log: &alloy::rpc::types::Log| {
            log.address() == *self.contract.address()
                && log.topic0() == Some(&BondToken::Transfer::SIGNATURE_HASH)
        };
        let position =
            receipt.inner.logs().iter().position(is_ours).context("the mint made no Transfer event")?;
        Ok(EventRef { tx: Digest(receipt.transaction_hash.0), position: u32::try_from(position)? })
    }
}
