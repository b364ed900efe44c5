//! Conditions that last and that an operator should mend: since when they hold, and that they are over.
//!
//! In: what a look at a target or a round of delivery has found, each time the whole of it. Out: the changes, each to be told
//! once. Beside them a lane has a last error, which tells what happened and does not end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::target::Trouble;

/// Who has looked: what one of them finds says nothing of what the other found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Examination,
    Delivery,
}

/// An alarm as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Alarm {
    pub(crate) code: String,
    /// As of the last look.
    pub(crate) detail: String,
    /// RFC 3339.
    pub(crate) since: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum Change {
    Began { code: String, detail: String },
    Ended { code: String },
}

/// The alarms of one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alarms {
    standing: BTreeMap<(Origin, String), (Timestamp, String)>,
}

impl Alarms {
    /// Takes what was found, which is all that `origin` sees now; answers what began and what is over.
    pub(crate) fn observe(&mut self, origin: Origin, found: Vec<Trouble>, now: Timestamp) -> Vec<Change> {
        let over = |(by, code): &(Origin, String)| {
            *by == origin && !found.iter().any(|trouble| trouble.code == *code)
        };
        let ended: Vec<_> = self.standing.keys().filter(|key| over(key)).cloned().collect();
        let mut changes = Vec::new();
        for key in ended {
            self.standing.remove(&key);
            changes.push(Change::Ended { code: key.1 });
        }
        for Trouble { code, detail } in found {
            if let Some((_, known)) = self.standing.get_mut(&(origin, code.clone())) {
                *known = detail;
            } else {
                self.standing.insert((origin, code.clone()), (now, detail.clone()));
                changes.push(Change::Began { code, detail });
            }
        }
        changes
    }

    pub(crate) fn list(&self) -> Vec<Alarm> {
        let shown = |((_, code), (since, detail)): (&(Origin, String), &(Timestamp, String))| Alarm {
            code: code.clone(),
            detail: detail.clone(),
            since: since.to_string(),
        };
        self.standing.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Alarms, Change, Origin};
    use crate::target::Trouble;

    #[test]
    fn an_alarm_begins_once_keeps_its_time_and_ends_once() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let low = |detail: &str| Trouble::new("WALLET_LOW", detail);
        let began = |detail: &str| Change::Began { code: "WALLET_LOW".into(), detail: detail.into() };
        let ended = Change::Ended { code: "WALLET_LOW".into() };
        let mut alarms = Alarms::default();
        let mut look = |found, second| alarms.observe(Origin::Examination, found, at(second));
        assert_eq!(look(vec![], 0), []);
        assert_eq!(look(vec![low("9 left")], 1), [began("9 left")]);
        assert_eq!(look(vec![low("8 left")], 2), []);
        let shown = alarms.list();
        assert_eq!((shown.len(), shown[0].detail.as_str()), (1, "8 left"));
        assert_eq!(shown[0].since, at(1).to_string());
        // What another one sees is no word on it.
        assert_eq!(alarms.observe(Origin::Delivery, vec![], at(3)), []);
        assert_eq!(alarms.observe(Origin::Examination, vec![], at(4)), [ended]);
        assert_eq!((alarms.observe(Origin::Examination, vec![], at(5)), alarms.list()), (vec![], vec![]));
    }

    #[test]
    fn one_that_follows_another_ends_it() {
        let mut alarms = Alarms::default();
        let mut look = |code: &str| {
            alarms.observe(Origin::Delivery, vec![Trouble::new(code, "")], Timestamp::UNIX_EPOCH)
        };
        let began = |code: &str| Change::Began { code: code.into(), detail: String::new() };
        assert_eq!(look("FEE_CAP"), [began("FEE_CAP")]);
        assert_eq!(look("NONCE_STUCK"), [Change::Ended { code: "FEE_CAP".into() }, began("NONCE_STUCK")]);
    }
}
