//! The order of a batch's requests.
//!
//! In: one [`Node`] per request, in order of arrival. Out: every request once, so that each stands after
//! those of the batch that it depends on, and otherwise by (precedence, class, arrival).
//!
//! Kahn's algorithm with a heap on the rank. When nothing is ready although requests are left, these hold
//! a cycle: its youngest member leaves the graph with a text that names the cycle, and the rest goes on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use common::ids::Rid;

use super::intake::Candidate;

/// What decides between requests that are free to go: smaller first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Of the authority behind a regulatory request; others come after all of them.
    pub(super) precedence: u8,
    /// 0 emergency, 1 regulatory, 2 corporate action, 3 settlement, 4 transfer, 5 metadata.
    pub(super) class: u8,
    /// Position in the batch.
    pub(super) arrival: usize,
}

impl Rank {
    /// Order of arrival is what clients are promised. Orders of authorities are taken up first as it is, and go among
    /// themselves by arrival until there are ranks of authorities.
    pub(super) const fn ordinary(arrival: usize) -> Self {
        Self { precedence: u8::MAX, class: 4, arrival }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) rid: Rid,
    pub(super) rank: Rank,
    pub(super) depends_on: &'a [Rid],
}

/// One place of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Position among the nodes.
    pub(super) node: usize,
    /// `<rid> → <rid> → …`, if the request has to be rejected for it.
    pub(super) cycle: Option<String>,
}

/// The order of these candidates.
pub(super) fn of_candidates(candidates: &[Candidate<'_>]) -> Vec<Placed> {
    let nodes = candidates.iter().enumerate().map(|(arrival, candidate)| Node {
        rid: candidate.about.rid,
        rank: Rank::ordinary(arrival),
        depends_on: &candidate.request.depends_on,
    });
    order(&nodes.collect::<Vec<_>>())
}

pub(super) fn order(nodes: &[Node<'_>]) -> Vec<Placed> {
    let mut graph = Graph::new(nodes);
    let mut placed = Vec::with_capacity(nodes.len());
    let mut free: BinaryHeap<Reverse<(Rank, usize)>> = (0..nodes.len())
        .filter(|node| graph.before[*node].is_empty())
        .map(|n| Reverse((nodes[n].rank, n)))
        .collect();
    while placed.len() < nodes.len() {
        let (node, cycle) = if let Some(Reverse((_, node))) = free.pop() {
            (node, None)
        } else {
            let cycle = graph.cycle(nodes);
            let Some(youngest) = cycle.iter().copied().max_by_key(|node| nodes[*node].rank.arrival) else {
                // Without a cycle something is always free.
                break;
            };
            (youngest, Some(names(&cycle, nodes)))
        };
        placed.push(Placed { node, cycle });
        for after in graph.remove(node) {
            free.push(Reverse((nodes[after].rank, after)));
        }
    }
    placed
}

/// `a → b → a`, each depending on the next.
fn names(cycle: &[usize], nodes: &[Node<'_>]) -> String {
    let rids: Vec<String> =
        cycle.iter().chain(cycle.first()).map(|node| nodes[*node].rid.to_string()).collect();
    rids.join(" → ")
}

/// Nodes that are not placed yet.
struct Graph {
    placed: Vec<bool>,
    /// Those each still waits for.
    before: Vec<Vec<usize>>,
    /// Those that wait for each.
    after: Vec<Vec<usize>>,
}

impl Graph {
    fn new(nodes: &[Node<'_>]) -> Self {
        let mut graph = Self {
            placed: vec![false; nodes.len()],
            before: vec![Vec::new(); nodes.len()],
            after: vec![Vec::new(); nodes.len()],
        };
        if nodes.iter().all(|node| node.depends_on.is_empty()) {
            return graph;
        }
        let by_rid: BTreeMap<Rid, usize> = nodes.iter().enumerate().map(|(n, node)| (node.rid, n)).collect();
        for (n, node) in nodes.iter().enumerate() {
            for dependency in node.depends_on.iter().filter_map(|rid| by_rid.get(rid)) {
                graph.before[n].push(*dependency);
                graph.after[*dependency].push(n);
            }
        }
        graph
    }

    /// Takes a node out and tells which others this frees.
    fn remove(&mut self, node: usize) -> Vec<usize> {
        self.placed[node] = true;
        let mut freed = Vec::new();
        for after in std::mem::take(&mut self.after[node]) {
            if self.placed[after] {
                continue;
            }
            self.before[after].retain(|before| *before != node);
            if self.before[after].is_empty() {
                freed.push(after);
            }
        }
        freed
    }

    /// A cycle among the nodes left. Each of them waits for one that is left too, so a walk along these
    /// meets itself. It starts at the youngest and prefers the one that arrived first.
    fn cycle(&self, nodes: &[Node<'_>]) -> Vec<usize> {
        let left = (0..nodes.len()).filter(|node| !self.placed[*node]);
        let mut here = left.max_by_key(|node| nodes[*node].rank.arrival);
        let mut walked: Vec<usize> = Vec::new();
        while let Some(node) = here {
            if let Some(start) = walked.iter().position(|seen| *seen == node) {
                return walked.split_off(start);
            }
            walked.push(node);
            here = self.before[node].iter().copied().min_by_key(|before| nodes[*before].rank);
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
