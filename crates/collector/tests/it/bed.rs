//! One private Redis, initialised as a validator would, and collectors over it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use collector::Settings;
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::keys::Keys;
use common::link::{
    Address, Commands, Commit, Committed, Consumed, Fence, Initialised, Leased, Link, Message, StatusWrite,
    Stream, Token,
};
use common::message::{Body, Message as Wire};
use common::status::{OutcomeKind, Status};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::redis::{RedisOptions, RedisServer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const SUBMIT: &str = "oss_devsubmit_s";
pub(crate) const READ: &str = "oss_devread_r";
pub(crate) const OTHER: &str = "oss_other_o";
/// Of another tenant, for the authority `sec`.
pub(crate) const REGULATE: &str = "oss_regulate_g";
/// Long enough for a busy machine, far below a test's own time limit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Redis with a folder of configuration files.
pub(crate) struct Bed {
    pub(crate) redis: RedisServer,
    pub(crate) folder: TempDir,
    pub(crate) client: reqwest::Client,
}

/// A collector in this process.
pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) admin: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let bed = Self::uninitialised();
        for shard in Shard::ALL {
            let initialised = bed.link(shard).await.init("generation-1", true).await.expect("INIT");
            assert!(matches!(initialised, Initialised::Ok { .. }));
        }
        bed
    }

    pub(crate) fn uninitialised() -> Self {
        let redis = RedisServer::start(RedisOptions::default()).expect("redis-server starts");
        let folder = TempDir::new().expect("a folder");
        let bed = Self { redis, folder, client: reqwest::Client::new() };
        let key = |id: &str, secret: &str, tenant: &str, scopes: &[&str]| json!({"id": id, "sha256": Digest::of(&[secret.as_bytes()]), "tenant": tenant, "scopes": scopes});
        let mut regulator = key("regulate", "g", "sec", &["regulate", "read"]);
        regulator["authorities"] = json!(["sec"]);
        bed.write(
            "keys.json",
            &json!({"keys": [
                regulator,
                key("devsubmit", "s", "demo", &["submit", "read"]),
                key("devread", "r", "demo", &["read"]),
                key("peer", "p", "demo", &["peer"]),
                key("other", "o", "other", &["submit", "read"]),
            ]}),
        );
        bed.write(
            "targets.json",
            &json!({"targets": [
                {"name": "base", "kind": "null"}, {"name": "arbitrum", "kind": "null"},
            ]}),
        );
        bed.sources(&json!([]));
        bed
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, content: &Value) {
        std::fs::write(self.path(file), content.to_string()).expect("a file");
    }

    pub(crate) fn sources(&self, sources: &Value) {
        self.write("sources.json", &json!({ "sources": sources }));
    }

    /// Settings of a collector over this Redis, on free ports.
    pub(crate) fn settings(&self, instance: &str) -> Settings {
        let mut settings: Settings = common::config::load(collector::DEFAULTS, None).expect("the defaults");
        instance.clone_into(&mut settings.instance);
        settings.redis.url = self.redis.url();
        settings.keys_file = self.path("keys.json");
        settings.targets_file = self.path("targets.json");
        settings.sources_file = text(&self.path("sources.json"));
        "127.0.0.1:0".clone_into(&mut settings.http.listen);
        "127.0.0.1:0".clone_into(&mut settings.http.admin_listen);
        settings
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(self.settings("collector-1")).await
    }

    /// The same, with these validators to ask.
    pub(crate) async fn start_asking(&self, validators: Vec<String>) -> Running {
        self.start_with(Settings { validators, ..self.settings("collector-1") }).await
    }

    pub(crate) async fn start_with(&self, settings: Settings) -> Running {
        let service = collector::build(settings).await.expect("the collector comes up");
        let base = format!("http://{}", service.http_address());
        let admin = format!("http://{}", service.admin_address());
        let (stop, stopped) = oneshot::channel();
        let task = actix_rt::spawn(service.run(async move { drop(stopped.await) }));
        let running = Running { base, admin, stop: Some(stop), task };
        until("the collector is ready", async || {
            let ready = self.client.get(format!("{}/readyz", running.admin)).send().await;
            ready.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        running
    }

    pub(crate) async fn link(&self, shard: Shard) -> Link {
        let address = Address::new(&self.redis.url(), None, None).expect("an address");
        let commands = Commands::connect(&address, &"tester".parse().unwrap()).await.expect("redis");
        commands.shard(shard)
    }

    pub(crate) async fn post(&self, running: &Running, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post_as(running, SUBMIT, body.to_string(), headers).await
    }

    pub(crate) async fn post_as(
        &self,
        running: &Running,
        key: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Answer {
        let request = self.client.post(format!("{}/v1/sync-requests", running.base)).bearer_auth(key);
        let request = request.header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.body(body).send().await.expect("an answer")).await
    }

    pub(crate) async fn get(&self, running: &Running, rid: Rid, headers: &[(&str, &str)]) -> Answer {
        self.ask(reqwest::Method::GET, READ, format!("{}/v1/sync-requests/{rid}", running.base), headers)
            .await
    }

    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        key: &str,
        url: String,
        headers: &[(&str, &str)],
    ) -> Answer {
        let request = self.client.request(method, url).bearer_auth(key);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// The messages of a stream of the financial shard.
    pub(crate) async fn messages(&self, stream: Stream) -> Vec<(Message, Wire)> {
        let messages = self.link(Shard::Financial).await.front(stream, 2_000).await.expect("a read");
        let decoded = messages.into_iter().map(|message| {
            let wire = Wire::decode(&message.payload).expect("a message");
            (message, wire)
        });
        decoded.collect()
    }

    /// Waits until `:in` of the financial shard holds `count` messages.
    pub(crate) async fn input(&self, count: usize) -> Vec<(Message, Wire)> {
        let link = self.link(Shard::Financial).await;
        until("messages in :in", async || {
            link.front(Stream::Input, count).await.is_ok_and(|messages| messages.len() >= count)
        })
        .await;
        self.messages(Stream::Input).await
    }

    /// How many keys of status records there are, in all shards.
    pub(crate) fn records(&self) -> usize {
        let keys = self.redis.command(&["KEYS", "*:req:*"]).expect("KEYS");
        redis::from_redis_value::<Vec<String>>(keys).expect("keys").len()
    }

    /// How many entries the working streams of all shards hold.
    pub(crate) fn entries(&self) -> i64 {
        let length = |key: String| -> i64 {
            redis::from_redis_value(self.redis.command(&["XLEN", &key]).expect("XLEN")).expect("a number")
        };
        Shard::ALL
            .into_iter()
            .map(Keys::new)
            .flat_map(|keys| [keys.requests(), keys.input(), keys.input_express()])
            .map(length)
            .sum()
    }
}

impl Running {
    /// Ends it in order and waits for it.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.expect("no panic").expect("a clean end");
    }
}

