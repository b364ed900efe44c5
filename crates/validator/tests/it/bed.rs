//! A private Redis, a data folder, keys, targets; validators as child processes; requests as SUBMIT writes them.

mod admin;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::auth::{KeyFile, KeyRecord, Scope};
use common::hash::Digest;
use common::ids::{Name, Rid, Shard, Tenant};
use common::link::{
    Address, Commands, Done, DoneEntry, DoneReply, Fence, LaneLeased, Link, Progress, Route, StatusRecord,
    Submission, SubmitBounds, Submitted, Token,
};
use common::message::{About, Body, Message, PartReceipt, Receipt};
use common::request::SyncRequest;
use common::status::{Delivery, Status};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::redis::{RedisOptions, RedisServer};

/// How long anything may take; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);
/// The shard of every asset here.
pub(crate) const SHARD: Shard = Shard::Financial;
/// Secret of the validator key in the tests.
pub(crate) const SECRET: [u8; 32] = [0x11; 32];

pub(crate) struct Bed {
    pub(crate) redis: RedisServer,
    pub(crate) folder: TempDir,
    pub(crate) commands: Commands,
    /// What was submitted: rid → fingerprint.
    pub(crate) submitted: Mutex<BTreeMap<Rid, Digest>>,
}

/// A running validator process.
pub(crate) struct Validator {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    client: reqwest::Client,
}

/// One answer of the read API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) oss_seq: Option<String>,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

/// Polls until `found` gives something.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) fn tenant() -> Tenant {
    "demo".parse().expect("tenant")
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("name")
}

impl Bed {
    /// A bed whose targets file names `targets`, all of kind `null`.
    pub(crate) async fn new(targets: &[&str]) -> Self {
        let redis = RedisServer::start(RedisOptions::default()).expect("redis-server starts");
        let folder = tempfile::tempdir().expect("folder");
        let address = Address::new(&redis.url(), None, None).expect("address");
        let commands = Commands::connect(&address, &name("test")).await.expect("connects");
        let bed = Self { redis, folder, commands, submitted: Mutex::default() };
        bed.write_keys();
        bed.write_targets(targets);
        std::fs::write(bed.path("validator.key"), hex::encode_prefixed(SECRET)).expect("writes");
        bed
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn link(&self) -> Link {
        self.commands.shard(SHARD)
    }

    pub(crate) fn write_targets(&self, targets: &[&str]) {
        self.write_targets_with_retired(targets, &[]);
    }

    pub(crate) fn write_targets_with_retired(&self, targets: &[&str], retired: &[&str]) {
        let used = targets.iter().map(|name| json!({"name": name, "kind": "null"}));
        let retired = retired.iter().map(|name| json!({"name": name, "kind": "null", "retired": true}));
        let targets: Vec<Value> = used.chain(retired).collect();
        let text = json!({ "targets": targets }).to_string();
        // In one step, as an operator should: the process must never read half a file.
        let draft = self.path("targets.draft");
        std::fs::write(&draft, text).expect("writes");
        std::fs::rename(draft, self.path("targets.json")).expect("renames");
    }

    fn write_keys(&self) {
        let key = |id: &str, tenant: &str, scopes: &[Scope]| KeyRecord {
            id: id.to_owned(),
            sha256: Digest::of(&[b"secret"]),
            tenant: tenant.parse().expect("tenant"),
            scopes: scopes.to_vec(),
            authorities: Vec::new(),
        };
        let keys = vec![
            key("read", "demo", &[Scope::Read]),
            key("operate", "demo", &[Scope::Read, Scope::Operate]),
            key("peer", "demo", &[Scope::Peer]),
            key("other", "other", &[Scope::Read, Scope::Operate]),
            key("stranger", "other", &[Scope::Read]),
        ];
        let text = serde_json::to_vec(&KeyFile { keys }).expect("JSON");
        std::fs::write(self.path("keys.json"), text).expect("writes");
    }

    pub(crate) fn start(&self) -> Validator {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Validator {
        let mut command = self.command();
        command.envs(environment.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("validator starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, stdout) = (Arc::clone(&lines), child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().expect("lock").push(line);
            }
        });
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("client");
        Validator { child, lines, client }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_validator"));
        command.env_clear().env("RUST_LOG", "info");
        command.env("OSS__REDIS__URL", self.redis.url());
        for (field, file) in [
            ("KEYS_FILE", "keys.json"),
            ("TARGETS_FILE", "targets.json"),
            ("VALIDATOR_KEY_FILE", "validator.key"),
            ("DATA_DIR", "data"),
        ] {
            command.env(format!("OSS__{field}"), self.path(file));
        }
        command.env("OSS__HTTP__LISTEN", "127.0.0.1:0").env("OSS__HTTP__ADMIN_LISTEN", "127.0.0.1:0");
        // A dead leader's lease runs out soon; what is due once a second in production is due often.
        command.env("OSS__LEASE__TTL_MS", "1000").env("OSS__LEASE__RENEW_MS", "100");
        command.env("OSS__LOG__TRIM_MS", "50");
        command.env("OSS__VIEW__SYNC_MS", "50").env("OSS__VIEW__CACHE_BYTES", "4194304");
        command
    }

    /// Runs a subcommand to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> i32 {
        let status = self.command().args(arguments).stdout(Stdio::null()).status().expect("runs");
        status.code().expect("an exit code")
    }

