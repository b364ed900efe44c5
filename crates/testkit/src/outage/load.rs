//! The load of a half: calm requests whose time is taken, stuck ones that only have to be accepted.

use std::time::{Duration, Instant};

use common::ids::Tenant;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{DEAD_CHAIN, DEAD_SOURCE};
use crate::load::{Acknowledged, Client, Planned};
use crate::run::RunError;
use crate::stack::{Api, NULL_SOURCE};

const TENANT: &str = "demo";
const PATIENCE: Duration = Duration::from_mins(1);
/// One asset in each shard.
const CLASSES: [&str; 4] = ["bond", "game_item", "real_estate", "invoice"];
/// Every third calm request asks a source that answers.
const SOURCED: usize = 3;
/// Calm requests per stuck one.
const STUCK: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How a calm request went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calm {
    pub(super) committed: Duration,
    pub(super) completed: Duration,
    pub(super) is_completed: bool,
}

/// What was sent so far.
#[derive(Debug)]
pub(super) struct Load {
    api: Api,
    client: Client,
    tenant: Tenant,
    sent: Vec<Planned>,
    acknowledged: Vec<Acknowledged>,
}

impl Load {
    /// Registers the assets.
    pub(super) async fn start(api: Api) -> Result<Self, RunError> {
        let tenant = TENANT.parse().map_err(|_| RunError::Broken("the tenant is none"))?;
        let client = Client::new(api.clone(), PATIENCE);
        let mut load = Self { api, client, tenant, sent: Vec::new(), acknowledged: Vec::new() };
        for class in CLASSES {
            for (name, chains) in [("calm", ["base", "arbitrum"]), ("stuck", ["base", DEAD_CHAIN])] {
                let register = json!({"kind": "REGISTER", "decimals": 2, "chains": chains});
                let body = json!({"asset": {"id": format!("{class}:{name}")}, "state_changes": [register]});
                load.send(body).await?;
            }
        }
        Ok(load)
    }

    fn plan(&mut self, body: Value) -> Result<Planned, RunError> {
        let key = format!("outage-{}", self.sent.len());
        let planned =
            Planned::new(&self.tenant, &key, body).ok_or(RunError::Broken("a request is not well formed"))?;
        self.sent.push(planned.clone());
        Ok(planned)
    }

    async fn send(&mut self, body: Value) -> Result<(), RunError> {
        let planned = self.plan(body)?;
        self.acknowledged.push(self.client.send(&planned).await?);
        Ok(())
    }

    /// The `n`-th calm request.
    fn calm(n: usize) -> Value {
        let mut body = mint(n, "calm");
        if n.is_multiple_of(SOURCED) {
            body["external_apis"] = json!([NULL_SOURCE]);
        }
        body
    }

    /// The `n`-th stuck one: the chain is dead, or the source.
    fn stuck(n: usize) -> Value {
        if n.is_multiple_of(2) {
            return mint(n / 2, "stuck");
        }
        let mut body = mint(n / 2, "calm");
        body["external_apis"] = json!([DEAD_SOURCE]);
        body
    }

    /// Offers both kinds for so long, and waits until every calm one has ended; answers how those went and how many
    /// stuck ones there were.
    pub(super) async fn offer(
        &mut self,
        length: Duration,
        per_second: u32,
        mut look: impl AsyncFnMut() -> Result<(), RunError>,
    ) -> Result<(Vec<Calm>, usize), RunError> {
        let (began, mut calm, mut stuck) = (Instant::now(), 0, 0);
        let mut beats = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        let (mut timed, mut told) = (JoinSet::new(), JoinSet::new());
        let mut looked = Instant::now();
        while began.elapsed() < length {
            beats.tick().await;
            let planned = self.plan(Self::calm(calm))?;
            self.acknowledged.push(Acknowledged::once(&planned));
            timed.spawn(time(self.api.clone(), planned));
            calm += 1;
            if calm % STUCK == 0 {
                let planned = self.plan(Self::stuck(stuck))?;
                let client = self.client.clone();
                told.spawn(async move { client.send(&planned).await });
                stuck += 1;
            }
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                look().await?;
            }
        }
        let mut calm = Vec::with_capacity(timed.len());
        while let Some(done) = timed.join_next().await {
            calm.push(done??);
        }
        while let Some(done) = told.join_next().await {
            self.acknowledged.push(done??);
        }
        Ok((calm, stuck))
    }

    pub(super) fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    pub(super) fn into_sent(self) -> (Vec<Planned>, Vec<Acknowledged>) {
        (self.sent, self.acknowledged)
    }
}

fn mint(n: usize, name: &str) -> Value {
    let class = CLASSES.get(n % CLASSES.len()).copied().unwrap_or_default();
    let mint = json!({"kind": "MINT", "to": "acct:a", "amount": "1"});
    json!({"asset": {"id": format!("{class}:{name}")}, "state_changes": [mint]})
}

/// Sends a calm request and waits until it is committed, then until it has ended.
async fn time(api: Api, planned: Planned) -> Result<Calm, RunError> {
    let began = Instant::now();
    let request = api.request(Method::POST, "/v1/sync-requests").json(&planned.body);
    let request = request.header("Idempotency-Key", &planned.key).header("Prefer", "wait=30");
    let mut answer = Api::send(request).await?;
    if answer.status != 200 {
        let text = format!("a calm request was answered {}: {}", answer.status, answer.body);
        return Err(RunError::Failed(text));
    }
    let committed = began.elapsed();
    while began.elapsed() < PATIENCE && !is_end(answer.text("/status")) {
        let path = format!("/v1/sync-requests/{}?until=completed", planned.rid);
        answer = Api::send(api.request(Method::GET, &path).header("Prefer", "wait=30")).await?;
    }
    if answer.text("/status") != "completed" {
        return Err(RunError::Failed(format!("a calm request is not completed: {}", answer.body)));
    }
    Ok(Calm { committed, completed: began.elapsed(), is_completed: true })
}

fn is_end(status: &str) -> bool {
    common::status::Status::from_name(status).is_some_and(common::status::Status::is_end)
}
