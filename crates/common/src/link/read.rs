//! Plain reads. Each rests on a barrier write after the last (re)connect, see [`super::Commands`].

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use redis::Value;

use super::progress::EntryProgress;
use super::{
    Control, Entry, Item, Link, LinkError, Message, Stream, StreamId, reply, rewind_field, watermark_field,
};
use crate::hash::Digest;
use crate::ids::Name;

/// The head of a shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The last entry; 0 = the log is empty.
    pub seq: u64,
    /// Its digest; [`Digest::ZERO`] if the log is empty.
    pub digest: Digest,
    /// The state root after it; `None` if the log is empty.
    pub root: Option<Digest>,
    /// The last entry that may leave for a target.
    pub stable: u64,
    /// The last REVERT; 0 = none.
    pub barrier: u64,
    /// SHA-256 of the logged target list.
    pub targets: Option<Digest>,
    /// Per target the last relayed entry.
    pub watermarks: BTreeMap<String, u64>,
    /// Per target the entry of its last REWIND.
    pub rewinds: BTreeMap<String, u64>,
}

/// Lengths of the working streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    pub requests: u64,
    pub input: u64,
    pub express: u64,
    pub receipts: u64,
    pub parked: u64,
    pub dead_letters: u64,
    pub log: u64,
}

/// One entry of `:log` as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntry {
    pub seq: u64,
    pub v: u32,
    pub prev: Digest,
    pub digest: Digest,
    /// JSON, byte for byte.
    pub body: Vec<u8>,
}

/// One signed transaction of a nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAttempt {
    pub raw: Vec<u8>,
    pub tx_hash: String,
    pub fee: String,
}

/// All that is kept of one nonce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw {
    /// The items of its last attempt; empty = gap filler.
    pub items: Vec<Item>,
    pub attempts: BTreeMap<u32, RawAttempt>,
}

/// Everything a lane's owner needs to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneState {
    /// The lowest nonce never handed out.
    pub next_nonce: u64,
    /// The chain has finally used all nonces below this one.
    pub used: u64,
    pub attempts: u64,
    /// `head.barrier`.
    pub barrier: u64,
    /// `rw:<target>`: carry it with BIND, STORE, REBIND and DONE.
    pub rewind: u64,
    pub watermark: Option<u64>,
    pub binds: BTreeMap<Item, u64>,
    /// Nonces that hold a gap filler.
    pub fillers: BTreeSet<u64>,
    pub waits: BTreeMap<Item, u64>,
    /// Per bound nonce; one that was bound but never stored has no attempts.
    pub raws: BTreeMap<u64, Raw>,
}

