//! What a change does, by kind.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Document, Field};
use crate::amount::Amount;
use crate::corporate::{Date, PaymentKind, Rate};
use crate::ids::{Account, AssetId, Name, Rid};

/// What a change does; in JSON the field `kind` beside the operation's own fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Op {
    Register {
        decimals: u8,
        chains: Vec<Name>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        terms: BTreeMap<String, Field<String>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        documents: BTreeMap<String, Document>,
    },
    AddChain {
        chain: Name,
    },
    Mint {
        to: Account,
        amount: Field<Amount>,
    },
    Burn {
        from: Account,
        amount: Field<Amount>,
    },
    Transfer {
        from: Account,
        to: Account,
        amount: Field<Amount>,
    },
    /// Merges into terms and documents; null deletes.
    SetData {
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        terms: BTreeMap<String, Option<Field<String>>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        documents: BTreeMap<String, Option<Document>>,
    },
    /// Holds the asset beyond the entry: others that would change it wait.
    Lock {
        /// For people.
        reason: String,
        /// How long it holds at most, in log time.
        seconds: u32,
    },
    /// Ends what the request `lock` holds, within which it may do more.
    Unlock {
        lock: Rid,
    },
    /// What everybody holds now is what later payments go by.
    RecordSnapshot {
        date: Date,
    },
    InterestPayment(Payment),
    PrincipalRepayment(Payment),
    /// One account gets its part of a payment.
    Claim {
        event: PaymentKind,
        date: Date,
        account: Account,
    },
    /// Of an asset, of one holding, or of a part of it.
    Freeze {
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
        /// Units frozen after it: an absolute figure, above the present one.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
    },
    Unfreeze {
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
        /// Units frozen after it: an absolute figure, below the present one.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
    },
    Seize {
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
    },
    Release {
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
    },
    /// For ever: an asset, or a holding whose units go to another account.
    Confiscate {
        #[serde(flatten)]
        holding: Option<Forfeit>,
    },
    Restrict {
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
    },
    Unrestrict {
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
    },
    /// A forced sale: units move whatever freezes them.
    Liquidate {
        from: Account,
        to: Account,
        amount: Amount,
    },
    /// Units go back to whom they belong, whatever freezes them.
    Recover {
        from: Account,
        to: Account,
        amount: Amount,
    },
}

impl Op {
    /// The kind as it stands in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Register { .. } => "REGISTER",
            Self::AddChain { .. } => "ADD_CHAIN",
            Self::Mint { .. } => "MINT",
            Self::Burn { .. } => "BURN",
            Self::Transfer { .. } => "TRANSFER",
            Self::SetData { .. } => "SET_DATA",
            Self::Lock { .. } => "LOCK",
            Self::Unlock { .. } => "UNLOCK",
            Self::RecordSnapshot { .. } => "RECORD_SNAPSHOT",
            Self::InterestPayment(_) => PaymentKind::InterestPayment.name(),
            Self::PrincipalRepayment(_) => PaymentKind::PrincipalRepayment.name(),
            Self::Claim { .. } => "CLAIM",
            Self::Freeze { .. } => "FREEZE",
            Self::Unfreeze { .. } => "UNFREEZE",
            Self::Seize { .. } => "SEIZE",
            Self::Release { .. } => "RELEASE",
            Self::Confiscate { .. } => "CONFISCATE",
            Self::Restrict { .. } => "RESTRICT",
            Self::Unrestrict { .. } => "UNRESTRICT",
            Self::Liquidate { .. } => "LIQUIDATE",
            Self::Recover { .. } => "RECOVER",
        }
    }

    /// Whether it is for authorities: it comes on the express stream, and not from the issuer alone.
    #[must_use]
    pub const fn is_regulatory(&self) -> bool {
        match self {
            Self::Register { .. }
            | Self::AddChain { .. }
            | Self::Mint { .. }
            | Self::Burn { .. }
            | Self::Transfer { .. }
            | Self::SetData { .. }
            | Self::Lock { .. }
            | Self::Unlock { .. }
            | Self::RecordSnapshot { .. }
            | Self::InterestPayment(_)
            | Self::PrincipalRepayment(_)
            | Self::Claim { .. } => false,
            Self::Freeze { .. }
            | Self::Unfreeze { .. }
            | Self::Seize { .. }
            | Self::Release { .. }
            | Self::Confiscate { .. }
            | Self::Restrict { .. }
            | Self::Unrestrict { .. }
            | Self::Liquidate { .. }
            | Self::Recover { .. } => true,
        }
    }

    /// The chains it brings an asset to.
    #[must_use]
    pub fn chains(&self) -> &[Name] {
        match self {
            Self::Register { chains, .. } => chains,
            Self::AddChain { chain } => std::slice::from_ref(chain),
            _ => &[],
        }
    }
}

/// A holding that is taken away, and the account that its units go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forfeit {
    pub account: Account,
    pub to: Account,
}

/// Units set aside for those who held the asset at a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payment {
    /// Names the payment among those of its kind.
    pub date: Date,
    /// That of the snapshot.
    pub record_date: Date,
    /// What is paid in; the request's own asset until a request may have several.
    pub cash_asset: AssetId,
    /// Whose units are set aside.
    pub from: Account,
    #[serde(flatten)]
    pub due: Due,
}

/// What a payment comes to: `rate` or `amount` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Due {
    /// Per unit held.
    Rate(Rate),
    /// For all together.
    Amount(Amount),
}
