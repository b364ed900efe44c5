//! Signing with a shard's gas wallet. The key signs transactions only; what they carry is signed by validators.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alloy::consensus::{SignableTransaction as _, Transaction as _, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use common::ids::Shard;
use serde::Deserialize;

use crate::fee::Fee;

/// A wallet per shard, the same address on every chain.
#[derive(Debug, Clone)]
pub(crate) struct Wallets {
    by_shard: BTreeMap<Shard, PrivateKeySigner>,
}

/// The file of sender keys cannot be used. Keys are never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    #[error("cannot read the sender keys file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the sender keys file {path} is not a JSON object of shard names and 0x keys")]
    Json { path: PathBuf },
    #[error("the sender key of shard {shard} is not a secp256k1 secret")]
    Key { shard: Shard },
    #[error("the sender key of shard {shard} is missing")]
    Missing { shard: Shard },
    #[error("the shards {first} and {second} have the same sender key")]
    Shared { first: Shard, second: Shard },
}

impl Wallets {
    /// Reads `{"financial": "0x…", "gaming": …, "real_estate": …, "general": …}`. Each shard needs a key of its own:
    /// two lanes with one sender would take each other's nonces.
    pub(crate) fn load(path: &Path) -> Result<Self, WalletError> {
        #[derive(Deserialize)]
        struct File(BTreeMap<Shard, secrecy::SecretString>);
        let bytes =
            std::fs::read(path).map_err(|source| WalletError::Read { path: path.to_owned(), source })?;
        let File(keys) =
            serde_json::from_slice(&bytes).map_err(|_| WalletError::Json { path: path.to_owned() })?;
        let mut by_shard: BTreeMap<Shard, PrivateKeySigner> = BTreeMap::new();
        for shard in Shard::ALL {
            let key = keys.get(&shard).ok_or(WalletError::Missing { shard })?;
            let wallet: PrivateKeySigner =
                secrecy::ExposeSecret::expose_secret(key).parse().map_err(|_| WalletError::Key { shard })?;
            let twin = by_shard.iter().find(|(_, other)| other.address() == wallet.address());
            if let Some((first, _)) = twin {
                return Err(WalletError::Shared { first: *first, second: shard });
            }
            by_shard.insert(shard, wallet);
        }
        Ok(Self { by_shard })
    }

    /// The wallet of a shard; `load` has made sure that there is one.
    pub(crate) fn of(&self, shard: Shard) -> Result<&PrivateKeySigner, WalletError> {
        self.by_shard.get(&shard).ok_or(WalletError::Missing { shard })
    }
}

/// What a transaction says before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) gas: u64,
    pub(crate) fee: Fee,
    pub(crate) input: Bytes,
}

/// A signed transaction: exactly these bytes are stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) hash: B256,
    pub(crate) raw: Vec<u8>,
    /// `None`: the bytes are no transaction of ours.
    pub(crate) fee: Option<Fee>,
}

impl Signed {
    /// A stored transaction; a hash that cannot be read is made of the bytes.
    pub(crate) fn stored(raw: &[u8], hash: &str) -> Self {
        let hash = hash.parse().unwrap_or_else(|_| alloy::primitives::keccak256(raw));
        let fee = decoded(raw).map(|transaction| Fee {
            max_fee: transaction.max_fee_per_gas,
            max_tip: transaction.max_priority_fee_per_gas,
        });
        Self { hash, raw: raw.to_vec(), fee }
    }
}

/// Signs an EIP-1559 transaction without value.
pub(crate) fn sign(wallet: &PrivateKeySigner, draft: Draft) -> Result<Signed, alloy::signers::Error> {
    let transaction = TxEip1559 {
        chain_id: draft.chain_id,
        nonce: draft.nonce,
        gas_limit: draft.gas,
        max_fee_per_gas: draft.fee.max_fee,
        max_priority_fee_per_gas: draft.fee.max_tip,
        to: TxKind::Call(draft.to),
        value: U256::ZERO,
        access_list: alloy::eips::eip2930::AccessList::default(),
        input: draft.input,
    };
    seal(wallet, transaction)
}

/// Signs what a stored transaction says once more, with the same nonce and another fee; `None` if the bytes are none of ours.
pub(crate) fn sign_again(
    wallet: &PrivateKeySigner,
    raw: &[u8],
    fee: Fee,
) -> Result<Option<Signed>, alloy::signers::Error> {
    let Some(stored) = decoded(raw) else { return Ok(None) };
    let transaction =
        TxEip1559 { max_fee_per_gas: fee.max_fee, max_priority_fee_per_gas: fee.max_tip, ..stored };
    seal(wallet, transaction).map(Some)
}

fn seal(wallet: &PrivateKeySigner, transaction: TxEip1559) -> Result<Signed, alloy::signers::Error> {
    let fee = Fee { max_fee: transaction.max_fee_per_gas, max_tip: transaction.max_priority_fee_per_gas };
    let signature = wallet.sign_hash_sync(&transaction.signature_hash())?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Ok(Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718(), fee: Some(fee) })
}

fn decoded(raw: &[u8]) -> Option<TxEip1559> {
    match TxEnvelope::decode_2718_exact(raw).ok()? {
        TxEnvelope::Eip1559(signed) => Some(signed.strip_signature()),
        _ => None,
    }
}

/// The gas a stored transaction was given; `None` if the bytes are none.
pub(crate) fn gas_limit(raw: &[u8]) -> Option<u64> {
    TxEnvelope::decode_2718_exact(raw).ok().map(|envelope| envelope.gas_limit())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, Bytes};
    use alloy::signers::local::PrivateKeySigner;

    use super::{Draft, Signed, decoded, gas_limit, sign, sign_again};
    use crate::fee::Fee;

    #[test]
    fn the_gas_of_a_stored_transaction_is_read_back() {
        let wallet = PrivateKeySigner::random();
        let fee = Fee { max_fee: 9, max_tip: 1 };
        let draft = Draft { chain_id: 1, nonce: 4, to: Address::ZERO, gas: 77_777, fee, input: Bytes::new() };
        let signed = sign(&wallet, draft).expect("a local key signs");
        assert_eq!(gas_limit(&signed.raw), Some(77_777));
        assert_eq!(gas_limit(b"garbage"), None);
    }

    #[test]
    fn a_replacement_says_the_same_for_another_fee() {
        let wallet = PrivateKeySigner::random();
        let (fee, more) = (Fee { max_fee: 9, max_tip: 1 }, Fee { max_fee: 20, max_tip: 3 });
        let input = Bytes::from_static(b"call");
        let draft = Draft { chain_id: 8, nonce: 4, to: Address::repeat_byte(7), gas: 77_777, fee, input };
        let first = sign(&wallet, draft.clone()).expect("a local key signs");
        assert_eq!(Signed::stored(&first.raw, &first.hash.to_string()), first, "its fee is read back");
        let again = sign_again(&wallet, &first.raw, more).expect("a local key signs").expect("ours");
        assert_eq!(again, sign(&wallet, Draft { fee: more, ..draft }).expect("a local key signs"));
        assert_ne!(again.hash, first.hash);
        assert_eq!(sign_again(&wallet, b"garbage", more).expect("nothing is signed"), None);
        assert_eq!((Signed::stored(b"garbage", "0x").fee, decoded(b"")), (None, None));
    }
}