    /// Writes a request as SUBMIT does when there is nothing to collect.
    pub(crate) async fn submit(&self, request: Value) -> Rid {
        self.submit_as(&tenant(), Rid::fresh(SHARD), request).await
    }

    pub(crate) async fn submit_as(&self, tenant: &Tenant, rid: Rid, request: Value) -> Rid {
        let request = SyncRequest::parse(&request).expect("a valid request");
        let fp = request.fingerprint();
        let about = About { rid, tenant: tenant.clone(), fp, accepted_ms: None };
        let body = Body::Collected { about, request: Box::new(request), observations: Vec::new() };
        let payload = Message { id: rid.to_string(), traceparent: None, body }.encode();
        self.submit_payload(tenant, rid, fp, &payload).await
    }

    /// An order of the authority `sec`, which is of the tenant `other`, as a collector hands it on that has checked whose it is.
    pub(crate) async fn order(&self, asset: &str, kind: &str) -> Rid {
        let mut request = change(asset, json!({"kind": kind}));
        request["authority"] = json!({"id": "sec", "order": "2026/7"});
        let request = SyncRequest::parse(&request).expect("a valid request");
        let (rid, fp) = (Rid::fresh(SHARD), request.fingerprint());
        let tenant: Tenant = "other".parse().expect("tenant");
        let about = About { rid, tenant: tenant.clone(), fp, accepted_ms: None };
        let body = Body::Collected { about, request: Box::new(request), observations: Vec::new() };
        let payload = Message { id: rid.to_string(), traceparent: None, body }.encode();
        self.submit_to(Route::Express, &tenant, (rid, fp), &payload).await
    }

    pub(crate) async fn submit_payload(&self, tenant: &Tenant, rid: Rid, fp: Digest, payload: &[u8]) -> Rid {
        self.submit_to(Route::Input, tenant, (rid, fp), payload).await
    }

    async fn submit_to(
        &self,
        route: Route,
        tenant: &Tenant,
        (rid, fp): (Rid, Digest),
        payload: &[u8],
    ) -> Rid {
        let submission = Submission { rid, tenant, fp, route, payload, targets: "", source_state: "" };
        let answers = self
            .commands
            .shard(rid.shard())
            .submit(&[submission], SubmitBounds::with_backlog(10_000))
            .await
            .expect("submits");
        assert!(matches!(answers[..], [Submitted::Ok { .. }]), "{answers:?}");
        self.submitted.lock().expect("lock").insert(rid, fp);
        rid
    }

    pub(crate) async fn record(&self, rid: Rid) -> StatusRecord {
        self.commands.shard(rid.shard()).record(rid).await.expect("reads").expect("a record")
    }

    /// The record once its request was decided.
    pub(crate) async fn decided(&self, rid: Rid) -> StatusRecord {
        eventually("the request is decided", async || {
            Some(self.record(rid).await).filter(|record| record.status.rank() >= Status::Committed.rank())
        })
        .await
    }

    /// Submits and waits for the decision.
    pub(crate) async fn decide(&self, request: Value) -> StatusRecord {
        let rid = self.submit(request).await;
        self.decided(rid).await
    }

    /// Takes a target's lane, as a broadcaster does.
    pub(crate) async fn lane(&self, target: &str) -> Fence {
        let token = Token::random();
        let leased =
            self.link().lane_lease(&name(target), &name("test"), &token, 600_000).await.expect("leases");
        let grant = if let LaneLeased::New(grant) = leased { Some(grant) } else { None };
        let grant = grant.expect("the lane is free");
        Fence { epoch: grant.epoch, token }
    }

    /// The entries in a target's outbox.
    pub(crate) async fn outbox(&self, target: &str) -> Vec<u64> {
        let messages = self.link().out_after(&name(target), 0, 2_000).await.expect("reads");
        messages.iter().map(|message| message.id.ms()).collect()
    }

    /// Finishes an entry on a target.
    pub(crate) async fn finish(&self, fence: &Fence, target: &str, seq: u64, state: Delivery) {
        let target = name(target);
        let part = PartReceipt {
            part: 0,
            tx: None,
            block: None,
            applied: vec![0],
            stale: Vec::new(),
            skipped: Vec::new(),
        };
        let receipt = Receipt { seq, target: target.clone(), status: state, parts: vec![part] };
        let message =
            Message { id: format!("{target}/{seq}"), traceparent: None, body: Body::Receipt(receipt) };
        let payload = message.encode();
        let progress = Progress { state, block: None, tx: Vec::new() };
        let entries = [DoneEntry { seq, progress: &progress, receipt: &payload, items: &[] }];
        let rewind = self.link().lane_state(&target).await.expect("reads").rewind;
        let done = Done { target: &target, rewind, entries: &entries, nonces: &[] };
        let reply = self.link().done(fence, &done).await.expect("done");
        assert!(matches!(reply, DoneReply::Ok(_)), "{reply:?}");
    }
}

