//! What validators sign and `StateBridge` checks: updates, part headers and their EIP-712 digest.
//!
//! - `updatesHash` = keccak256 of the ABI encodings of the updates one after another; an update is four
//!   words of 32 bytes: `asset, from, version, stateHash`.
//! - The digest is EIP-712 over `Header` with domain name `OSS StateBridge`, version `1`, the target's
//!   chain id and contract.
//!
//! Source: EIP-712 (typed structured data hashing), Solidity ABI specification.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha3::{Digest as _, Keccak256};

use crate::hash::Digest;
use crate::ids::Shard;

/// Most updates in one part.
pub const PART_UPDATES_MAX: usize = 50;

/// The new version of one asset for one chain. Applied there iff `from ≤ current < version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Key hash of `asset/<id>`.
    pub asset: Digest,
    pub from: u64,
    pub version: u64,
    /// Value hash of the asset's leaf.
    pub state_hash: Digest,
}

/// The signed head of one part of an entry's updates for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub shard: u32,
    pub seq: u64,
    /// 0-based.
    pub part: u16,
    pub parts: u16,
    /// The validator set whose signatures these are.
    pub set_id: u64,
    pub updates_hash: Digest,
    pub state_root: Digest,
}

/// One part as it travels in `:out:<target>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub header: Header,
    pub updates: Vec<Update>,
    /// Concatenated 65-byte signatures (r, s, v), 0x hex; left out for targets of kind `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// The body of one `:out:<target>` item: one entry's work for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutBody {
    pub v: u8,
    pub shard: Shard,
    pub seq: u64,
    pub root: Digest,
    pub parts: Vec<Part>,
    /// W3C trace context of requests in the entry, by request id; at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traces: BTreeMap<String, String>,
}

/// A 20-byte EVM address, `0x` and 40 hex digits in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 20]);

fn keccak(parts: &[&[u8]]) -> Digest {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// A number as a 32-byte big-endian word.
fn word(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// `updatesHash` of a part.
#[must_use]
pub fn updates_hash(updates: &[Update]) -> Digest {
    let mut hasher = Keccak256::new();
    for update in updates {
        hasher.update(update.asset.0);
        hasher.update(word(update.from));
        hasher.update(word(update.version));
        hasher.update(update.state_hash.0);
    }
    Digest(hasher.finalize().into())
}

/// The EIP-712 domain of one target; hashed once per target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    separator: Digest,
    header_type: Digest,
}

impl Domain {
    #[must_use]
    pub fn new(chain_id: u64, contract: Address) -> Self {
        let domain_type =
            keccak(&[b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"]);
        let mut address = [0; 32];
        address[12..].copy_from_slice(&contract.0);
        let separator = keccak(&[
            &domain_type.0,
            &keccak(&[b"OSS StateBridge"]).0,
            &keccak(&[b"1"]).0,
            &word(chain_id),
            &address,
        ]);
        let header_type = keccak(&[
            b"Header(uint32 shard,uint64 seq,uint16 part,uint16 parts,uint64 setId,bytes32 updatesHash,bytes32 stateRoot)",
        ]);
        Self { separator, header_type }
    }

    /// The 32 bytes a validator signs.
    #[must_use]
    pub fn digest(&self, header: &Header) -> Digest {
        let hashed = keccak(&[
            &self.header_type.0,
            &word(u64::from(header.shard)),
            &word(header.seq),
            &word(u64::from(header.part)),
            &word(u64::from(header.parts)),
            &word(header.set_id),
            &header.updates_hash.0,
            &header.state_root.0,
        ]);
        keccak(&[b"\x19\x01", &self.separator.0, &hashed.0])
    }
}

impl Address {
    /// The address of an uncompressed public key without its leading byte: the last 20 bytes of its keccak256.
    #[must_use]
    pub fn of_public_key(key: &[u8; 64]) -> Self {
        let hash = keccak(&[key]);
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash.0[12..]);
        Self(bytes)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode_prefixed(self.0))
    }
}

impl std::str::FromStr for Address {
    type Err = crate::ids::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = crate::ids::IdError { what: "address", form: "0x and 40 hex digits" };
        // The decoder alone would take a second prefix.
        let digits = text.strip_prefix("0x").filter(|d| d.len() == 40).ok_or_else(|| error.clone())?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| error)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
