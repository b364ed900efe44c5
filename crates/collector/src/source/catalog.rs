//! The sources file: `{"sources": [{"name", "kind", "in_flight_max", …}]}`; the kind's own fields are
//! documented in its module.
//!
//! Every fault of every source is reported together. Two `evm_logs` sources that map one contract to
//! different assets are a fault: one event would speak of two assets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use common::ids::{AssetId, Name};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::evm_logs::{self, Chain, EvmLogs};
use super::http_json::{self, HttpJson};
use super::null::{self, NullSource};
use super::{Source, named};

const TIMEOUT_MS_MAX: u64 = 30_000;
const IN_FLIGHT_MAX: usize = 1_024;
const SOURCES_MAX: usize = 256;

/// The sources file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("cannot read the sources file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the sources file {path} is not valid")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}", .faults.join("; "))]
    Faults { faults: Vec<String> },
}

/// What a source can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    HttpJson,
    EvmLogs,
    Null,
}

impl Kind {
    /// Whether it may stand in `event_sources`.
    pub(crate) const fn has_events(self) -> bool {
        matches!(self, Self::EvmLogs | Self::Null)
    }

    /// Whether it may stand in `external_apis`.
    pub(crate) const fn has_values(self) -> bool {
        matches!(self, Self::HttpJson | Self::Null)
    }
}

/// One configured source: what the actor builds it from, again after each crash.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(super) in_flight_max: usize,
    settings: KindSettings,
}

#[derive(Debug, Clone)]
enum KindSettings {
    HttpJson(http_json::Settings),
    EvmLogs(evm_logs::Settings),
    Null(null::Settings),
}

/// All configured sources, each checked by building it once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    pub(super) entries: BTreeMap<Name, Entry>,
}

/// The fields every source has.
#[derive(Deserialize)]
struct Shared {
    name: Name,
    kind: String,
    #[serde(default = "in_flight_max_default")]
    in_flight_max: usize,
}

fn in_flight_max_default() -> usize {
    64
}

pub(super) fn timeout_ms_default() -> u64 {
    5_000
}

/// # Errors
/// It is out of bounds, as a sentence part.
pub(super) fn timeout(ms: u64) -> Result<Duration, String> {
    if (1..=TIMEOUT_MS_MAX).contains(&ms) {
        Ok(Duration::from_millis(ms))
    } else {
        Err(format!("timeout_ms: expected 1 to {TIMEOUT_MS_MAX}"))
    }
}

impl Catalog {
    /// # Errors
    /// The file cannot be read, is not of the form above, or a source's settings have faults.
    pub(crate) fn load(path: &Path) -> Result<Self, CatalogError> {
        let bytes =
            std::fs::read(path).map_err(|source| CatalogError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|error| match error {
            ParseError::Json(source) => CatalogError::Json { path: path.to_owned(), source },
            ParseError::Faults(faults) => CatalogError::Faults { faults },
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            sources: Vec<Map<String, Value>>,
        }
        let file: File = serde_json::from_slice(bytes).map_err(ParseError::Json)?;
        let (mut entries, mut faults) = (BTreeMap::new(), Vec::new());
        if file.sources.len() > SOURCES_MAX {
            faults.push(format!("sources: at most {SOURCES_MAX}"));
        }
        let mut claims: BTreeMap<String, (Name, AssetId)> = BTreeMap::new();
        for (index, fields) in file.sources.into_iter().enumerate() {
            let (name, entry) = match Entry::read(fields) {
                Ok(read) => read,
                Err(detail) => {
                    faults.push(format!("sources/{index}: {detail}"));
                    continue;
                }
            };
            if let Err(detail) = entry.build(&name) {
                faults.push(named(&name, detail));
            }
            if let KindSettings::EvmLogs(settings) = &entry.settings {
                let (contract, asset) = settings.claim();
                let (first, claimed) =
                    claims.entry(contract).or_insert_with(|| (name.clone(), asset.clone()));
                if *claimed != asset {
                    let detail = format!("its contract is mapped to {claimed} by source {first}");
                    faults.push(named(&name, detail));
                }
            }
            if entries.insert(name.clone(), entry).is_some() {
                faults.push(named(&name, "is named twice"));
            }
        }
        if faults.is_empty() { Ok(Self { entries }) } else { Err(ParseError::Faults(faults)) }
    }

    /// The sources whose chains are followed.
    pub(crate) fn followed(&self) -> Vec<&Name> {
        let is_followed = |entry: &Entry| matches!(entry.settings, KindSettings::EvmLogs(_));
        self.entries.iter().filter(|(_, entry)| is_followed(entry)).map(|(name, _)| name).collect()
    }

    /// The chains to be followed for what is handed out of them, with the sources' names.
    ///
    /// # Errors
    /// A fault of the settings, as a sentence part; none for a catalog that was loaded.
    pub(crate) fn chains(&self) -> Result<Vec<(Name, Chain)>, String> {
        let chain = |(name, entry): (&Name, &Entry)| match &entry.settings {
            KindSettings::EvmLogs(settings) => Some(settings.chain(name).map(|chain| (name.clone(), chain))),
            KindSettings::HttpJson(_) | KindSettings::Null(_) => None,
        };
        self.entries.iter().filter_map(chain).collect()
    }

    /// The kind of a configured source.
    pub(crate) fn kind(&self, name: &Name) -> Option<Kind> {
        self.entries.get(name).map(|entry| match entry.settings {
            KindSettings::HttpJson(_) => Kind::HttpJson,
            KindSettings::EvmLogs(_) => Kind::EvmLogs,
            KindSettings::Null(_) => Kind::Null,
        })
    }
}

#[derive(Debug)]
enum ParseError {
    Json(serde_json::Error),
    Faults(Vec<String>),
}

impl Entry {
    fn read(mut fields: Map<String, Value>) -> Result<(Name, Self), String> {
        let mut shared = Map::new();
        for field in ["name", "kind", "in_flight_max"] {
            if let Some(value) = fields.remove(field) {
                shared.insert(field.to_owned(), value);
            }
        }
        let shared: Shared =
            serde_json::from_value(Value::Object(shared)).map_err(|error| error.to_string())?;
        if !(1..=IN_FLIGHT_MAX).contains(&shared.in_flight_max) {
            return Err(format!("in_flight_max: expected 1 to {IN_FLIGHT_MAX}"));
        }
        let own = Value::Object(fields);
        let settings = match shared.kind.as_str() {
            "http_json" => serde_json::from_value(own).map(KindSettings::HttpJson),
            "evm_logs" => serde_json::from_value(own).map(KindSettings::EvmLogs),
            "null" => serde_json::from_value(own).map(KindSettings::Null),
            kind => return Err(format!("kind {kind:?}: expected http_json, evm_logs or null")),
        };
        let settings = settings.map_err(|error| error.to_string())?;
        Ok((shared.name, Self { in_flight_max: shared.in_flight_max, settings }))
    }