impl Validator {
    fn field(&self, message: &str, field: &str) -> Option<String> {
        let lines = self.lines.lock().expect("lock");
        let line = lines.iter().find(|line| line["message"] == message)?;
        Some(line[field].as_str().map_or_else(|| line[field].to_string(), str::to_owned))
    }

    /// All log lines so far, for a failing test.
    pub(crate) fn log(&self) -> String {
        let lines = self.lines.lock().expect("lock");
        lines.iter().map(Value::to_string).collect::<Vec<String>>().join("\n")
    }

    /// Waits for a log line.
    pub(crate) async fn says(&self, message: &str) {
        eventually("the log has the line", async || self.field(message, "message")).await;
    }

    async fn built(&self, field: &str) -> String {
        eventually("the validator is built", async || self.field("Built the validator", field)).await
    }

    pub(crate) async fn node(&self) -> String {
        self.built("node").await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(reqwest::Method::GET, path, "operate", &[]).await
    }

    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send(method, path, key, headers, None).await
    }

    pub(crate) async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.try_send(method, path, key, headers, body).await.expect("an answer")
    }

    /// `None`: the process died over it.
    pub(crate) async fn try_send(
        &self,
        method: reqwest::Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Option<Answer> {
        let url = format!("http://{}{path}", self.built("http_address").await);
        let mut request = self.client.request(method, url);
        if !key.is_empty() {
            request = request.bearer_auth(format!("oss_{key}_secret"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        let oss_seq = response.headers().get("oss-seq").map(|value| value.to_str().expect("text").to_owned());
        let replayed = response.headers().contains_key("idempotency-replayed");
        let text = response.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Answer { status, oss_seq, replayed, body })
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn events(&self, path: &str) -> Events {
        let url = format!("http://{}{path}", self.built("http_address").await);
        let response =
            self.client.get(url).bearer_auth("oss_operate_secret").send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        Events { response, text: String::new() }
    }

    /// The bytes of a part of a checkpoint's file, with the status.
    pub(crate) async fn part(&self, path: &str, key: &str) -> (StatusCode, Vec<u8>) {
        let url = format!("http://{}{path}", self.built("http_address").await);
        let request = self.client.get(url).bearer_auth(format!("oss_{key}_secret"));
        let response = request.send().await.expect("an answer");
        (response.status(), response.bytes().await.expect("a body").to_vec())
    }

    /// Waits until the read API shows everything that is in the log now: records are written by COMMIT, the
    /// view a moment later.
    pub(crate) async fn reach_head(&self, bed: &Bed) {
        let head = bed.link().head().await.expect("reads").seq;
        eventually("the view shows the log's head", async || {
            let answer = self.get(&format!("/v1/shards/financial?min_seq={head}")).await;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
    }

    pub(crate) async fn ready(&self) {
        eventually("the validator is ready", async || self.is_ready().await.then_some(())).await;
        // Ready means that leases are held; what only the leader answers follows the first look at the log.
        eventually("the validator leads", async || {
            (self.get("/v1/pipeline").await.status == StatusCode::OK).then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(status.success(), "kill {signal} {id}");
    }

    /// Whether every thread of the process was stopped by a signal.
    pub(crate) fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process");
        let mut states = tasks.map(|task| {
            let stat =
                std::fs::read_to_string(task.expect("a thread").path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
        });
        states.all(|is_stopped| is_stopped)
    }

    /// The exit code, once the process has ended; `None` = by a signal.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        let ended = eventually("the process ends", async || self.child.try_wait().expect("waits")).await;
        ended.code()
    }

    /// SIGTERM, and the end that must follow.
    pub(crate) async fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(self.exit().await, Some(0), "{}", self.log());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("waits").is_some()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("waits");
    }
}

/// A stream of server-sent events.
pub(crate) struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// The data of the next event.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let data = block.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
                let rest = rest.to_owned();
                self.text = rest;
                if let Some(data) = data {
                    return serde_json::from_str(&data).expect("JSON");
                }
                continue;
            }
            let chunk = self.response.chunk().await.expect("reads").expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        // It may have ended before.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of the validator\n{}", self.log());
        }
    }
}

pub(crate) fn register(asset: &str, chains: &[&str]) -> Value {
    json!({"asset": {"id": asset}, "state_changes": [{"kind": "REGISTER", "decimals": 2, "chains": chains}]})
}

pub(crate) fn mint(asset: &str, to: &str, amount: u64) -> Value {
    change(asset, json!({"kind": "MINT", "to": to, "amount": amount.to_string()}))
}

pub(crate) fn transfer(asset: &str, from: &str, to: &str, amount: u64) -> Value {
    change(asset, json!({"kind": "TRANSFER", "from": from, "to": to, "amount": amount.to_string()}))
}

pub(crate) fn change(asset: &str, change: impl Into<Value>) -> Value {
    json!({"asset": {"id": asset}, "state_changes": [change.into()]})
}