impl Link {
    /// The head of the log; an empty log has `seq` 0.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn head(&self) -> Result<Head, LinkError> {
        const CALL: &str = "HGETALL head";
        let value = self.query(CALL, redis::cmd("HGETALL").arg(self.keys.head())).await?;
        let fields = texts(CALL, value)?;
        let number = |name: &str| fields.get(name).map_or(Ok(0), |text| reply::parse(CALL, text));
        let digest = |name: &str| fields.get(name).map(|text| reply::parse(CALL, text)).transpose();
        Ok(Head {
            seq: number("seq")?,
            digest: digest("digest")?.unwrap_or(Digest::ZERO),
            root: digest("root")?,
            stable: number("stable")?,
            barrier: number("barrier")?,
            targets: digest("targets")?,
            watermarks: prefixed(CALL, &fields, "wm:")?,
            rewinds: prefixed(CALL, &fields, "rw:")?,
        })
    }

    /// # Errors
    /// See [`LinkError`].
    pub async fn backlog(&self) -> Result<Backlog, LinkError> {
        const CALL: &str = "XLEN";
        let keys = &self.keys;
        let mut pipeline = redis::pipe();
        let streams = [
            keys.requests(),
            keys.input(),
            keys.input_express(),
            keys.receipts(),
            keys.parked(),
            keys.dead_letters(),
            keys.log(),
        ];
        for key in streams {
            pipeline.cmd("XLEN").arg(key);
        }
        let mut lengths = self.commands.query_all(keys, CALL, &pipeline).await?.into_iter();
        let mut next = || reply::parsed(CALL, lengths.next());
        Ok(Backlog {
            requests: next()?,
            input: next()?,
            express: next()?,
            receipts: next()?,
            parked: next()?,
            dead_letters: next()?,
            log: next()?,
        })
    }

    /// Up to `count` messages from the front of a stream. In the validator's inputs all of them are
    /// uncommitted, as COMMIT deletes what it consumes.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn front(&self, stream: Stream, count: usize) -> Result<Vec<Message>, LinkError> {
        self.after(stream, StreamId::ZERO, count).await
    }

    /// Up to `count` messages after an id: what follows a COMMIT in flight. The cursor is a hint; it
    /// starts at the front again after every lease and reconnect.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn after(&self, stream: Stream, id: StreamId, count: usize) -> Result<Vec<Message>, LinkError> {
        let entries = self.range(stream.key(&self.keys), id.next(), count).await?;
        Ok(entries.into_iter().map(Entry::into_message).collect())
    }

    /// Up to `count` log entries from `from_seq` on. The first one's seq is larger if the log was trimmed.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn log_range(&self, from_seq: u64, count: usize) -> Result<Vec<LoggedEntry>, LinkError> {
        let entries = self.range(self.keys.log(), StreamId::of_seq(from_seq), count).await?;
        entries.iter().map(LoggedEntry::read).collect()
    }

    /// Up to `count` outbox entries of a target after `seq` (0 = from the front); ids are `<seq>-0`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn out_after(&self, target: &Name, seq: u64, count: usize) -> Result<Vec<Message>, LinkError> {
        let entries = self.range(self.keys.out(target), StreamId::of_seq(seq).next(), count).await?;
        Ok(entries.into_iter().map(Entry::into_message).collect())
    }

    /// Up to `count` control entries after a cursor.
    ///
    /// # Errors
    /// See [`LinkError`]; a control entry of an unknown form is one, as it must not be passed over.
    pub async fn control_after(&self, id: StreamId, count: usize) -> Result<Vec<Control>, LinkError> {
        let entries = self.range(self.keys.control(), id.next(), count).await?;
        let unknown = |entry: &Entry| LinkError::Reply { call: "XRANGE ctl", detail: entry.id.to_string() };
        entries.iter().map(|entry| Control::read(entry).ok_or_else(|| unknown(entry))).collect()
    }

    /// How far an entry is on its targets; `None` = nothing relayed, or expired.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn progress(&self, seq: u64) -> Result<Option<EntryProgress>, LinkError> {
        Ok(self.progresses(&[seq]).await?.pop().flatten())
    }

    /// As [`Self::progress`] for several entries, in their order, in one round trip.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn progresses(&self, seqs: &[u64]) -> Result<Vec<Option<EntryProgress>>, LinkError> {
        const CALL: &str = "HGETALL prog";
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for seq in seqs {
            pipeline.cmd("HGETALL").arg(self.keys.progress(*seq));
        }
        let values = self.commands.query_all(&self.keys, CALL, &pipeline).await?;
        values.into_iter().map(|value| EntryProgress::read(CALL, reply::pairs(CALL, value)?)).collect()
    }

    /// Everything a lane's new owner needs. Read it after the lease and before the outbox: a rewind that
    /// comes between is then noticed by BIND.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lane_state(&self, target: &Name) -> Result<LaneState, LinkError> {
        const CALL: &str = "lane state";
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(self.keys.lane(target));
        pipeline.cmd("HGETALL").arg(self.keys.head());
        pipeline.cmd("HGETALL").arg(self.keys.bind(target));
        pipeline.cmd("ZRANGE").arg(self.keys.wait(target)).arg(0).arg(-1).arg("WITHSCORES");
        let mut values = self.commands.query_all(&self.keys, CALL, &pipeline).await?.into_iter();
        let mut next = || texts(CALL, values.next().unwrap_or_default());
        let (lane, head, bind, wait) = (next()?, next()?, next()?, next()?);
        let number = |text: Option<&String>| text.map(|text| reply::parse(CALL, text)).transpose();
        let mut state = LaneState {
            next_nonce: number(lane.get("next_nonce"))?.unwrap_or(0),
            used: number(lane.get("used"))?.unwrap_or(0),
            attempts: number(lane.get("attempts"))?.unwrap_or(0),
            barrier: number(head.get("barrier"))?.unwrap_or(0),
            rewind: number(head.get(&rewind_field(target)))?.unwrap_or(0),
            watermark: number(head.get(&watermark_field(target)))?,
            ..LaneState::default()
        };
        for (item, nonce) in &bind {
            let nonce = reply::parse(CALL, nonce)?;
            if item.starts_with("f/") {
                state.fillers.insert(nonce);
            } else {
                state.binds.insert(reply::parse(CALL, item)?, nonce);
            }
        }
        for (item, until) in &wait {
            state.waits.insert(reply::parse(CALL, item)?, reply::parse(CALL, until)?);
        }
        state.raws = self.raws(target, state.binds.values().chain(&state.fillers).copied().collect()).await?;
        Ok(state)
    }

    async fn raws(&self, target: &Name, nonces: BTreeSet<u64>) -> Result<BTreeMap<u64, Raw>, LinkError> {
        const CALL: &str = "HGETALL raw";
        if nonces.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut pipeline = redis::pipe();
        for nonce in &nonces {
            pipeline.cmd("HGETALL").arg(self.keys.raw(target, *nonce));
        }
        let values = self.commands.query_all(&self.keys, CALL, &pipeline).await?;
        let raws = nonces.into_iter().zip(values);
        raws.map(|(nonce, value)| Ok((nonce, Raw::read(CALL, reply::pairs(CALL, value)?)?))).collect()
    }

    pub(super) async fn range(
        &self,
        key: String,
        from: StreamId,
        count: usize,
    ) -> Result<Vec<Entry>, LinkError> {
        const CALL: &str = "XRANGE";
        let mut command = redis::cmd("XRANGE");
        command.arg(key).arg(from.to_string()).arg("+").arg("COUNT").arg(count);
        Entry::list(CALL, self.query(CALL, &command).await?)
    }
}

