//! The names of every Redis key (DESIGN §4) and of every key of the state tree (DESIGN §6).
//!
//! All Redis keys of a shard carry its hash tag `{oss:<shard>}`, so one script can touch any of them in
//! cluster mode. Nothing else in the project spells a key.

use crate::corporate::{Date, PaymentKind};
use crate::ids::{Account, AssetId, Name, Rid, Shard};

/// What every key begins with, as a glob over all shards: for the rights of Redis users.
pub(crate) const ALL_SHARDS: &str = "{oss:*}:";

/// Builds the Redis key names of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    shard: Shard,
}

macro_rules! fixed_keys {
    ($($(#[$doc:meta])* $name:ident = $suffix:literal;)*) => {
        $($(#[$doc])* #[must_use] pub fn $name(&self) -> String { self.tagged($suffix) })*
    };
}

impl Keys {
    #[must_use]
    pub const fn new(shard: Shard) -> Self {
        Self { shard }
    }

    #[must_use]
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    fn tagged(&self, suffix: &str) -> String {
        format!("{{oss:{}}}:{suffix}", self.shard.name())
    }

    fixed_keys! {
        /// String: random, written once by INIT.
        generation = "gen";
        /// Stream of accepted requests with something to collect.
        requests = "requests";
        /// Stream of messages for the validator.
        input = "in";
        /// Express stream: cancels, commands, regulatory requests.
        input_express = "inx";
        /// Stream broadcaster → validator.
        receipts = "receipts";
        /// Sorted set: accepted ms → rid.
        index = "idx";
        /// Hash: epoch, token, node, exp.
        lease = "lease";
        /// Hash: seq, digest, root, stable, barrier, targets, `wm:<target>`.
        head = "head";
        /// Stream: the log, ids `<seq>-0`.
        log = "log";
        /// Stream: barriers, pause, membership.
        control = "ctl";
        /// Hash: validator → heartbeat, last entry on its disk, URL of its API. Validators alone write it: they send
        /// each other a key to where it says.
        validators = "members:validator";
        /// Hash: broadcaster → heartbeat and last control id.
        broadcasters = "members:broadcaster";
        /// Stream of notifications.
        status = "status";
        /// Stream of messages of an unknown schema version.
        parked = "parked";
        /// Stream of what a stage gave up on.
        dead_letters = "dlq";
        /// Hash: rid → crash attempts.
        attempts = "att";
    }

    /// Hash: the status and idempotency record of a request.
    #[must_use]
    pub fn request(&self, rid: Rid) -> String {
        self.tagged(&format!("req:{rid}"))
    }

    /// String with expiry: stream id of a message SEND has added, so that a repeat adds nothing; of a COMMAND its
    /// fingerprint behind it.
    #[must_use]
    pub fn sent(&self, message_id: &str) -> String {
        self.tagged(&format!("sent:{message_id}"))
    }

    /// Stream with the ids of the messages of a share that wait in `:inx`.
    #[must_use]
    pub fn express_share(&self, share: &str) -> String {
        self.tagged(&format!("inx:{share}"))
    }

    /// Stream of the WITHDRAWN messages to be sent if the blocks of what `source` has observed are reorganised.
    #[must_use]
    pub fn handed(&self, source: &Name) -> String {
        self.tagged(&format!("handed:{source}"))
    }

    /// Hash: delivery progress of one log entry.
    #[must_use]
    pub fn progress(&self, seq: u64) -> String {
        self.tagged(&format!("prog:{seq}"))
    }

    /// Stream: signed work of one target, ids `<seq>-0`.
    #[must_use]
    pub fn out(&self, target: &Name) -> String {
        self.tagged(&format!("out:{target}"))
    }

    /// Sorted set: item → when to look at it again, ms.
    #[must_use]
    pub fn wait(&self, target: &Name) -> String {
        self.tagged(&format!("wait:{target}"))
    }

    /// Hash: the lane's lease and counters.
    #[must_use]
    pub fn lane(&self, target: &Name) -> String {
        self.tagged(&format!("lane:{target}"))
    }

    /// Hash: item → chain nonce.
    #[must_use]
    pub fn bind(&self, target: &Name) -> String {
        self.tagged(&format!("bind:{target}"))
    }

    /// Hash: signed bytes, hashes and items of one chain nonce.
    #[must_use]
    pub fn raw(&self, target: &Name, nonce: u64) -> String {
        self.tagged(&format!("raw:{target}:{nonce}"))
    }

    /// String: touched once after each connect, before an answer rests on a read.
    #[must_use]
    pub fn barrier(&self, instance: &str) -> String {
        self.tagged(&format!("barrier:{instance}"))
    }
}

/// State-tree key of an asset's record.
#[must_use]
pub fn asset_key(asset: &AssetId) -> String {
    format!("asset/{asset}")
}

/// State-tree key of one account's holding of an asset.
#[must_use]
pub fn holding_key(asset: &AssetId, account: &Account) -> String {
    format!("holding/{asset}/{account}")
}

/// State-tree key of what an asset's snapshot of this record date says.
#[must_use]
pub fn snapshot_key(asset: &AssetId, date: &Date) -> String {
    format!("event/{asset}/{date}/RECORD_SNAPSHOT")
}

/// State-tree key of a payment to an asset's holders.
#[must_use]
pub fn payment_key(asset: &AssetId, date: &Date, kind: PaymentKind) -> String {
    format!("event/{asset}/{date}/{}", kind.name())
}

/// State-tree key of what one account got of a payment.
#[must_use]
pub fn claim_key(asset: &AssetId, date: &Date, kind: PaymentKind, account: &Account) -> String {
    format!("event/{asset}/{date}/{}/{account}", kind.name())
}

/// State-tree key of the holding that a payment is made from. No account has its name, so nobody else can move it.
#[must_use]
pub fn fund_key(asset: &AssetId, date: &Date, kind: PaymentKind) -> String {
    format!("holding/{asset}/event/{date}/{}", kind.name())
}

/// State-tree key that marks an event as used. `identity` is `<CAIP-2 chain>/<tx hash>/<position>`.
#[must_use]
pub fn used_key(identity: &str) -> String {
    format!("used/{identity}")
}

#[cfg(test)]
mod tests;
