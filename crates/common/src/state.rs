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

mod corporate;

pub use corporate::{ClaimRecord, Held, PaymentRecord, SnapshotRecord};

/// The value of `asset/<id>`. On chain, `stateHash` is the SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// asset comes back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_chains: BTreeMap<String, u64>,
    /// Snapshots of the holdings so far; the number of the last one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub snapshots: u64,
}

/// Borsh of a record. The fields behind the semicolon came later: they have no bytes from the first on behind which all
/// have their defaults, so a record that does without them is as it always was.
macro_rules! grown {
    ($record:ident { $($field:ident),+; $($later:ident),+ }) => {
        impl BorshSerialize for $record {
            fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
                $(BorshSerialize::serialize(&self.$field, writer)?;)+
                let later = [$(is_default(&self.$later)),+];
                let mut left = later.iter().rposition(|is_default| !is_default).map_or(0, |last| last + 1);
                $(if left > 0 {
                    BorshSerialize::serialize(&self.$later, writer)?;
                    left -= 1;
                })+
                let _ = left;
                Ok(())
            }
        }

        impl BorshDeserialize for $record {
            fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
                let mut later = Later::default();
                let record = Self {
                    $($field: BorshDeserialize::deserialize_reader(reader)?,)+
                    $($later: later.read(reader)?,)+
                };
                later.end().map(|()| record)
            }
        }
    };
}

grown!(AssetRecord {
    class, issuer, decimals, supply, status, chains, terms, documents, version, history_hash;
    former_chains, snapshots
});
grown!(HoldingRecord { balance, frozen, lots; state, snapshots });

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads the fields of a record that came later, in their order.
#[derive(Default)]
struct Later {
    is_over: bool,
    ends_in_default: bool,
}

impl Later {
    /// The end of the bytes is the default.
    fn read<T: BorshDeserialize + Default + PartialEq, R: Read>(&mut self, reader: &mut R) -> Result<T> {
        let mut first = [0];
        if self.is_over || reader.read(&mut first)? == 0 {
            self.is_over = true;
            return Ok(T::default());
        }
        let value = T::deserialize_reader(&mut first.as_slice().chain(reader))?;
        self.ends_in_default = is_default(&value);
        Ok(value)
    }

    /// One record has one form.
    fn end(self) -> Result<()> {
        if self.ends_in_default {
            return Err(Error::new(ErrorKind::InvalidData, "a default that is written"));
        }
        Ok(())
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldingRecord {
    /// Smallest units, including what is frozen.
    pub balance: Amount,
    pub frozen: Amount,
    /// Parts of the balance by the time they were acquired; empty until a rule needs them.
    pub lots: Vec<Lot>,
    #[serde(default, skip_serializing_if = "RegulatoryState::is_active")]
    pub state: RegulatoryState,
    /// Balances at snapshots since which they have changed, by ascending number; written at the first change after one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Held>,
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
