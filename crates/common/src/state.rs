//! The values of the state tree, in borsh. Layouts with vectors: `docs/formats.md`.
//!
//! A field is only ever added at the end and is not there while it is empty, since the SHA-256 of these bytes is
//! what chains hold.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::hash::Digest;
use crate::request::Document;

/// The value of `asset/<id>`. On chain, `stateHash` is the SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AssetRecord {
    /// The class of the asset id.
    pub class: String,
    /// The tenant that registered it; only its requests change it, and orders of authorities.
    pub issuer: String,
    pub decimals: u8,
    /// Sum of all holdings, smallest units.
    pub supply: Amount,
    pub status: AssetStatus,
    /// Names of the targets that hold a copy, sorted.
    pub chains: Vec<String>,
    pub terms: BTreeMap<String, String>,
    pub documents: BTreeMap<String, Document>,
    /// Rises by one with every request that changes the asset or one of its holdings; never falls.
    pub version: u64,
    /// `SHA-256(previous ‖ digest of the request's changes)`.
    pub history_hash: Digest,
    /// Chains that the asset has left by a rollback → the last version that each was told, from which it goes on if the
    /// asset comes back. Without bytes while it is empty.
    #[borsh(serialize_with = "write_if_set", deserialize_with = "read_if_set")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_chains: BTreeMap<String, u64>,
}

/// Of the last field of a record: its default has no bytes.
fn write_if_set<T: BorshSerialize + Default + PartialEq, W: Write>(value: &T, writer: &mut W) -> Result<()> {
    if *value == T::default() { Ok(()) } else { value.serialize(writer) }
}

/// Of the last field of a record: the end of the bytes is the default.
fn read_if_set<T: BorshDeserialize + Default + PartialEq, R: Read>(reader: &mut R) -> Result<T> {
    let mut first = [0];
    if reader.read(&mut first)? == 0 {
        return Ok(T::default());
    }
    let value = T::deserialize_reader(&mut first.as_slice().chain(reader))?;
    // One record has one form.
    if value == T::default() {
        Err(Error::new(ErrorKind::InvalidData, "a default that is written"))
    } else {
        Ok(value)
    }
}

/// Where the regulatory machine stands for an asset or a holding (ERC-8319, "State Transition Dynamics").
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RegulatoryState {
    #[default]
    Active = 0,
    Frozen = 2,
    Seized = 3,
    Restricted = 4,
    /// For ever.
    Confiscated = 5,
}

impl RegulatoryState {
    /// As it stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Frozen => "FROZEN",
            Self::Seized => "SEIZED",
            Self::Restricted => "RESTRICTED",
            Self::Confiscated => "CONFISCATED",
        }
    }

    #[must_use]
    pub fn is_active(&self) -> bool {
        *self == Self::Active
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum AssetStatus {
    Active = 0,
    /// Its registration was undone; the leaf stays, because the version must live on.
    Withdrawn = 1,
    Frozen = 2,
    Seized = 3,
    Restricted = 4,
    Confiscated = 5,
}

impl AssetStatus {
    /// `None`: withdrawn, so nothing is regulated any more.
    #[must_use]
    pub const fn regulatory(self) -> Option<RegulatoryState> {
        match self {
            Self::Active => Some(RegulatoryState::Active),
            Self::Withdrawn => None,
            Self::Frozen => Some(RegulatoryState::Frozen),
            Self::Seized => Some(RegulatoryState::Seized),
            Self::Restricted => Some(RegulatoryState::Restricted),
            Self::Confiscated => Some(RegulatoryState::Confiscated),
        }
    }
}

impl From<RegulatoryState> for AssetStatus {
    fn from(state: RegulatoryState) -> Self {
        match state {
            RegulatoryState::Active => Self::Active,
            RegulatoryState::Frozen => Self::Frozen,
            RegulatoryState::Seized => Self::Seized,
            RegulatoryState::Restricted => Self::Restricted,
            RegulatoryState::Confiscated => Self::Confiscated,
        }
    }
}

/// The value of `holding/<asset>/<account>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct HoldingRecord {
    /// Smallest units, including what is frozen.
    pub balance: Amount,
    pub frozen: Amount,
    /// Parts of the balance by the time they were acquired; empty until a rule needs them.
    pub lots: Vec<Lot>,
    /// Without bytes while it is ACTIVE.
    #[borsh(serialize_with = "write_if_set", deserialize_with = "read_if_set")]
    #[serde(default, skip_serializing_if = "RegulatoryState::is_active")]
    pub state: RegulatoryState,
}

/// A part of a balance.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Lot {
    /// Log time of acquisition, Unix ms.
    pub acquired_ms: u64,
    pub amount: Amount,
}

/// The value of `used/<event identity>`: the request whose change the event backs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct UsedRecord {
    /// The request id's 16 bytes.
    pub rid: [u8; 16],
    /// The log entry that applied it.
    pub seq: u64,
}

/// Bytes of a record; their SHA-256 is the leaf's value hash.
#[must_use]
pub fn encode<T: BorshSerialize>(record: &T) -> Vec<u8> {
    // Writing plain data into memory cannot fail.
    borsh::to_vec(record).unwrap_or_default()
}

/// # Errors
/// The bytes are not a record of this type: the view is damaged.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T> {
    T::try_from_slice(bytes)
}
