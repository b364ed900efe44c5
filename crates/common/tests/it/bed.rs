//! A private server with a link to it, the fixture every case starts from, and pictures of the data set.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use common::hash::Digest;
use common::ids::{Name, Rid, Shard, Tenant};
use common::keys::Keys;
use common::link::{
    Address, Bind, Bound, Commands, Commit, Committed, Consumed, Fence, LaneLeased, Leased, Link,
    RelayLimits, Relayed, Route, Scripts, Store, Stored, StreamId, Submission, SubmitBounds, Submitted,
    Token,
};
use common::link::{Initialised, Item, Message, Parked, Started};
use redis::Value;
use testkit::redis::{RedisOptions, RedisServer};

pub(crate) type Picture = BTreeMap<String, String>;
pub(crate) type Check<T = ()> = Result<T, Box<dyn Error>>;

/// Long enough that no lease ends during a test.
pub(crate) const TTL_MS: u64 = 600_000;
pub(crate) const LIMITS: RelayLimits = RelayLimits { out_max: 1_024, progress_ttl_ms: TTL_MS };
pub(crate) const BOUNDS: SubmitBounds = SubmitBounds::with_backlog(1_000);

/// Entries pending in the collectors' group, -1 if the stream has no such group.
const PENDING: &str = "local p = redis.pcall('XPENDING', KEYS[1], 'collectors') return p.err and -1 or p[1]";

/// No difference between two pictures.
pub(crate) const NONE: Vec<String> = Vec::new();

/// The keys in which two pictures differ, with both contents.
/// Under which id set-aside messages came.
pub(crate) const FIRST: StreamId = StreamId::new(1_700_000_000_000, 3);

/// A message that nobody can read yet.
pub(crate) fn aside(payload: &[u8]) -> Parked<'_> {
    Parked { payload, first: FIRST }
}

pub(crate) fn changed(before: &Picture, after: &Picture) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differ.map(|key| format!("{key}\n  {:?}\n  {:?}", before.get(key), after.get(key))).collect()
}

/// Fails the scenario instead of panicking, so that a control can see it fail.
#[macro_export]
macro_rules! same {
    ($left:expr, $right:expr) => {
        // A match keeps the temporaries of both sides alive.
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    return Err(format!("{}:{}: {left:?} is not {right:?}", file!(), line!()).into());
                }
            }
        }
    };
}

#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) link: Link,
    pub(crate) keys: Keys,
    pub(crate) server: Arc<Mutex<RedisServer>>,
}

pub(crate) fn server(options: RedisOptions) -> Arc<Mutex<RedisServer>> {
    Arc::new(Mutex::new(RedisServer::start(options).expect("redis-server starts")))
}

pub(crate) fn standalone() -> Arc<Mutex<RedisServer>> {
    server(RedisOptions::default())
}

pub(crate) fn cluster() -> Arc<Mutex<RedisServer>> {
    server(RedisOptions { cluster: true, ..RedisOptions::default() })
}

pub(crate) async fn connect(url: &str, instance: &str) -> Commands {
    let address = Address::new(url, None, None).expect("an address");
    Commands::connect(&address, &name(instance)).await.expect("connects")
}

impl Bed {
    /// An empty server, seen through `scripts`.
    pub(crate) async fn empty(server: &Arc<Mutex<RedisServer>>, scripts: Arc<Scripts>) -> Self {
        locked(server).command(&["FLUSHALL"]).expect("flushes");
        Self::over(server, scripts).await
    }

    /// The server as it is, seen through `scripts`.
    pub(crate) async fn over(server: &Arc<Mutex<RedisServer>>, scripts: Arc<Scripts>) -> Self {
        let url = locked(server).url();
        let commands = connect(&url, "collector-1").await;
        let link = Link::with_scripts(commands, Shard::Financial, scripts);
        Self { link, keys: Keys::new(Shard::Financial), server: Arc::clone(server) }
    }

    pub(crate) async fn fresh() -> Self {
        Self::empty(&standalone(), Scripts::standard()).await
    }

