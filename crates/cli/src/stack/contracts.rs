//! The contracts of a stack: deployed where they are missing, kept where they stand.
//!
//! In: the chains' RPC URLs and the recorded addresses. Out: the addresses that hold code. The bytecode is the
//! committed, checked one (`contracts/artifacts`), built into this program. Everything is paid by the
//! well-known first development account, which only a development chain endows.

use alloy::network::{EthereumWallet, TransactionBuilder as _};
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::providers::{DynProvider, PendingTransactionBuilder, Provider as _, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolValue as _;
use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The first account of the mnemonic that development nodes share ("test test … junk"); public, worth nothing.
const DEPLOYER_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// A sender below this is filled up; 10 ether.
const SENDER_WEI_MIN: u128 = 10_000_000_000_000_000_000;
/// What a sender gets; 100 ether.
const SENDER_WEI: u128 = 100_000_000_000_000_000_000;
/// Gas for one deployment. Not estimated: the bridge's constructor needs the verifier of the transaction before it.
const DEPLOY_GAS: u64 = 8_000_000;
const TRANSFER_GAS: u64 = 21_000;
/// The first validator set of a verifier.
const FIRST_SET_ID: u64 = 1;

/// The parts of the contracts' interfaces that are called here and by the demo.
#[expect(clippy::too_many_arguments, reason = "the generated code has the contracts' parameters")]
pub(crate) mod abi {
    alloy::sol! {
        #[sol(rpc)]
        contract StateBridge {
            function verifier() external view returns (address);
            function assetState(bytes32 asset) external view returns (uint64 version, bytes32 stateHash);
            function rootOf(uint32 shard, uint64 seq) external view returns (bool kept, bytes32 root);
            function proveState(uint32 shard, uint64 seq, bytes32 keyHash, bytes32 leafKeyHash, bytes32 leafValueHash, bytes32[] calldata siblings) external view returns (uint8);
        }

        #[sol(rpc)]
        contract QuorumVerifier {
            function currentSetId() external view returns (uint64);
            function isSetValid(uint64 setId) external view returns (bool);
            function setOf(uint64 setId) external view returns (address[] memory members, uint16 threshold, uint64 validUntil);
        }

        #[sol(rpc)]
        contract BondToken {
            event Transfer(address indexed from, address indexed to, uint256 value);
            function mint(address to, uint256 amount) external;
            function balanceOf(address account) external view returns (uint256);
        }
    }
}

#[derive(Deserialize)]
struct Artifact {
    bytecode: Bytes,
}

fn bytecode(artifact: &str) -> anyhow::Result<Bytes> {
    Ok(serde_json::from_str::<Artifact>(artifact).context("a contract artifact")?.bytecode)
}

/// A bridge that stands, and the set whose signatures it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) address: Address,
    pub(crate) set_id: u64,
    /// It was deployed just now.
    pub(crate) is_new: bool,
}

/// A connection to a chain that signs with the deployer's key.
pub(crate) fn connect(rpc: &str) -> anyhow::Result<DynProvider> {
    let deployer: PrivateKeySigner = DEPLOYER_KEY.parse().context("the deployer's key")?;
    let url = rpc.parse().with_context(|| format!("{rpc} is not a URL"))?;
    Ok(ProviderBuilder::new().wallet(EthereumWallet::from(deployer)).connect_http(url).erased())
}

pub(crate) fn deployer() -> anyhow::Result<Address> {
    Ok(DEPLOYER_KEY.parse::<PrivateKeySigner>().context("the deployer's key")?.address())
}

/// The recorded bridge if it has code and the validator is in its current set; else a new one.
pub(crate) async fn ensure_bridge(
    chain: &DynProvider,
    recorded: Option<Address>,
    validator: Address,
) -> anyhow::Result<Bridge> {
    if let Some(address) = recorded
        && has_code(chain, address).await?
    {
        let bridge = abi::StateBridge::new(address, chain);
        let verifier = abi::QuorumVerifier::new(bridge.verifier().call().await?, chain);
        let set_id = verifier.currentSetId().call().await?;
        if verifier.setOf(set_id).call().await?.members.contains(&validator) {
            return Ok(Bridge { address, set_id, is_new: false });
        }
    }
    deploy_bridge(chain, validator).await
}