    /// Makes the source anew, with connections of its own.
    ///
    /// # Errors
    /// A fault of the settings, as a sentence part; none for an entry of a [`Catalog`].
    pub(super) fn build(&self, name: &Name) -> Result<Rc<dyn Source>, String> {
        Ok(match &self.settings {
            KindSettings::HttpJson(settings) => Rc::new(HttpJson::new(name.clone(), settings)?),
            KindSettings::EvmLogs(settings) => Rc::new(EvmLogs::new(name.clone(), settings)?),
            KindSettings::Null(settings) => Rc::new(NullSource::new(name.clone(), settings)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalog, ParseError};

    fn faults(json: &str) -> Vec<String> {
        match Catalog::parse(json.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(ParseError::Faults(faults)) => faults,
            Err(ParseError::Json(error)) => vec![error.to_string()],
        }
    }

    fn evm(name: &str, asset: &str) -> String {
        format!(
            r#"{{"name": "{name}", "kind": "evm_logs", "rpc": ["http://127.0.0.1:1"], "chain": "eip155:1",
                "address": "0x00000000000000000000000000000000000000aa", "asset": "{asset}",
                "topics": ["Transfer(address,address,uint256)"], "mint_from_zero": true}}"#
        )
    }

    #[test]
    fn all_three_kinds_are_read() {
        let file = format!(
            r#"{{"sources": [{}, {{"name": "n", "kind": "null", "delay_ms": 5}},
                {{"name": "h", "kind": "http_json", "urls": ["https://x.example/"], "hosts": ["x.example"]}}]}}"#,
            evm("e", "bond:X")
        );
        assert_eq!(faults(&file), Vec::<String>::new());
    }

    #[test]
    fn one_contract_mapped_to_two_assets_is_refused_and_to_one_asset_twice_is_not() {
        let two = format!(r#"{{"sources": [{}, {}]}}"#, evm("a", "bond:X"), evm("b", "bond:Y"));
        assert_eq!(faults(&two), ["source b: its contract is mapped to bond:X by source a"]);
        let same = format!(r#"{{"sources": [{}, {}]}}"#, evm("a", "bond:X"), evm("b", "bond:X"));
        assert_eq!(faults(&same), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_reported_with_its_source() {
        let file = r#"{"sources": [
            {"name": "a", "kind": "null", "delay": 1},
            {"name": "b", "kind": "carrier_pigeon"},
            {"name": "c", "kind": "http_json", "urls": ["http://x.example/"], "hosts": ["x.example"]},
            {"name": "d", "kind": "null"}, {"name": "d", "kind": "null"},
            {"name": "E", "kind": "null"}, {"name": "f", "kind": "null", "in_flight_max": 0}]}"#;
        let faults = faults(file);
        let expected = [
            "unknown field `delay`",
            "carrier_pigeon",
            "source c: urls",
            "source d: is named twice",
            "name",
            "in_flight_max",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{part} in {fault}");
        }
    }
}