    /// The same server over another connection.
    pub(crate) async fn through(&self, url: &str) -> Self {
        let link = Link::new(connect(url, "collector-1").await, Shard::Financial);
        Self { link, ..self.clone() }
    }

    pub(crate) fn command(&self, parts: &[&str]) -> Value {
        locked(&self.server).command(parts).expect("a plain command")
    }

    pub(crate) fn number(&self, parts: &[&str]) -> i64 {
        redis::from_redis_value(self.command(parts)).expect("a number")
    }

    pub(crate) fn text(&self, parts: &[&str]) -> String {
        match self.command(parts) {
            Value::Nil => String::new(),
            Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::SimpleString(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    pub(crate) fn length(&self, key: &str) -> i64 {
        self.number(&["XLEN", key])
    }

    /// Every key with its content; clock readings, stream ids made from them and random tokens are masked.
    pub(crate) fn picture(&self) -> Picture {
        let keys: Vec<String> = redis::from_redis_value(self.command(&["KEYS", "*"])).expect("keys");
        keys.into_iter()
            .map(|key| {
                let kind = self.text(&["TYPE", &key]);
                let content = match kind.as_str() {
                    "hash" => {
                        let mut map: BTreeMap<String, String> =
                            redis::from_redis_value(self.command(&["HGETALL", &key])).expect("a hash");
                        map.remove("token");
                        format!("{map:?}")
                    }
                    "stream" => {
                        let pending = self.number(&["EVAL", PENDING, "1", &key]);
                        format!("{:?} pending {pending}", self.command(&["XRANGE", &key, "-", "+"]))
                    }
                    "zset" => format!("{:?}", self.command(&["ZRANGE", &key, "0", "-1", "WITHSCORES"])),
                    _ => self.text(&["GET", &key]),
                };
                let expires = self.number(&["PTTL", &key]) > 0;
                (key, masked(&format!("{kind} {expires} {content}")))
            })
            .collect()
    }
}

pub(crate) fn locked(server: &Mutex<RedisServer>) -> std::sync::MutexGuard<'_, RedisServer> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Masks what differs between two equal runs: numbers of ten or more digits together with the number that
/// follows them in a stream id, and random tokens of 32 hex digits.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut was_time = false;
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let tail = &word[digits.len()..];
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let is_token = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let is_time = is_number && digits.len() >= 10;
        let is_id_tail = was_time && is_number;
        out.push_str(if is_token || is_time || is_id_tail { "T" } else { digits });
        out.push_str(tail);
        was_time = is_time && tail == "-";
    }
    out
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(crate) fn tenant() -> Tenant {
    "issuer".parse().expect("a tenant")
}

pub(crate) fn rid(n: u8) -> Rid {
    let mut bytes = [n; 16];
    bytes[15] = Shard::Financial.number();
    Rid::from_bytes(bytes).expect("a shard number at the end")
}

pub(crate) fn fp(n: u8) -> Digest {
    Digest::of(&[b"fp", &[n]])
}

pub(crate) fn item(seq: u64, part: u16) -> Item {
    Item { seq, part }
}

/// The digest of test entry `seq`; entry 0 is the empty log.
pub(crate) fn digest(seq: u64) -> Digest {
    if seq == 0 { Digest::ZERO } else { Digest::of(&[b"entry", &seq.to_be_bytes()]) }
}

pub(crate) fn submission(n: u8, route: Route, tenant: &Tenant) -> Submission<'_> {
    Submission { rid: rid(n), tenant, fp: fp(n), route, payload: b"{\"v\":1}", targets: "", source_state: "" }
}

/// Submits request `n` and answers its stream id.
pub(crate) async fn submit(link: &Link, n: u8, route: Route) -> Check<StreamId> {
    match link.submit(&[submission(n, route, &tenant())], BOUNDS).await?.pop() {
        Some(Submitted::Ok { id }) => Ok(id),
        other => Err(format!("submit answered {other:?}").into()),
    }
}

/// Entry `seq` without any content beside the log.
pub(crate) fn entry(seq: u64) -> Commit<'static> {
    Commit {
        seq,
        prev: digest(seq.saturating_sub(1)),
        digest: digest(seq),
        root: Digest::of(&[b"root"]),
        v: 1,
        body: b"{}",
        consumed: Consumed::default(),
        statuses: &[],
        record_ttl_ms: TTL_MS,
        parked: &[],
        dead_letters: &[],
        attempted: &[],
        barrier: None,
        targets: None,
    }
}

