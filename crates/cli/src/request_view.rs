//! A sync request as the collector shows it.
//!
//! The document is kept as it came, so that `-o json` loses nothing; what the commands need of it is read
//! into typed fields. Fields this build does not know are passed over, as releases may add some.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::entry::OutcomeError;
use common::ids::{Name, Rid};
use common::status::{Delivery, Status};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::exit::Exit;
use crate::ui;

/// The typed part.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Fields {
    #[serde(rename = "id")]
    pub(crate) rid: Rid,
    pub(crate) status: Status,
    /// The log entry that decided it.
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) errors: Vec<OutcomeError>,
    #[serde(default)]
    pub(crate) targets: BTreeMap<Name, TargetView>,
    /// The log entry that last withdrew an observation of it.
    #[serde(default)]
    pub(crate) withdrawn_seq: Option<u64>,
}

/// How far one target is.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TargetView {
    #[serde(default)]
    pub(crate) state: Option<Delivery>,
    /// Transaction hashes, one per part.
    #[serde(default)]
    pub(crate) tx: Vec<String>,
    #[serde(default)]
    pub(crate) block: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct RequestView {
    pub(crate) fields: Fields,
    document: Value,
}

impl<'de> Deserialize<'de> for RequestView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        let fields = Fields::deserialize(&document).map_err(serde::de::Error::custom)?;
        Ok(Self { fields, document })
    }
}

impl Serialize for RequestView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl RequestView {
    /// What the request's state means to a script that waited for `completed` or `committed`.
    pub(crate) fn exit(&self) -> Exit {
        match self.fields.status {
            Status::Rejected | Status::Failed | Status::Cancelled | Status::Expired => Exit::Rejected,
            Status::RolledBack => Exit::RolledBack,
            _ => Exit::Done,
        }
    }

    /// Why it ended otherwise than asked, in one line.
    pub(crate) fn reason(&self) -> Option<String> {
        let code = self.fields.code.as_ref()?;
        let details: Vec<String> =
            self.fields.errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect();
        Some(if details.is_empty() { code.clone() } else { format!("{code}: {}", details.join("; ")) })
    }

    /// The result block.
    pub(crate) fn human(&self) -> String {
        let fields = &self.fields;
        let mut table = ui::table(["request", &fields.rid.to_string()]);
        table.add_row(["status", fields.status.name()]);
        if let Some(seq) = fields.seq {
            table.add_row(["log entry", &format!("{} {seq}", fields.rid.shard())]);
        }
        if let Some(reason) = self.reason() {
            table.add_row(["reason", &reason]);
        }
        if let Some(seq) = fields.withdrawn_seq {
            table.add_row(["withdrawn", &format!("what it rests on is gone: log entry {seq}")]);
        }
        for (name, target) in &fields.targets {
            let state = target.state.map_or("waiting", Delivery::name);
            let mut cell = state.to_owned();
            for tx in &target.tx {
                cell.push_str("  ");
                cell.push_str(tx);
            }
            if let Some(block) = target.block {
                let _infallible = write!(cell, "  block {block}");
            }
            table.add_row([name.as_str(), &cell]);
        }
        table.to_string()
    }
}
