//! A backup as `docs/operating.md` has it taken, put back: what was under way goes on, whatever stream it was in.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use common::exit;
use common::ids::Shard;
use common::keys::Keys;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::load::Planned;
use testkit::stack::{Api, Plan, Role, Service, Stack};

use crate::scene::{self, Must as _, planned};

const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
const VALIDATOR: Service = Service { role: Role::Validator, index: 0 };
const BROADCASTER: Service = Service { role: Role::Broadcaster, index: 0 };

/// Waits for something that has to come.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(POLL).await;
    }
}

fn length(stack: &Stack, key: &str) -> i64 {
    let answer = stack.redis().command(&["XLEN", key]).must();
    redis::from_redis_value(answer).expect("a length")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (kind, target) = (entry.file_type().expect("a kind"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Puts a copy in the place of what is there.
fn put_back(copied: &Path, place: &Path) {
    for entry in std::fs::read_dir(place).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).expect("removed");
        } else {
            std::fs::remove_file(path).expect("removed");
        }
    }
    copy(copied, place);
}

/// What a backup consists of: where it lives, and the name of its copy.
fn parts(stack: &Stack) -> [(PathBuf, &'static str); 2] {
    [(stack.redis().folder().to_owned(), "redis"), (stack.folder().join("validator"), "validator")]
}

fn back_up(stack: &Stack) -> tempfile::TempDir {
    let backup = tempfile::tempdir().expect("a folder");
    for (place, name) in parts(stack) {
        copy(&place, &backup.path().join(name));
    }
    backup
}

async fn stop_everything(stack: &mut Stack) {
    let ended: Vec<(Service, ExitStatus)> = stack.stop_services().await.must();
    assert!(ended.iter().all(|(_, status)| status.success()), "{ended:?}");
    stack.kill_redis().must();
}

async fn status_of(api: &Api, request: &Planned) -> Value {
    api.status(request.rid).await.must().body
}

fn mint(key: &str) -> Planned {
    let changes = json!([{"kind": "MINT", "to": "acct:a", "amount": "1"}]);
    planned(key, json!({"asset": {"id": "bond:kept"}, "state_changes": changes}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_both_folders_goes_on_with_what_was_under_way_and_half_of_one_is_refused() {
    let mut stack = Stack::start(Plan::default()).await.must();
    let (api, keys) = (stack.api(), Keys::new(Shard::Financial));
    let register = json!([{"kind": "REGISTER", "decimals": 0, "chains": ["sink"]}]);
    let setup = planned("setup", json!({"asset": {"id": "bond:kept"}, "state_changes": register}));
    scene::complete(&api, &setup.key, &setup.body).await;

    // Decided, and its receipt not taken in.
    stack.kill(BROADCASTER).must();
    let delivered = mint("delivered");
    assert_eq!(api.submit(&delivered.key, &delivered.body, None).await.must().status, 202);
    until("it is decided", async || status_of(&api, &delivered).await["status"] == "committed").await;
    // COMMIT is not yet RELAY.
    let outbox = keys.out(&"sink".parse().expect("a name"));
    until("it is relayed", async || {
        let seq = status_of(&api, &delivered).await["seq"].as_u64().expect("an entry");
        let last = stack.redis().command(&["XRANGE", &outbox, &format!("{seq}-0"), "+"]).must();
        matches!(last, redis::Value::Array(entries) if !entries.is_empty())
    })
    .await;
    stack.kill(VALIDATOR).must();
    stack.launch(BROADCASTER).must();
    until("its receipt waits", async || length(&stack, &keys.receipts()) > 0).await;
    // Two that nobody has decided, and a cancel of one.
    let (undecided, cancelled) = (mint("undecided"), mint("cancelled"));
    for request in [&undecided, &cancelled] {
        assert_eq!(api.submit(&request.key, &request.body, None).await.must().status, 202);
    }
    let place = format!("/v1/sync-requests/{}", cancelled.rid);
    assert_eq!(Api::send(api.request(Method::DELETE, &place)).await.must().status, 202);
    for key in [keys.input(), keys.input_express(), keys.receipts()] {
        assert!(length(&stack, &key) > 0, "something waits in {key}");
    }

    stop_everything(&mut stack).await;
    let backup = back_up(&stack);

    // The stack goes on without it, so that the archive gets entries that the backup lacks.
    stack.restart_redis().must();
    stack.restart_services().await.must();
    let later = mint("later");
    scene::complete(&api, &later.key, &later.body).await;
    stop_everything(&mut stack).await;

    // Half of a backup is refused: this Redis has less than the archive beside it.
    let [(redis, _), (archive, _)] = parts(&stack);
    put_back(&backup.path().join("redis"), &redis);
    stack.restart_redis().must();
    stack.launch(VALIDATOR).must();
    let mut ended = Vec::new();
    until("the validator ends", async || {
        ended = stack.revive().must();
        !ended.is_empty()
    })
    .await;
    assert_eq!((ended[0].0, ended[0].1.code()), (VALIDATOR, Some(exit::DATA_LOSS)));
    stack.kill(VALIDATOR).must();
    stack.kill_redis().must();

    put_back(&backup.path().join("redis"), &redis);
    put_back(&backup.path().join("validator"), &archive);
    stack.restart_redis().must();
    stack.restart_services().await.must();
    let ends = [
        (&setup, "completed"),
        (&delivered, "completed"),
        (&undecided, "completed"),
        (&cancelled, "cancelled"),
    ];
    for (request, end) in ends {
        until("it ends", async || status_of(&api, request).await["status"] == end).await;
    }
    // What came after the backup is gone: its client has to send it again.
    assert_eq!(api.status(later.rid).await.must().status, 404);
    scene::complete(&api, &later.key, &later.body).await;
    let sent = vec![setup, delivered, undecided, cancelled, later];
    let acknowledged: Vec<_> = sent.iter().map(scene::acknowledged).collect();
    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, PATIENCE).await;
    assert_eq!((summary.applied, summary.not_applied), (4, 1));
    assert_eq!(api.read("/v1/holdings/bond:kept/acct:a").await.must()["balance"], "3");
}
