//! What `:status` and `:ctl` say. Both are hints or orders read with an own cursor; neither is the truth.

use super::{Entry, StreamId};
use crate::ids::{Name, Rid};
use crate::status::Delivery;

/// One entry of `:status`: look again, something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// Fields `seq rids` (comma-separated): COMMIT has written the records of these requests.
    Committed { seq: u64, rids: Vec<Rid> },
    /// Fields `seq target state`: PROGRESS or DONE has moved an entry's delivery.
    Delivery { seq: u64, target: Name, state: Delivery },
}

impl Notification {
    /// `None` for an entry of a form this version does not know: a lost hint, which readers survive.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<Self> {
        let seq = entry.text("seq")?.parse().ok()?;
        if let Some(rids) = entry.text("rids") {
            let rids = rids
                .split(',')
                .filter(|rid| !rid.is_empty())
                .map(str::parse)
                .collect::<Result<_, _>>()
                .ok()?;
            return Some(Self::Committed { seq, rids });
        }
        let target = entry.text("target")?.parse().ok()?;
        Some(Self::Delivery { seq, target, state: Delivery::from_name(entry.text("state")?)? })
    }
}

/// One entry of `:ctl`, fields `kind seq m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The cursor's value once it is carried out.
    pub id: StreamId,
    /// `revert` for a rollback barrier.
    pub kind: String,
    /// The log entry it comes from.
    pub seq: u64,
    /// A REVERT's covers, JSON.
    pub payload: Vec<u8>,
}

impl Control {
    /// `None` for a form this version does not know: unlike a hint it must not be passed over.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<Self> {
        Some(Self {
            id: entry.id,
            kind: entry.text("kind")?.to_owned(),
            seq: entry.text("seq")?.parse().ok()?,
            payload: entry.field("m")?.to_vec(),
        })
    }
}