/// A read answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn rid(&self) -> Rid {
        self.body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id: {self:?}"))
    }

    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap_or("none").to_owned()).collect()
    }
}

/// A validator's pen: what COMMIT writes into records.
pub(crate) struct Leader {
    link: Link,
    fence: Fence,
    seq: u64,
    prev: Digest,
}

impl Leader {
    pub(crate) async fn new(link: Link) -> Self {
        let token = Token::random();
        let node = "validator-1".parse().expect("a name");
        let Ok(Leased::New { epoch, .. }) = link.lease(&node, &token, 600_000, 0).await else {
            panic!("the lease is free")
        };
        Self { link, fence: Fence { epoch, token }, seq: 0, prev: Digest::ZERO }
    }

    /// Decides one request as the log would.
    pub(crate) async fn decide(
        &mut self,
        rid: Rid,
        status: Status,
        outcome: OutcomeKind,
        code: Option<&str>,
    ) -> u64 {
        let seq = self.seq + 1;
        let decided = |fp| StatusWrite {
            rid,
            fp,
            status,
            seq: Some(seq),
            outcome: Some(outcome),
            code,
            errors: None,
            ended_ms: None,
            replaces: None,
            withdrawn: None,
        };
        self.write(rid, decided).await
    }

    /// Tells a completed request that an observation of it was withdrawn.
    pub(crate) async fn tell(&mut self, rid: Rid) -> u64 {
        let seq = self.seq + 1;
        let told = |fp| StatusWrite {
            rid,
            fp,
            status: Status::Completed,
            seq: None,
            outcome: None,
            code: None,
            errors: None,
            ended_ms: None,
            replaces: None,
            withdrawn: Some(seq),
        };
        self.write(rid, told).await
    }

    async fn write<'a>(&mut self, rid: Rid, write: impl FnOnce(Digest) -> StatusWrite<'a>) -> u64 {
        let record = self.link.record(rid).await.expect("a read").expect("a record");
        let write = write(record.fp);
        self.seq += 1;
        let digest = Digest::of(&[&self.seq.to_be_bytes()]);
        let entry = Commit {
            seq: self.seq,
            prev: self.prev,
            digest,
            root: Digest::ZERO,
            v: 1,
            body: b"{}",
            consumed: Consumed::default(),
            statuses: &[write],
            record_ttl_ms: 600_000,
            attempted: &[],
            parked: &[],
            dead_letters: &[],
            barrier: None,
            targets: None,
        };
        assert_eq!(self.link.commit(&self.fence, &entry).await.expect("COMMIT"), Committed::Ok);
        self.prev = digest;
        self.seq
    }
}

/// Polls a condition until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a text path").to_owned()
}

/// A request with nothing to collect.
pub(crate) fn mint(name: &str) -> Value {
    json!({"asset": {"id": format!("bond:{name}")}, "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}]})
}

/// A request that names event sources or APIs.
pub(crate) fn with(name: &str, fields: &Value) -> Value {
    let mut request = mint(name);
    for (key, value) in fields.as_object().expect("an object") {
        request[key] = value.clone();
    }
    request
}

/// The failure of a FAILED message.
pub(crate) fn failure(wire: &Wire) -> &common::message::Failure {
    match &wire.body {
        Body::Failed { failure, .. } => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

/// The observations of a COLLECTED message.
pub(crate) fn observations(wire: &Wire) -> &[common::observation::Observation] {
    match &wire.body {
        Body::Collected { observations, .. } => observations,
        other => panic!("not collected: {other:?}"),
    }
}
