//! The link: how the services meet in Redis. Every write is one of the Lua scripts here, behind one typed
//! call each; payloads are opaque bytes.
//!
//! In: typed arguments. Out: an enum whose variants are the script's reply words. Invariants:
//! - A script is atomic and idempotent by its arguments: after an I/O error the outcome is unknown and the
//!   caller runs the same call again ([`LinkError::disposition`] says when).
//! - All checks come before the first write, and every key a script touches has its type checked by a read
//!   first, so a script either does all of its work or none.
//! - Writers that must be alone carry a [`Fence`] (epoch and token of their lease); expiry is liveness only.
//! - Every script except SUBMIT may run at full memory (`allow-oom`), so a full Redis drains.
//! - Time inside scripts is Redis TIME.
//! - A guard of a script stands between `-- guard:<name>` and `-- /guard:<name>`. The tests load each script with
//!   one guard cut out ([`Scripts::without`]) and show that its directed scenario then goes wrong.
//! - Reads rest on a barrier write after each (re)connect: Redis may serve what a crash left unfsynced, and
//!   an answer given from it could vanish in a power cut. [`Link`] does this by itself.
//!
//! One file per script; the path of a request is `submit → collecting → collected → commit → relay → bind →
//! store → progress → done`.

pub mod acl;
mod connect;
mod error;
mod reply;
mod script;
mod stream;

mod attempt;
mod barrier;
mod beat;
mod bind;
mod collected;
mod collecting;
mod commit;
mod done;
mod forget;
mod init;
mod lease;
mod leave;
mod pause;
mod progress;
mod rebind;
mod relay;
mod rewind;
mod send;
mod sender;
mod start;
mod store;
mod submit;
mod trim;
mod trim_control;
mod unpark;
mod wait;

mod dead_letters;
mod fronts;
mod group;
mod handed;
mod history;
mod index;
mod notification;
mod read;
mod reader;
mod recent;
mod record;
mod server;

pub use attempt::Attempted;
pub use beat::Member;
pub use bind::{Bind, Bound};
pub use collected::{Collected, Collection};
pub use collecting::Collecting;
pub use commit::{
    Commit, Committed, Consumed, DEAD_LETTERS_MAX, DeadLetter, FullStream, PARKED_MAX, Parked,
    RECORD_BYTES_MAX, StatusWrite,
};
pub use connect::{Address, Certificates, ClientCertificate, Commands};
pub use dead_letters::SetAside;
pub use done::{Done, DoneEntry, DoneReply, Finished};
pub use error::{Disposition, LinkError};
pub use fronts::Fronts;
pub use group::{Claimed, Delivered, GroupReader};
pub use handed::HANDED_MAX;
pub use index::Indexed;
pub use init::Initialised;
pub use lease::{Fence, LaneGrant, LaneLeased, Leased, Released, Token};
pub use leave::RETURNED;
pub use notification::{Control, Notification};
pub use pause::{LaneInfo, Paused};
pub use progress::{DeliveryTimes, EntryProgress, Progress, ProgressReply, ProgressWrite, Progressed};
pub use read::{Backlog, Head, LaneState, LoggedEntry, Raw, RawAttempt};
pub use reader::{Feed, ReadFrom, Reader};
pub use rebind::{Rebind, Rebound};
pub use record::StatusRecord;
pub use relay::{OUT_MAX, RELAY_BYTES_MAX, RelayLimits, Relayed};
pub use rewind::Rewound;
pub use script::{Scripts, WITHOUT_VARIABLE};
pub use send::{EXPRESS_SHARE_MAX, Ordered, SendTo, Sent};
pub use sender::SenderReply;
pub use server::Server;
pub use start::Started;
pub use store::{ATTEMPTS_MAX, Store, Stored};
pub use stream::{Entry, Message, Stream, StreamId};
pub use submit::{EXPRESS_MAX, INDEX_MAX, Route, Submission, SubmitBounds, Submitted};
pub use trim::Trimmed;
pub use unpark::Unparked;
pub use wait::{WaitReply, WaitWrite};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use redis::{ScriptInvocation, Value};

use crate::ids::{IdError, Name, Shard};
use crate::keys::Keys;
use reply::Reply;
use script::NamedScript;

/// Most items one batch call takes; callers split larger ones.
pub const BATCH_MAX: usize = 256;
/// Most status writes one COMMIT takes.
pub const STATUS_WRITES_MAX: usize = 768;
/// Largest message SEND takes: all that may belong to one request (DESIGN §6).
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Largest receipt DONE takes: what is left of a batch for `:receipts` beside a full `:inx`. One of a full entry,
/// 256 updates in six parts, takes about 4 KiB.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1024;
/// The consumer group of collectors on `:requests`.
pub const COLLECTORS_GROUP: &str = "collectors";

/// The typed calls on one shard. Cheap to clone; all clones share one connection.
#[derive(Debug, Clone)]
pub struct Link {
    commands: Commands,
    keys: Keys,
    scripts: Arc<Scripts>,
}

impl Link {
    /// The link of `shard` over an open connection, with the standard scripts.
    #[must_use]
    pub fn new(commands: Commands, shard: Shard) -> Self {
        Self::with_scripts(commands, shard, Scripts::standard())
    }

    /// The link with other scripts than the standard ones; only the tests of the guards do this.
    #[must_use]
    pub fn with_scripts(commands: Commands, shard: Shard, scripts: Arc<Scripts>) -> Self {
        Self { commands, keys: Keys::new(shard), scripts }
    }

    #[must_use]
    pub fn shard(&self) -> Shard {
        self.keys.shard()
    }

    /// The connection's owner: used to make links of other shards and blocking readers.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Runs a script between its two crash points and reads the reply's word.
    async fn run(&self, script: &NamedScript, invocation: &ScriptInvocation<'_>) -> Result<Reply, LinkError> {
        crate::crash_point!(script.before);
        let value = self.commands.invoke(&self.keys, script.name, invocation).await?;
        crate::crash_point!(script.after);
        Reply::read(script.name, value)
    }

    /// Runs a plain read that an answer may rest on.
    async fn query(&self, call: &'static str, command: &redis::Cmd) -> Result<Value, LinkError> {
        self.commands.query(&self.keys, call, command).await
    }
}

/// One part of one log entry on one target, `<seq>/<part>`: what is bound to a chain nonce and waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    pub seq: u64,
    pub part: u16,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.seq, self.part)
    }
}

impl FromStr for Item {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split_once('/')
            .and_then(|(seq, part)| Some(Self { seq: seq.parse().ok()?, part: part.parse().ok()? }))
            .ok_or(IdError { what: "item", form: "<seq>/<part>" })
    }
}

/// Checks that a batch is within its bound before anything is sent.
fn bounded(call: &'static str, what: &'static str, len: usize, max: usize) -> Result<(), LinkError> {
    if len <= max { Ok(()) } else { Err(LinkError::Bound { call, what, len, max }) }
}

/// The field of `:head` with a target's watermark: the last log entry relayed to it.
fn watermark_field(target: &Name) -> String {
    format!("wm:{target}")
}

/// The field of `:head` with the log entry of the last REWIND of a target.
fn rewind_field(target: &Name) -> String {
    format!("rw:{target}")
}

/// An optional value as a script argument: its text, or an empty one for "none".
fn optional<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
