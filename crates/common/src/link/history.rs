//! A member's own pending entries in `:requests`, listed without counting them as delivered again.
//!
//! Delivery counts tell poison, so they must rise by take-overs alone. XREADGROUP from an id raises them at
//! every reconnect; so the entries are listed by XPENDING and read by XRANGE, which raise nothing. What a
//! process finds under its name in its first pass was begun by a process before it, which has died: that is
//! a take-over and counts, before the entry is given out. XCLAIM writes the count itself, so a repeat after
//! a lost reply does not count twice.

use redis::Value;

use super::{COLLECTORS_GROUP, Delivered, Entry, Link, LinkError, Stream, StreamId, reply};

/// A pending entry of this member.
#[derive(Debug, Clone, Copy)]
struct Own {
    id: StreamId,
    /// How often it was delivered, the take-over of the first pass included.
    deliveries: u64,
}

/// A pass through the own pending entries, page by page.
#[derive(Debug)]
pub(super) struct History {
    /// Where the pass is; `None` = through.
    cursor: Option<StreamId>,
    /// In the first pass of the process: the entries were left by a process before it.
    is_first: bool,
    /// The page under way. It is kept over failures, so that each of its entries counts once.
    page: Vec<Own>,
}

impl History {
    pub(super) const fn new() -> Self {
        Self { cursor: Some(StreamId::ZERO), is_first: true, page: Vec::new() }
    }

    pub(super) const fn is_first(&self) -> bool {
        self.is_first
    }

    /// Begins a new pass, unless the first is not through: that one goes on where it was.
    pub(super) fn again(&mut self) {
        if !self.is_first {
            *self = Self { is_first: false, ..Self::new() };
        }
    }

    /// The next page with at least one entry; empty = through.
    pub(super) async fn next(&mut self, link: &Link, count: usize) -> Result<Vec<Delivered>, LinkError> {
        while let Some(cursor) = self.cursor {
            if self.page.is_empty() {
                self.page = link.own_pending(cursor, count).await?;
                if self.is_first {
                    self.page.iter_mut().for_each(|own| own.deliveries += 1);
                }
            }
            if self.is_first {
                link.count_taken(&self.page).await?;
            }
            let delivered = link.read_own(&self.page).await?;
            self.cursor = self.page.last().map(|own| own.id);
            self.page.clear();
            if self.cursor.is_none() {
                self.is_first = false;
            }
            if !delivered.is_empty() {
                return Ok(delivered);
            }
        }
        Ok(Vec::new())
    }
}

impl Link {
    /// Up to `count` own pending entries after `after`.
    async fn own_pending(&self, after: StreamId, count: usize) -> Result<Vec<Own>, LinkError> {
        const CALL: &str = "XPENDING";
        let mut command = redis::cmd(CALL);
        command.arg(Stream::Requests.key(&self.keys)).arg(COLLECTORS_GROUP);
        command.arg(format!("({after}")).arg("+").arg(count).arg(self.commands.instance().as_str());
        let rows = reply::array(CALL, self.query(CALL, &command).await?)?;
        let own = |row| {
            let mut columns = reply::array(CALL, row)?.into_iter();
            let id = reply::parsed(CALL, columns.next())?;
            // Between the two: the member's name and the idle time.
            Ok(Own { id, deliveries: reply::parsed(CALL, columns.nth(2))? })
        };
        rows.into_iter().map(own).collect()
    }

    /// Writes the delivery counts of entries that are taken over from an earlier process of this name.
    async fn count_taken(&self, page: &[Own]) -> Result<(), LinkError> {
        const CALL: &str = "XCLAIM";
        if page.is_empty() {
            return Ok(());
        }
        let key = Stream::Requests.key(&self.keys);
        let mut pipeline = redis::pipe();
        for own in page {
            let claim = pipeline.cmd(CALL).arg(&key).arg(COLLECTORS_GROUP);
            claim.arg(self.commands.instance().as_str()).arg(0).arg(own.id.to_string());
            claim.arg("RETRYCOUNT").arg(own.deliveries).arg("JUSTID");
        }
        self.commands.query_all(&self.keys, CALL, &pipeline).await.map(drop)
    }

    /// The entries themselves. One that is gone from the stream leaves the pending list too.
    async fn read_own(&self, page: &[Own]) -> Result<Vec<Delivered>, LinkError> {
        const CALL: &str = "XRANGE";
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let key = Stream::Requests.key(&self.keys);
        let mut pipeline = redis::pipe();
        for own in page {
            let id = own.id.to_string();
            pipeline.cmd(CALL).arg(&key).arg(&id).arg(&id);
        }
        let found: Vec<Value> = self.commands.query_all(&self.keys, CALL, &pipeline).await?;
        let (mut delivered, mut gone) = (Vec::with_capacity(page.len()), Vec::new());
        for (own, value) in page.iter().zip(found) {
            match Entry::list(CALL, value)?.pop() {
                Some(entry) => {
                    delivered.push(Delivered { message: entry.into_message(), deliveries: own.deliveries });
                }
                None => gone.push(own.id),
            }
        }
        self.forget(&gone).await?;
        Ok(delivered)
    }

    /// An entry deleted while pending stays in the pending list until it is acknowledged.
    async fn forget(&self, gone: &[StreamId]) -> Result<(), LinkError> {
        const CALL: &str = "XACK";
        if gone.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd(CALL);
        command.arg(Stream::Requests.key(&self.keys)).arg(COLLECTORS_GROUP);
        for id in gone {
            command.arg(id.to_string());
        }
        self.query(CALL, &command).await.map(drop)
    }
}
