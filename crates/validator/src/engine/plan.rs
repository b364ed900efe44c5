//! Step 1: messages are decoded, once, and told which state they touch.
//!
//! In: messages as read from their streams, in the order taken. Out: a [`Plan`] that keeps what was
//! decoded and names the state to load. It rests on the messages alone: no state, no time. A message that a
//! GIVEN_UP fact before it names is not decoded: no more is read of it than the request it names.

use std::collections::BTreeSet;

use common::entry::{Input, InputStream};
use common::message::{Body, Command, DecodeError, GivenUp, Message, Named};

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
    pub(super) message: Result<Message, Unread>,
    /// Of a COLLECTED message.
    pub(super) footprint: Option<Footprint>,
}

/// Why there is no message.
#[derive(Debug)]
pub(super) enum Unread {
    Undecodable(DecodeError),
    /// The process died over it too often.
    GivenUp {
        attempts: u64,
        named: Named,
    },
}

impl Plan {
    pub(super) fn new(inputs: Vec<RawInput>) -> Self {
        let mut plan = Self { messages: Vec::new(), keyspace: Keyspace::default(), needs: Needs::default() };
        let mut facts: Vec<GivenUp> = Vec::new();
        for raw in inputs {
            let fact = facts.iter().find(|fact| (fact.s, &fact.id) == (raw.stream, &raw.id));
            let message = match fact {
                Some(GivenUp { attempts, .. }) => {
                    Err(Unread::GivenUp { attempts: *attempts, named: Named::of(&raw.bytes) })
                }
                None => Message::decode(&raw.bytes).map_err(Unread::Undecodable),
            };
            if let (InputStream::Local, Ok(Message { body: Body::GivenUp(fact), .. })) =
                (raw.stream, &message)
            {
                facts.push(fact.clone());
            }
            let input = Input::new(raw.stream, raw.id, &raw.bytes);
            plan.add(input, message);
        }
        plan.needs.keys = plan.keyspace.keys().map(str::to_owned).collect::<BTreeSet<_>>();
        plan.needs.locks = plan.keyspace.locks().map(str::to_owned).collect();
        plan
    }

    fn add(&mut self, input: Input, message: Result<Message, Unread>) {
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
                    Body::Command { command: Command::Rollback { rid }, .. }
                        if input.s == InputStream::Inx =>
                    {
                        self.needs.rids.insert(*rid);
                        self.needs.undone = Some(*rid);
                    }
                    Body::Failed { .. }
                    | Body::Cancel { .. }
                    | Body::Withdrawn { .. }
                    | Body::Command { .. }
                    | Body::Targets(_)
                    | Body::GivenUp(_) => {}
                    Body::TimedOut(fact) => {
                        self.keyspace.lock(fact.asset.as_str());
                    }
                }
            }
            Err(
                Unread::Undecodable(
                    DecodeError::Malformed { rid, .. } | DecodeError::UnknownVersion { rid, .. },
                )
                | Unread::GivenUp { named: Named { rid, .. }, .. },
            ) => {
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
