//! The permanent proof that each guard is needed: its scenario holds with the guard and fails without.

use std::sync::Arc;

use common::link::Scripts;

use crate::bed::{Bed, Check, cluster, standalone};
use crate::directed;

/// Fence guards have one control for all scripts, in `generic`.
const FENCE: [&str; 2] = ["epoch", "token"];

/// The standard scripts, with one guard of one script cut out of its source.
pub(crate) fn without_guard(script: &str, guard: &str) -> Arc<Scripts> {
    Scripts::without([(script, guard)].into_iter())
}

fn marked() -> impl Iterator<Item = (&'static str, &'static str)> {
    Scripts::SOURCES.iter().flat_map(|(script, source)| {
        source.lines().filter_map(|line| line.trim().strip_prefix("-- guard:")).map(|guard| (*script, guard))
    })
}

#[test]
fn every_marked_guard_has_a_scenario_and_every_scenario_a_guard() {
    for (script, guard) in marked() {
        let is_known = FENCE.contains(&guard)
            || directed::all().any(|guarded| (guarded.script, guarded.guard) == (script, guard));
        assert!(is_known, "{script}: guard {guard} has no scenario");
    }
    for guarded in directed::all() {
        let is_marked = marked().any(|marked| marked == (guarded.script, guarded.guard));
        assert!(is_marked, "{}: guard {} is not in the script", guarded.script, guarded.guard);
    }
}

async fn run_all(server: &Arc<std::sync::Mutex<testkit::redis::RedisServer>>) {
    for guarded in directed::all() {
        let bed = Bed::empty(server, Scripts::standard()).await;
        if let Err(fault) = (guarded.run)(bed).await {
            panic!("{} ({} {}): {fault}", guarded.scenario, guarded.script, guarded.guard);
        }
    }
}

#[tokio::test]
async fn every_scenario_holds() {
    run_all(&standalone()).await;
}

#[tokio::test]
async fn every_scenario_holds_in_cluster_mode() {
    run_all(&cluster()).await;
}

/// The scenarios of every `of`-th guard from `first` on, so that the controls run in parallel.
async fn control(first: usize, of: usize) -> Check {
    let server = standalone();
    for guarded in directed::all().skip(first).step_by(of) {
        let bed = Bed::empty(&server, without_guard(guarded.script, guarded.guard)).await;
        let outcome = (guarded.run)(bed).await;
        assert!(outcome.is_err(), "{} holds without {} {}", guarded.scenario, guarded.script, guarded.guard);
    }
    Ok(())
}

#[tokio::test]
async fn control_with_its_guard_cut_out_every_scenario_fails_first_half() -> Check {
    control(0, 2).await
}

#[tokio::test]
async fn control_with_its_guard_cut_out_every_scenario_fails_second_half() -> Check {
    control(1, 2).await
}
