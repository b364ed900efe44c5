//! Rollbacks on three chains: one before a chain has anything of it, one after all have all of it; and a chain that is
//! taken away and added again.

use std::process::Command;
use std::time::Duration;

use common::entry::{Body, EntryKind};
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::keys::asset_key;
use common::proof::key_hash;
use serde_json::{Value, json};
use testkit::load::Planned;
use testkit::stack::{Plan, Stack};

use crate::scene::{self, CHAINS, Must as _, planned};

const ASSET: &str = "bond:roll";
const WITHIN: Duration = Duration::from_mins(1);

fn request(key: &str, changes: &Value) -> Planned {
    planned(key, json!({"asset": {"id": ASSET}, "state_changes": changes}))
}

fn transfer(key: &str, from: &str, to: &str, amount: u64) -> Planned {
    let change = json!({"kind": "TRANSFER", "from": from, "to": to, "amount": amount.to_string()});
    request(key, &json!([change]))
}

/// What `oss rollback` prints, and how it ended.
fn rollback(stack: &Stack, rid: Rid, options: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(stack.programs().oss());
    command.args(["-o", "json", "--data"]).arg(stack.folder());
    command.args(["rollback", &rid.to_string()]).args(options);
    let done = command.output().expect("oss runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().expect("a code"), text(&done.stdout), text(&done.stderr))
}

/// The rollback as a message that was sent, for the checker.
fn command(undone: &Planned, printed: &str) -> (Planned, u64) {
    let printed: Value = serde_json::from_str(printed).expect("JSON");
    let rid = printed["rid"].as_str().and_then(|rid| rid.parse().ok()).expect("an id");
    let fp = Digest::of(&[b"oss/command/1", b"rollback", undone.rid.as_bytes()]);
    let planned = Planned { rid, fp, ..undone.clone() };
    (planned, printed["seq"].as_u64().expect("an entry"))
}

/// Pauses or resumes a target, as an operator does, and waits until its lanes have heard of it.
async fn steer(stack: &Stack, target: &str, verb: &str) {
    let file = std::fs::read(stack.folder().join("secrets/operator/stack.json")).expect("the stack file");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    let url = format!("{}/v1/targets", file["broadcaster"].as_str().expect("a URL"));
    let key = file["keys"]["operate"].as_str().expect("a key");
    let (client, order) = (reqwest::Client::new(), format!("{url}/{target}/{verb}"));
    let answer = client.post(order).bearer_auth(key).send().await.expect("it answers");
    assert_eq!(answer.status(), 200, "{verb} {target}");
    let deadline = std::time::Instant::now() + WITHIN;
    loop {
        let answer = client.get(&url).bearer_auth(key).send().await.expect("it answers");
        let list: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        let targets = list["targets"].as_array().expect("targets");
        let lanes = targets.iter().find(|one| one["name"] == target).and_then(|one| one["lanes"].as_array());
        let is_heard = |lane: &Value| (lane["state"] == "paused") == (verb == "pause");
        if lanes.is_some_and(|lanes| lanes.iter().all(is_heard)) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{verb} {target}: {list}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until(stack: &Stack, request: &Planned, status: &str) -> Value {
    let deadline = std::time::Instant::now() + WITHIN;
    loop {
        let answer = stack.api().status(request.rid).await.must();
        let is_committed = matches!(answer.text("/status"), "committed" | "broadcasting");
        if answer.text("/status") == status || status == "committed" && is_committed {
            return answer.body;
        }
        assert!(std::time::Instant::now() < deadline, "{} becomes {status}: {}", request.key, answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The rollback that this command ordered is final on every chain.
async fn until_delivered(stack: &Stack, command: &Planned) {
    let deadline = std::time::Instant::now() + WITHIN;
    loop {
        let decision = stack.api().read(&format!("/v1/decisions/{}", command.rid)).await.must();
        if decision["status"] == "completed" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "the rollback is delivered: {decision}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn commit(stack: &Stack, request: &Planned) {
    let answer = stack.api().submit(&request.key, &request.body, None).await.must();
    assert_eq!(answer.status, 202, "{}", answer.body);
    until(stack, request, "committed").await;
}

async fn balance(stack: &Stack, account: &str) -> String {
    let holding = stack.api().read(&format!("/v1/holdings/{ASSET}/{account}")).await;
    holding.map_or_else(|_| "0".to_owned(), |body| body["balance"].as_str().unwrap_or("0").to_owned())
}

/// Three requests of which one chain has nothing when the one in the middle is undone; the REVERT's entry.
async fn undo_before_it_lands(stack: &Stack, held: &str, sent: &mut Vec<Planned>) -> (Planned, u64) {
    steer(stack, held, "pause").await;
    let three = [
        transfer("a", "acct:alice", "acct:bob", 10),
        transfer("u", "acct:carol", "acct:dave", 5),
        transfer("b", "acct:alice", "acct:bob", 7),
    ];
    for request in &three {
        commit(stack, request).await;
    }
    let (code, printed, said) = rollback(stack, three[1].rid, &["--until", "committed"]);
    assert_eq!(code, 0, "{said}");
    until(stack, &three[1], "rolled_back").await;
    steer(stack, held, "resume").await;
    // It was left out there, so it waits for what supersedes it.
    until(stack, &three[2], "completed").await;
    sent.extend(three.clone());
    command(&three[1], &printed)
}

/// Three requests that all chains have when the one in the middle is undone; the REVERT's entry.
async fn undo_after_it_is_final(stack: &Stack, sent: &mut Vec<Planned>) -> (Planned, u64) {
    let three = [
        transfer("c", "acct:alice", "acct:bob", 1),
        transfer("v", "acct:carol", "acct:dave", 3),
        transfer("d", "acct:alice", "acct:bob", 2),
    ];
    for request in &three {
        scene::complete(&stack.api(), &request.key, &request.body).await;
    }
    let (code, printed, said) = rollback(stack, three[1].rid, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("completed"), "{said}");
    let shown = until(stack, &three[1], "rolled_back").await;
    assert_eq!((&shown["outcome"], &shown["code"]), (&json!("REVERTED"), &json!("ROLLED_BACK")), "{shown}");
    sent.extend(three.clone());
    command(&three[1], &printed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rollback_undoes_is_superseded_on_every_chain_whether_it_had_landed_or_not() {
    let stack = Stack::start(Plan { chains: CHAINS.to_vec(), ..Plan::default() }).await.must();
    let chains: Vec<&str> = CHAINS.iter().map(|(name, _)| *name).collect();
    let register = request(
        "register",
        &json!([
            {"kind": "REGISTER", "decimals": 2, "chains": chains},
            {"kind": "MINT", "to": "acct:alice", "amount": "100"},
            {"kind": "MINT", "to": "acct:carol", "amount": "100"},
        ]),
    );
    scene::complete(&stack.api(), &register.key, &register.body).await;
    let (mut sent, held) = (vec![register], chains[2]);
    let (first, first_seq) = undo_before_it_lands(&stack, held, &mut sent).await;
    let (second, second_seq) = undo_after_it_is_final(&stack, &mut sent).await;

    // Three later ones rest on `a`.
    let by_key = |key: &str| sent.iter().find(|planned| planned.key == key).expect("sent").rid;
    let (code, printed, said) = rollback(&stack, by_key("a"), &[]);
    assert_eq!((code, printed.as_str()), (2, ""));
    assert!(said.contains("HAS_DEPENDENTS"), "{said}");
    for dependent in ["b", "c", "d"] {
        assert!(said.contains(&by_key(dependent).to_string()), "{dependent}: {said}");
    }
    for (account, expected) in
        [("acct:alice", "80"), ("acct:bob", "20"), ("acct:carol", "100"), ("acct:dave", "0")]
    {
        assert_eq!(balance(&stack, account).await, expected, "{account}");
    }

    let acknowledged: Vec<_> = sent.iter().map(scene::acknowledged).collect();
    sent.extend([first, second]);
    let (evidence, summary) = scene::settle(&stack, &sent, &acknowledged, WITHIN).await;
    let log = &evidence.logs[&Shard::Financial];
    let bodies: Vec<Body> = log.iter().map(|entry| entry.decode().expect("a body")).collect();
    let reverts = bodies.iter().filter(|body| body.kind == EntryKind::Revert).map(|body| body.seq);
    assert_eq!(reverts.collect::<Vec<u64>>(), [first_seq, second_seq]);
    let asset = key_hash(&asset_key(&ASSET.parse().expect("an asset")));
    let on = |chain: &str| -> Vec<u64> {
        let state = &evidence.chains[&chain.parse().expect("a name")];
        state.updates.iter().filter(|(found, ..)| *found == asset).map(|(_, version, _)| *version).collect()
    };
    // register 1, a 2, u 3, b 4, the REVERT of u 5, c 6, v 7, d 8, the REVERT of v 9.
    assert_eq!(on(held), [1, 2, 5, 6, 7, 8, 9], "what was undone before never came to {held}");
    for chain in [chains[0], chains[1]] {
        assert_eq!(on(chain).last(), Some(&9), "{chain}");
    }
    eprintln!("rollback: {summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_was_taken_away_and_is_added_again_gets_every_version_from_there_on() {
    let stack = Stack::start(Plan { chains: CHAINS.to_vec(), ..Plan::default() }).await.must();
    let late = CHAINS[2].0;
    let register = request(
        "register",
        &json!([
            {"kind": "REGISTER", "decimals": 2, "chains": [CHAINS[0].0, CHAINS[1].0]},
            {"kind": "MINT", "to": "acct:alice", "amount": "100"},
        ]),
    );
    scene::complete(&stack.api(), &register.key, &register.body).await;
    let add = |key: &str| request(key, &json!([{"kind": "ADD_CHAIN", "chain": late}]));
    let (mut sent, mut commands) = (vec![register], Vec::new());
    steer(&stack, late, "pause").await;
    for round in ["1", "2"] {
        let (away, added) =
            (transfer(&format!("away-{round}"), "acct:alice", "acct:bob", 1), add(&format!("add-{round}")));
        commit(&stack, &away).await;
        commit(&stack, &added).await;
        let (code, printed, said) = rollback(&stack, added.rid, &["--until", "committed"]);
        assert_eq!(code, 0, "{said}");
        commands.push(command(&added, &printed).0);
        sent.extend([away, added]);
    }
    let last = [add("add-3"), transfer("last", "acct:alice", "acct:bob", 1)];
    for request in &last {
        commit(&stack, request).await;
    }
    steer(&stack, late, "resume").await;
    for request in &last {
        until(&stack, request, "completed").await;
    }
    for command in &commands {
        until_delivered(&stack, command).await;
    }
    sent.extend(last);
    let acknowledged: Vec<_> = sent.iter().map(scene::acknowledged).collect();
    sent.extend(commands);
    let (evidence, summary) = scene::settle(&stack, &sent, &acknowledged, WITHIN).await;
    let asset = key_hash(&asset_key(&ASSET.parse().expect("an asset")));
    let state = &evidence.chains[&late.parse().expect("a name")];
    let of_asset = state.updates.iter().filter(|(found, ..)| *found == asset);
    let versions: Vec<u64> = of_asset.map(|(_, version, _)| *version).collect();
    // register 1, a transfer 2, add 3, its REVERT 4, a transfer 5, add 6, its REVERT 7, add 8, a transfer 9.
    assert_eq!(versions, [4, 7, 8, 9], "what was undone before never came to {late}");
    eprintln!("rejoined: {summary:?}");
}