impl LoggedEntry {
    /// Reads an entry of `:log`.
    ///
    /// # Errors
    /// A field is missing or malformed.
    pub fn read(entry: &Entry) -> Result<Self, LinkError> {
        const CALL: &str = "XRANGE log";
        fn field<T: FromStr>(entry: &Entry, name: &str) -> Result<T, LinkError> {
            reply::parse(CALL, entry.text(name).unwrap_or_default())
        }
        Ok(Self {
            seq: field(entry, "seq")?,
            v: field(entry, "v")?,
            prev: field(entry, "prev")?,
            digest: field(entry, "digest")?,
            body: entry.field("body").unwrap_or_default().to_vec(),
        })
    }
}

impl Raw {
    fn read(call: &'static str, pairs: Vec<(String, Vec<u8>)>) -> Result<Self, LinkError> {
        let fields: BTreeMap<String, Vec<u8>> = pairs.into_iter().collect();
        let text = |name: &str| {
            fields.get(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        let mut raw = Self::default();
        for item in text("items").split(',').filter(|item| !item.is_empty()) {
            raw.items.push(reply::parse(call, item)?);
        }
        for (field, value) in &fields {
            if let Some(number) = field.strip_prefix('a') {
                let attempt = RawAttempt {
                    raw: value.clone(),
                    tx_hash: text(&format!("h{number}")),
                    fee: text(&format!("f{number}")),
                };
                raw.attempts.insert(reply::parse(call, number)?, attempt);
            }
        }
        Ok(raw)
    }
}

fn texts(call: &'static str, value: Value) -> Result<BTreeMap<String, String>, LinkError> {
    let pairs = reply::pairs(call, value)?;
    Ok(pairs
        .into_iter()
        .map(|(field, value)| (field, String::from_utf8_lossy(&value).into_owned()))
        .collect())
}

fn prefixed(
    call: &'static str,
    fields: &BTreeMap<String, String>,
    prefix: &str,
) -> Result<BTreeMap<String, u64>, LinkError> {
    let named = fields.iter().filter_map(|(field, value)| Some((field.strip_prefix(prefix)?, value)));
    named.map(|(name, value)| Ok((name.to_owned(), reply::parse(call, value)?))).collect()
}
