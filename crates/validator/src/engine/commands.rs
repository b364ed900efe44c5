//! An operator's commands.
//!
//! In: a COMMAND message about a request id of its own. Out: its outcome, and what the shell has to do.

use common::message::{About, Command};
use common::status::OutcomeKind;
use common::targets::Targets;

use super::boundary::Effect;
use super::codes::{Code, Errors};
use super::draft::{Delivery, Draft, Rollback};

pub(super) fn run(about: &About, command: &Command, targets: &Targets, draft: &mut Draft) {
    match command {
        Command::Rewind { target } if targets.get(target).is_none() => {
            let errors = Errors::one(Code::UnknownTarget, "/target", format!("{target} is not a target"));
            draft.end(about.into(), OutcomeKind::Rejected, errors);
        }
        Command::Rewind { target } => {
            draft.effects.push(Effect::Rewind { target: target.clone() });
            draft.apply(about.into(), None, Delivery::Nothing);
        }
        // Decided when all messages are judged: it is the only one of its entry.
        Command::Rollback { rid } => {
            draft.rollback = Some(Rollback { about: about.clone(), undone: *rid });
        }
    }
}
