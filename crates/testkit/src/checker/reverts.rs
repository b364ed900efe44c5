//! Rollbacks by the log alone: I9 and I11.
//!
//! A REVERT must reach every logged update that carries what it undoes, or lanes would go on sending that, and no
//! further, or a chain could be left where no update reaches it (`bridge_model` tries all such logs).

use std::collections::BTreeMap;

use common::entry::{Body, EntryKind};
use common::ids::{AssetId, Name, Rid, Shard};
use common::message::{Body as MessageBody, Message};
use common::request::SyncRequest;
use common::status::OutcomeKind;

use super::{Evidence, Violation};

/// An applied request as far as rollbacks concern it.
#[derive(Debug, Clone)]
struct Applied {
    asset: AssetId,
    /// The asset's version after it.
    version: u64,
    /// Chains that it brings the asset to.
    chains: Vec<Name>,
}

/// I9, I11: an entry is a REVERT if and only if it undoes a request, which was applied before and is undone once; on each
/// chain its `from` is the least of those of the updates that carry the request, and its version is the next one.
///
/// # Errors
/// [`Violation::Revert`].
pub fn reverts_reach(evidence: &Evidence) -> Result<(), Violation> {
    let mut shards: BTreeMap<Shard, Vec<Body>> = BTreeMap::new();
    for (shard, body) in evidence.bodies()? {
        shards.entry(shard).or_default().push(body);
    }
    for (shard, bodies) in shards {
        let mut applied: BTreeMap<Rid, Applied> = BTreeMap::new();
        for (place, body) in bodies.iter().enumerate() {
            let wrong =
                |detail: &str| Err(Violation::Revert { shard, seq: body.seq, detail: detail.to_owned() });
            let undone: Vec<Rid> = body
                .outcomes
                .iter()
                .filter(|outcome| outcome.outcome == OutcomeKind::Reverted)
                .map(|outcome| outcome.rid)
                .collect();
            match (body.kind, undone.as_slice()) {
                (EntryKind::Revert, [rid]) => {
                    let Some(request) = applied.remove(rid) else {
                        return wrong("it undoes what is not there to be undone");
                    };
                    let [update] = body.updates.as_slice() else { return wrong("it has not one update") };
                    let earlier = bodies.get(..place).unwrap_or_default();
                    let expected = reach(earlier, &request);
                    let is_reached =
                        |(chain, from): (&Name, &u64)| expected.carriers.get(chain) == Some(from);
                    if update.asset != request.asset || update.version != expected.version + 1 {
                        return wrong("its update is not the next one of the asset");
                    }
                    if !update.from.iter().all(is_reached) {
                        return wrong(
                            "it does not reach back as far as what carries the request, or further",
                        );
                    }
                    let standing = applied.values().filter(|other| other.asset == request.asset);
                    let mut chains = standing.chain([&request]).flat_map(|request| &request.chains);
                    if !chains.all(|chain| update.from.contains_key(chain)) {
                        return wrong("a chain of the asset is not told");
                    }
                }
                (EntryKind::Revert, _) => return wrong("a REVERT undoes one request"),
                (_, []) => {}
                (_, _) => return wrong("only a REVERT undoes"),
            }
            applied.extend(applied_in(body));
        }
    }
    Ok(())
}

/// What is known of an asset before a REVERT.
#[derive(Debug, Default)]
struct Reach {
    version: u64,
    /// Per chain the least `from` of an update that carries the request.
    carriers: BTreeMap<Name, u64>,
}

fn reach(earlier: &[Body], request: &Applied) -> Reach {
    let mut reach = Reach::default();
    let updates = earlier.iter().flat_map(|body| &body.updates);
    for update in updates.filter(|update| update.asset == request.asset) {
        reach.version = update.version;
        if update.version < request.version {
            continue;
        }
        for (chain, from) in update.from.iter().filter(|(_, from)| **from < request.version) {
            let least = reach.carriers.entry(chain.clone()).or_insert(*from);
            *least = (*least).min(*from);
        }
    }
    reach
}

fn applied_in(body: &Body) -> Vec<(Rid, Applied)> {
    let mut requests: BTreeMap<Rid, Box<SyncRequest>> = BTreeMap::new();
    for input in &body.inputs {
        if let Ok(Message { body: MessageBody::Collected { about, request, .. }, .. }) =
            Message::decode(&input.bytes())
        {
            requests.entry(about.rid).or_insert(request);
        }
    }
    let of = |outcome: &common::entry::Outcome| {
        let request = requests.get(&outcome.rid)?;
        let chains = request.state_changes.iter().flat_map(|change| change.op.chains()).cloned().collect();
        Some((outcome.rid, Applied { asset: request.asset.id.clone(), version: outcome.version?, chains }))
    };
    body.outcomes.iter().filter(|outcome| outcome.outcome == OutcomeKind::Applied).filter_map(of).collect()
}
