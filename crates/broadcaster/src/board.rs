//! What the lanes of this process say of themselves, for `GET /v1/targets` and readiness. Written by lanes only;
//! reading it touches neither Redis nor a chain.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use common::ids::{Name, Shard};
use serde::Serialize;

use crate::alarm::Alarm;
use crate::target::Trouble;

/// What a lane is doing in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    #[default]
    Starting,
    /// Another replica drives it.
    Standby,
    /// This process drives it.
    Driving,
    /// Driven, but nothing new is bound.
    Paused,
    /// The target or Redis fails; tried again by itself.
    Retrying,
    /// Nothing is sent until an operator has looked; see the error's code.
    Stopped,
}

/// The last thing that stood in a lane's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LastError {
    pub(crate) code: String,
    pub(crate) detail: String,
    /// RFC 3339.
    pub(crate) at: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) phase: Phase,
    pub(crate) in_flight: usize,
    pub(crate) last_error: Option<LastError>,
    pub(crate) alarms: Vec<Alarm>,
    /// The sender's address; `None` for targets without one.
    pub(crate) sender: Option<String>,
    pub(crate) balance_wei: Option<String>,
}

type Lanes = BTreeMap<(Shard, Name), Report>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    lanes: Arc<RwLock<Lanes>>,
}

impl Board {
    pub(crate) fn update(&self, shard: Shard, target: &Name, change: impl FnOnce(&mut Report)) {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        change(lanes.entry((shard, target.clone())).or_default());
    }

    pub(crate) fn read(&self, shard: Shard, target: &Name) -> Report {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.get(&(shard, target.clone())).cloned().unwrap_or_default()
    }
}

impl LastError {
    pub(crate) fn now(trouble: &Trouble) -> Self {
        Self {
            code: trouble.code.clone(),
            detail: trouble.detail.clone(),
            at: jiff::Timestamp::now().to_string(),
        }
    }
}
