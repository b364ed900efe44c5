//! From a raw log to a ledger event in our terms, as the source's settings say. Pure.

use std::collections::BTreeMap;

use common::amount::Amount;
use common::bridge::Address;
use common::hash::Digest;
use common::ids::{Account, AssetId};
use common::observation::{LedgerEvent, LedgerEventKind};
use serde::Deserialize;
use sha3::{Digest as _, Keccak256};

use super::Settings;
use super::rpc::Log;

const TOPICS_MAX: usize = 8;
const WORD_BYTES: usize = 32;

/// What an event of the configured signatures means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meaning {
    #[default]
    Transfer,
    Mint,
    Burn,
}

/// Where the event's arguments stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Words {
    from: Word,
    to: Word,
    amount: Word,
}

impl Default for Words {
    /// The places of ERC-20's `Transfer(address indexed from, address indexed to, uint256 value)`.
    fn default() -> Self {
        Self { from: Word::Topic(1), to: Word::Topic(2), amount: Word::Data(0) }
    }
}

/// One 32-byte word of a log: `topics/<n>` or `data/<n>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Word {
    Topic(usize),
    Data(usize),
}

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let place = text.split_once('/').and_then(|(part, index)| Some((part, index.parse().ok()?)));
        match place {
            Some(("topics", index @ 1..=3)) => Ok(Self::Topic(index)),
            Some(("data", index @ 0..=31)) => Ok(Self::Data(index)),
            _ => Err(format!("{text:?}: expected topics/1 to topics/3 or data/0 to data/31")),
        }
    }
}

/// The settings that give a log its meaning.
#[derive(Debug)]
pub(super) struct Mapping {
    chain: String,
    chain_id: u64,
    address: Address,
    asset: AssetId,
    topics: Vec<Digest>,
    meaning: Meaning,
    mint_from_zero: bool,
    words: Words,
    accounts: BTreeMap<Address, Account>,
}

impl Mapping {
    /// # Errors
    /// A fault of the settings, as a sentence part.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let chain_id = settings
            .chain
            .strip_prefix("eip155:")
            .and_then(|id| id.parse::<u64>().ok())
            .filter(|id| settings.chain == format!("eip155:{id}"))
            .ok_or_else(|| format!("chain: {:?}: expected eip155:<number>", settings.chain))?;
        if settings.topics.is_empty() || settings.topics.len() > TOPICS_MAX {
            return Err(format!("topics: expected 1 to {TOPICS_MAX}"));
        }
        if settings.mint_from_zero && settings.event != Meaning::Transfer {
            return Err("mint_from_zero: only for event transfer".to_owned());
        }
        Ok(Self {
            chain: settings.chain.clone(),
            chain_id,
            address: settings.address,
            asset: settings.asset.clone(),
            topics: settings.topics.iter().map(|topic| topic_hash(topic)).collect::<Result<_, _>>()?,
            meaning: settings.event,
            mint_from_zero: settings.mint_from_zero,
            words: settings.words,
            accounts: settings.accounts.clone(),
        })
    }

    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    pub(super) const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub(super) const fn address(&self) -> Address {
        self.address
    }

    pub(super) fn topics(&self) -> &[Digest] {
        &self.topics
    }

    /// # Errors
    /// Why the log is not an event of this source, as a sentence part.
    pub(super) fn event(&self, log: &Log) -> Result<LedgerEvent, String> {
        if log.address != self.address {
            return Err(format!("the log is of contract {}", log.address));
        }
        if log.removed {
            return Err("the log was removed by a reorganisation".to_owned());
        }
        if !log.topics.first().is_some_and(|topic| self.topics.contains(topic)) {
            return Err("the log is of another event".to_owned());
        }
        let amount = amount(&word(log, self.words.amount)?)?;
        let party = |place| word(log, place).and_then(|word| address(&word));
        let (from, to) = match self.meaning {
            Meaning::Mint => (None, Some(party(self.words.to)?)),
            Meaning::Burn => (Some(party(self.words.from)?), None),
            Meaning::Transfer => {
                let is_kept = |address: &Address| !(self.mint_from_zero && address.0 == [0; 20]);
                let (from, to) = (party(self.words.from)?, party(self.words.to)?);
                (Some(from).filter(is_kept), Some(to).filter(is_kept))
            }
        };
        let event = match (from, to) {
            (None, None) => return Err("the event names no party".to_owned()),
            (None, Some(_)) => LedgerEventKind::Mint,
            (Some(_), None) => LedgerEventKind::Burn,
            (Some(_), Some(_)) => LedgerEventKind::Transfer,
        };
        Ok(LedgerEvent {
            asset: self.asset.clone(),
            event,
            from: from.map(|address| self.account(address)).transpose()?,
            to: to.map(|address| self.account(address)).transpose()?,
            amount,
        })
    }

    fn account(&self, address: Address) -> Result<Account, String> {
        if let Some(account) = self.accounts.get(&address) {
            return Ok(account.clone());
        }
        format!("{}:{address}", self.chain).parse().map_err(|error: common::ids::IdError| error.to_string())
    }
}

fn topic_hash(topic: &str) -> Result<Digest, String> {
    if topic.starts_with("0x") {
        return topic.parse().map_err(|error| format!("topics: {topic:?}: {error}"));
    }
    if !topic.ends_with(')') || !topic.contains('(') || topic.contains(char::is_whitespace) {
        return Err(format!("topics: {topic:?}: expected Name(type,type) without spaces, or a 0x hash"));
    }
    Ok(Digest(Keccak256::digest(topic.as_bytes()).into()))
}

fn word(log: &Log, place: Word) -> Result<[u8; WORD_BYTES], String> {
    let found = match place {
        Word::Topic(index) => log.topics.get(index).map(|topic| topic.0),
        Word::Data(index) => {
            let data = hex::decode(&log.data).map_err(|error| format!("data is not hex: {error}"))?;
            let (words, _) = data.as_chunks::<WORD_BYTES>();
            words.get(index).copied()
        }
    };
    found.ok_or_else(|| format!("the log has no word at {place:?}"))
}

fn address(word: &[u8; WORD_BYTES]) -> Result<Address, String> {
    match word.split_last_chunk::<20>() {
        Some((head, address)) if head.iter().all(|byte| *byte == 0) => Ok(Address(*address)),
        _ => Err("an argument is not an address".to_owned()),
    }
}

fn amount(word: &[u8; WORD_BYTES]) -> Result<Amount, String> {
    match word.split_last_chunk::<16>() {
        Some((head, amount)) if head.iter().all(|byte| *byte == 0) => {
            Ok(Amount::new(u128::from_be_bytes(*amount)))
        }
        _ => Err("the amount does not fit into 128 bits".to_owned()),
    }
}

#[cfg(test)]
mod tests;