pub(crate) async fn commit(link: &Link, fence: &Fence, entry: &Commit<'_>) -> Check {
    same!(link.commit(fence, entry).await?, Committed::Ok);
    Ok(())
}

pub(crate) async fn lead(link: &Link) -> Check<Fence> {
    let token = Token::random();
    match link.lease(&name("validator-1"), &token, TTL_MS, 0).await? {
        Leased::New { epoch, .. } => Ok(Fence { epoch, token }),
        other => Err(format!("lease answered {other:?}").into()),
    }
}

pub(crate) async fn drive(link: &Link) -> Check<Fence> {
    let token = Token::random();
    match link.lane_lease(&target(), &name("broadcaster-1"), &token, TTL_MS).await? {
        LaneLeased::New(grant) => Ok(Fence { epoch: grant.epoch, token }),
        other => Err(format!("lane lease answered {other:?}").into()),
    }
}

pub(crate) fn target() -> Name {
    name("base")
}

pub(crate) fn bind<'a>(target: &'a Name, items: &'a [Item]) -> Bind<'a> {
    Bind { target, control_seq: 0, rewind: 0, items, chain_next: 0 }
}

pub(crate) fn store<'a>(target: &'a Name, items: &'a [Item], nonce: u64, attempt: u32) -> Store<'a> {
    Store {
        target,
        control_seq: 0,
        rewind: 0,
        nonce,
        items,
        attempt,
        raw: b"signed",
        tx_hash: "0xaa",
        fee: "1",
    }
}

/// Where every case starts: three requests in their streams, the first one delivered to the group; three
/// entries committed and two relayed; item 1/0 bound to nonce 0 and stored; one message parked.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) leader: Fence,
    pub(crate) lane: Fence,
    pub(crate) request: StreamId,
    pub(crate) input: StreamId,
    pub(crate) parked: StreamId,
}

impl Stage {
    pub(crate) async fn set(bed: &Bed) -> Check<Self> {
        let link = &bed.link;
        same!(
            link.init("generation-1", true).await?,
            Initialised::Ok { generation: "generation-1".to_owned() }
        );
        let request = submit(link, 1, Route::Requests).await?;
        let input = submit(link, 2, Route::Input).await?;
        submit(link, 3, Route::Express).await?;
        bed.command(&[
            "XREADGROUP",
            "GROUP",
            "collectors",
            "collector-1",
            "STREAMS",
            &bed.keys.requests(),
            ">",
        ]);
        let leader = lead(link).await?;
        commit(link, &leader, &entry(1)).await?;
        commit(link, &leader, &entry(2)).await?;
        commit(link, &leader, &Commit { parked: &[aside(b"{\"v\":9}")], ..entry(3) }).await?;
        let parked = link.front(common::link::Stream::Parked, 1).await?;
        let parked = parked.first().map(|message: &Message| message.id).ok_or("nothing parked")?;
        same!(link.start_target(&leader, &target(), 0).await?, Started::Ok);
        let payloads: [Option<&[u8]>; 2] = [Some(b"{}"), Some(b"{}")];
        same!(link.relay(&leader, &target(), 1, &payloads, LIMITS).await?, Relayed::Ok { watermark: 2 });
        let lane = drive(link).await?;
        same!(link.bind(&lane, &bind(&target(), &[item(1, 0)])).await?, Bound::Ok { nonce: 0 });
        same!(link.store(&lane, &store(&target(), &[item(1, 0)], 0, 1)).await?, Stored::Ok);
        Ok(Self { leader, lane, request, input, parked })
    }
}