async fn deploy_bridge(chain: &DynProvider, validator: Address) -> anyhow::Result<Bridge> {
    let owner = deployer()?;
    let nonce = chain.get_transaction_count(owner).pending().await?;
    let verifier_code = bytecode(include_str!("../../../../contracts/artifacts/QuorumVerifier.json"))?;
    // No delay before a new set may be put in place: right for a development chain only.
    let verifier_args = (0_u64, vec![validator], 1_u16, owner).abi_encode_params();
    let verifier = owner.create(nonce);
    let bridge_code = bytecode(include_str!("../../../../contracts/artifacts/StateBridge.json"))?;
    let bridge_args = (verifier, owner).abi_encode_params();
    let first = deploy(chain, nonce, &verifier_code, &verifier_args).await?;
    let second = deploy(chain, nonce + 1, &bridge_code, &bridge_args).await?;
    for pending in [first, second] {
        succeeded(pending).await?;
    }
    let address = owner.create(nonce + 1);
    if !has_code(chain, address).await? {
        bail!("no code at {address} after its deployment");
    }
    Ok(Bridge { address, set_id: FIRST_SET_ID, is_new: true })
}

/// The recorded token if it has code, else a new one.
pub(crate) async fn ensure_token(
    chain: &DynProvider,
    recorded: Option<Address>,
    (name, symbol, decimals): (&str, &str, u8),
) -> anyhow::Result<Address> {
    if let Some(address) = recorded
        && has_code(chain, address).await?
    {
        return Ok(address);
    }
    let owner = deployer()?;
    let nonce = chain.get_transaction_count(owner).pending().await?;
    let code = bytecode(include_str!("../../../../contracts/artifacts/ExampleBondToken.json"))?;
    let args = (name.to_owned(), symbol.to_owned(), U256::from(decimals), owner).abi_encode_params();
    succeeded(deploy(chain, nonce, &code, &args).await?).await?;
    Ok(owner.create(nonce))
}

/// Fills up every sender that is low.
pub(crate) async fn fund(chain: &DynProvider, senders: &[Address]) -> anyhow::Result<()> {
    let mut nonce = chain.get_transaction_count(deployer()?).pending().await?;
    let mut sent = Vec::new();
    for sender in senders {
        if chain.get_balance(*sender).await? >= U256::from(SENDER_WEI_MIN) {
            continue;
        }
        let transfer = TransactionRequest::default()
            .with_to(*sender)
            .with_value(U256::from(SENDER_WEI))
            .with_gas_limit(TRANSFER_GAS)
            .with_nonce(nonce);
        nonce += 1;
        sent.push(chain.send_transaction(transfer).await?);
    }
    for pending in sent {
        succeeded(pending).await?;
    }
    Ok(())
}

async fn deploy(
    chain: &DynProvider,
    nonce: u64,
    code: &Bytes,
    args: &[u8],
) -> anyhow::Result<PendingTransactionBuilder<alloy::network::Ethereum>> {
    let input = [code.as_ref(), args].concat();
    let mut transaction =
        TransactionRequest::default().with_input(input).with_gas_limit(DEPLOY_GAS).with_nonce(nonce);
    transaction.to = Some(TxKind::Create);
    Ok(chain.send_transaction(transaction).await?)
}

async fn succeeded(pending: PendingTransactionBuilder<alloy::network::Ethereum>) -> anyhow::Result<()> {
    let receipt = pending.get_receipt().await?;
    if !receipt.status() {
        bail!("transaction {} failed", receipt.transaction_hash);
    }
    Ok(())
}

async fn has_code(chain: &DynProvider, address: Address) -> anyhow::Result<bool> {
    Ok(!chain.get_code_at(address).await?.is_empty())
}
