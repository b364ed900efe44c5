use common::ids::{Rid, Shard, Tenant};
use proptest::prelude::*;

use super::{Node, Placed, Rank, order};

fn rid(n: usize) -> Rid {
    let tenant: Tenant = "acme".parse().expect("tenant");
    Rid::from_key(&tenant, &format!("k{n}").parse().expect("key"), Shard::Financial)
}

/// Orders requests that depend on those at the given places.
fn ordered(dependencies: &[Vec<usize>]) -> Vec<Placed> {
    let rids: Vec<Vec<Rid>> =
        dependencies.iter().map(|list| list.iter().map(|n| rid(*n)).collect()).collect();
    let node = |(n, list)| Node { rid: rid(n), rank: Rank::ordinary(n), depends_on: list };
    order(&rids.iter().map(Vec::as_slice).enumerate().map(node).collect::<Vec<_>>())
}

fn places(placed: &[Placed]) -> Vec<usize> {
    placed.iter().map(|placed| placed.node).collect()
}

#[test]
fn without_dependencies_the_order_is_that_of_arrival() {
    assert_eq!(places(&ordered(&vec![vec![]; 5])), [0, 1, 2, 3, 4]);
}

#[test]
fn precedence_comes_before_class_and_class_before_arrival() {
    let rank = |precedence, class, arrival| Rank { precedence, class, arrival };
    let ranks = [rank(9, 4, 0), rank(9, 1, 1), rank(1, 5, 2), rank(9, 1, 3)];
    let nodes: Vec<Node<'_>> = ranks
        .iter()
        .enumerate()
        .map(|(n, rank)| Node { rid: rid(n), rank: *rank, depends_on: &[] })
        .collect();
    assert_eq!(places(&order(&nodes)), [2, 1, 3, 0]);
}

#[test]
fn a_request_waits_for_what_it_depends_on_and_for_nothing_else() {
    assert_eq!(places(&ordered(&[vec![3], vec![], vec![0], vec![], vec![]])), [1, 3, 0, 2, 4]);
}

#[test]
fn a_cycle_is_broken_at_its_youngest_member_and_named() {
    // 4 only hangs on the cycle 1 → 2 → 3 → 1, although it is younger.
    let placed = ordered(&[vec![], vec![2], vec![3], vec![1], vec![3]]);
    assert_eq!(places(&placed), [0, 3, 2, 1, 4]);
    let cycle = placed[1].cycle.as_deref().expect("a cycle");
    assert_eq!(cycle.matches(" → ").count(), 3, "{cycle}");
    assert!(placed.iter().filter(|placed| placed.cycle.is_some()).count() == 1);
    assert!([1, 2, 3].iter().all(|n| cycle.contains(&rid(*n).to_string())), "{cycle}");
}

proptest! {
    #[test]
    fn every_request_stands_once_and_after_its_dependencies_unless_a_cycle_is_named(
        dependencies in proptest::collection::vec(proptest::collection::btree_set(0_usize..12, 0..3), 1..12)
    ) {
        let dependencies: Vec<Vec<usize>> = dependencies.into_iter().map(|set| set.into_iter().collect()).collect();
        let placed = ordered(&dependencies);
        let mut nodes = places(&placed);
        for (place, at) in placed.iter().enumerate() {
            for dependency in dependencies[at.node].iter().filter(|n| **n < dependencies.len()) {
                let before = nodes[..place].contains(dependency);
                prop_assert!(before || at.cycle.is_some(), "{} before {dependency}", at.node);
            }
        }
        nodes.sort_unstable();
        prop_assert_eq!(nodes, (0..dependencies.len()).collect::<Vec<_>>());
        // Only what lies on a cycle is rejected for one.
        for at in placed.iter().filter(|at| at.cycle.is_some()) {
            let mut reached = dependencies[at.node].clone();
            let mut seen = Vec::new();
            while let Some(n) = reached.pop() {
                if n < dependencies.len() && !seen.contains(&n) {
                    seen.push(n);
                    reached.extend(&dependencies[n]);
                }
            }
            prop_assert!(seen.contains(&at.node));
        }
    }
}
