//! The log of one asset: what entries may follow, and the update each of them emits per chain.

use super::{Chain, JoinFrom, RevertFrom, Rule};

/// A set of changes, as bits; change n is the n-th that was ever logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content(u16);

impl Content {
    pub fn meets(self, other: Content) -> bool {
        self.0 & other.0 != 0
    }

    fn without(self, other: Content) -> Content {
        Content(self.0 & !other.0)
    }

    fn with(self, change: usize) -> Content {
        Content(self.0 | 1 << change)
    }

    fn has(self, change: usize) -> bool {
        self.0 >> change & 1 == 1
    }

    /// Every subset but the empty one.
    fn parts(self) -> impl Iterator<Item = Content> {
        (1..=self.0).filter(move |part| part & !self.0 == 0).map(Content)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One or several changes of the asset in one entry: the version goes up by that many.
    Batch { changes: u8 },
    /// A change by which the second chain joins.
    Join,
    /// A rollback of any of the live changes; the others stay.
    Revert { undone: Content },
}

/// What an entry tells one chain. Versions are the asset's, counted from 1; 0 = not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    pub entry: usize,
    pub from: u8,
    pub version: u8,
    /// The live changes at `version`: stands for the state hash.
    pub content: Content,
    /// The live changes that came after `from`: what a chain at `from` learns by it.
    pub carries: Content,
    /// Set in a REVERT.
    pub undoes: Option<Content>,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    pub entries: Vec<Entry>,
    /// Of each change the version it came with, and whether the second chain joined by it.
    changes: Vec<(u8, bool)>,
    live: Content,
    version: u8,
    first: Vec<Update>,
    second: Vec<Update>,
}

impl Log {
    pub fn updates(&self, chain: Chain) -> &[Update] {
        match chain {
            Chain::First => &self.first,
            Chain::Second => &self.second,
        }
    }

    /// Every entry that may come next.
    pub fn choices(&self) -> Vec<Entry> {
        let mut choices = vec![Entry::Batch { changes: 1 }, Entry::Batch { changes: 2 }];
        if !self.entries.is_empty() && !self.on_second() {
            choices.push(Entry::Join);
        }
        choices.extend(self.live.parts().map(|undone| Entry::Revert { undone }));
        choices
    }

    /// The log with one more entry.
    #[must_use]
    pub fn with(&self, entry: Entry, rule: &Rule) -> Log {
        let mut next = self.clone();
        next.entries.push(entry);
        let undoes = match entry {
            Entry::Batch { changes } => {
                (0..changes).for_each(|_| next.add_change(false));
                None
            }
            Entry::Join => {
                next.add_change(true);
                None
            }
            Entry::Revert { undone } => {
                next.version += 1;
                next.live = next.live.without(undone);
                Some(undone)
            }
        };
        next.emit(Chain::First, undoes, rule);
        // A REVERT also tells the chains that the asset leaves by it.
        if next.on_second() || (undoes.is_some() && self.on_second()) {
            next.emit(Chain::Second, undoes, rule);
        }
        next
    }

    fn add_change(&mut self, joins: bool) {
        self.version += 1;
        self.live = self.live.with(self.changes.len());
        self.changes.push((self.version, joins));
    }

    fn on_second(&self) -> bool {
        self.changes.iter().enumerate().any(|(change, (_, joins))| *joins && self.live.has(change))
    }

    fn emit(&mut self, chain: Chain, undoes: Option<Content>, rule: &Rule) {
        let earlier = self.updates(chain);
        let joins = chain == Chain::Second && self.entries.last() == Some(&Entry::Join);
        let previous = match (joins, rule.join_from) {
            (true, JoinFrom::Zero) => 0,
            _ => earlier.last().map_or(0, |update| update.version),
        };
        let from = undoes.map_or(previous, |undone| {
            let mut carriers =
                earlier.iter().filter(|update| update.carries.meets(undone)).map(|update| update.from);
            match rule.revert_from {
                RevertFrom::LowestCarrier => carriers.min(),
                RevertFrom::FirstCarrier => carriers.next(),
                RevertFrom::PreviousVersion => None,
            }
            .unwrap_or(previous)
        });
        let carries = (0..self.changes.len())
            .filter(|change| {
                self.live.has(*change) && self.changes.get(*change).is_some_and(|(at, _)| *at > from)
            })
            .fold(Content::default(), Content::with);
        let update = Update {
            entry: self.entries.len() - 1,
            from,
            version: self.version,
            content: self.live,
            carries,
            undoes,
        };
        match chain {
            Chain::First => self.first.push(update),
            Chain::Second => self.second.push(update),
        }
    }
}
