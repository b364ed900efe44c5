//! Step 1: messages are decoded, once, and told which state they touch.
//!
//! In: messages as read from their streams, in the order taken. Out: a [`Plan`] that keeps what was
//! decoded and names the state to load. It rests on the messages alone: no state, no time.

use std::collections::BTreeSet;

use common::entry::Input;
use common::message::{Body, DecodeError, Message};

use super::boundary::{Needs, RawInput};
use super::footprint::{Footprint, Keyspace};

/// A decoded batch, ready to run once its [`Needs`] are loaded.
#[derive(Debug)]
pub struct Plan {
    pub(super) messages: Vec<Planned>,
    pub(super) keyspace: Keyspace,
    needs: Needs,
}

#[derive(Debug)]
pub(super) struct Planned {
    /// As it will stand in the entry.
    pub(super) input: Input,
    pub(super) message: Result<Message, DecodeError>,
    /// Of a COLLECTED message.
    pub(super) footprint: Option<Footprint>,
}

impl Plan {
    pub(super) fn new(inputs: Vec<RawInput>) -> Self {
        let mut plan = Self { messages: Vec::new(), keyspace: Keyspace::default(), needs: Needs::default() };
        for raw in inputs {
            let message = Message::decode(&raw.bytes);
            let input = Input::new(raw.stream, raw.id, &raw.bytes);
            plan.add(input, message);
        }
        plan.needs.keys = plan.keyspace.keys().map(str::to_owned).collect::<BTreeSet<_>>();
        plan
    }

    fn add(&mut self, input: Input, message: Result<Message, DecodeError>) {
        let mut footprint = None;
        match &message {
            Ok(message) => {
                self.needs.rids.extend(message.about().map(|about| about.rid));
                match &message.body {
                    Body::Collected { request, observations, .. } => {
                        self.needs.rids.extend(&request.depends_on);
                        footprint = Some(Footprint::of(request, observations, &mut self.keyspace));
                    }
                    Body::Receipt(receipt) => {
                        self.needs.seqs.insert(receipt.seq);
                    }
                    Body::Failed { .. } | Body::Cancel { .. } | Body::Command { .. } | Body::Targets(_) => {}
                }
            }
            Err(DecodeError::Malformed { rid, .. } | DecodeError::UnknownVersion { rid, .. }) => {
                self.needs.rids.extend(rid);
            }
        }
        self.messages.push(Planned { input, message, footprint });
    }

    /// What to load before the batch can run.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }
}
