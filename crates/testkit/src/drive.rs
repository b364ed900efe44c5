//! Load for a deployment that somebody else runs, and the checks of what became of it.
//!
//! In: its one URL, keys, and the target chains with their contracts; how many requests about how many assets, each with a source.
//! Out: a [`Report`] after everything has ended and every invariant holds, versions on the chains included. While requests
//! are sent the count goes to a callback, so that a script can kill what it likes at a known moment; a request is
//! repeated until it is acknowledged. Each one's record is read until it is committed: who collected is known till then.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy::providers::RootProvider;
use common::status::Status;
use common::targets::Targets;
use serde_json::json;
use tokio::task::JoinSet;

use crate::checker::{self, Ledger, Summary};
use crate::load::{Acknowledged, Client, Planned};
use crate::run::RunError;
use crate::stack::{Api, Tokens};

const TENANT: &str = "demo";
const CLASSES: [&str; 4] = ["bond", "game_item", "real_estate", "invoice"];
const PATIENCE: Duration = Duration::from_mins(2);
const DRAINED_WITHIN: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, Clone)]
pub struct Options {
    pub url: String,
    pub tokens: Tokens,
    pub targets: Targets,
    /// RPC URL per target chain.
    pub chains: BTreeMap<String, String>,
    /// Named by every request.
    pub source: String,
    pub requests: usize,
    pub assets: usize,
    pub per_second: u32,
    /// Makes the assets' names and the keys those of this run.
    pub run: String,
}

#[derive(Debug)]
pub struct Report {
    /// Requests by their end.
    pub ends: BTreeMap<String, usize>,
    /// How often each collector was seen in a record.
    pub by: BTreeMap<String, usize>,
    pub repeated: usize,
    pub summary: Summary,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ends {:?}", self.ends)?;
        writeln!(f, "by {:?}", self.by)?;
        writeln!(f, "sent more than once: {}", self.repeated)?;
        write!(f, "{:?}", self.summary)
    }
}

type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

/// Registers the assets, sends the requests, waits for the ends and checks everything.
///
/// # Errors
/// A request is not completed, or an invariant does not hold.
pub async fn run(options: Options, mut told: impl FnMut(usize)) -> Result<Report, RunError> {
    let api = Api::remote(&options.url, options.tokens.clone());
    let client = Client::new(api.clone(), PATIENCE);
    let ledgers = ledgers(&options)?;
    let names: Vec<&str> = ledgers.iter().map(|ledger| ledger.name.as_str()).collect();
    let mut sent = Vec::new();
    for n in 0..options.assets {
        let register = json!({"kind": "REGISTER", "decimals": 2, "chains": names});
        sent.push(plan(&options, &format!("register-{n}"), n, &register, false)?);
    }
    let mut acknowledged = client.send_all(sent.clone(), 8).await?;
    checker::drained(&api, &acknowledged, DRAINED_WITHIN).await?;

    let (seen, mut tasks) = (Seen::default(), JoinSet::new());
    let mut beats = tokio::time::interval(Duration::from_secs(1) / options.per_second.max(1));
    for n in 0..options.requests {
        beats.tick().await;
        told(n);
        let mint = json!({"kind": "MINT", "to": "acct:a", "amount": "1"});
        let planned = plan(&options, &format!("mint-{n}"), n % options.assets.max(1), &mint, true)?;
        sent.push(planned.clone());
        tasks.spawn(follow(client.clone(), api.clone(), planned, Arc::clone(&seen)));
    }
    while let Some(done) = tasks.join_next().await {
        acknowledged.push(done??);
    }
    told(options.requests);
    checker::drained(&api, &acknowledged, DRAINED_WITHIN).await?;
    let evidence = checker::gather_from(&api, &ledgers, &sent, &acknowledged).await?;
    let summary = checker::check_all(&evidence)?;
    let mut ends = BTreeMap::new();
    for answer in evidence.answers.values() {
        *ends.entry(answer.status.name().to_owned()).or_default() += 1;
    }
    let repeated = acknowledged.iter().filter(|request| request.sent > 1).count();
    let by = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Report { ends, by, repeated, summary })
}

fn ledgers(options: &Options) -> Result<Vec<Ledger>, RunError> {
    let of_chain = |(name, url): (&String, &String)| {
        let target = options.targets.iter().find(|target| target.name.as_str() == name);
        let target = target.ok_or(RunError::Broken("a chain is no target"))?;
        let contract = target.contract.ok_or(RunError::Broken("a target has no contract"))?.to_string();
        let url = url.parse().map_err(|_| RunError::Broken("a chain's URL is none"))?;
        Ok(Ledger { name: target.name.clone(), contract, provider: RootProvider::new_http(url) })
    };
    options.chains.iter().map(of_chain).collect()
}

fn plan(
    options: &Options,
    key: &str,
    asset: usize,
    change: &serde_json::Value,
    is_collected: bool,
) -> Result<Planned, RunError> {
    let tenant = TENANT.parse().map_err(|_| RunError::Broken("the tenant is none"))?;
    let class = CLASSES.get(asset % CLASSES.len()).copied().unwrap_or_default();
    let id = format!("{class}:{}-{asset}", options.run);
    let mut body = json!({"asset": {"id": id}, "state_changes": [change]});
    if is_collected {
        body["external_apis"] = json!([options.source]);
    }
    let planned = Planned::new(&tenant, &format!("{}-{key}", options.run), body);
    planned.ok_or(RunError::Broken("a request is not well formed"))
}

/// Sends a request, then reads its record until it is committed and notes who collects for it.
async fn follow(client: Client, api: Api, planned: Planned, seen: Seen) -> Result<Acknowledged, RunError> {
    let acknowledged = client.send(&planned).await?;
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < PATIENCE {
        // Whatever happens to a replica meanwhile: what counts is asked again at the end.
        if let Ok(answer) = api.status(planned.rid).await {
            let by = answer.text("/by");
            if !by.is_empty() && by != last {
                by.clone_into(&mut last);
                *seen.lock().unwrap_or_else(PoisonError::into_inner).entry(last.clone()).or_default() += 1;
            }
            let status = Status::from_name(answer.text("/status"));
            if status.is_some_and(|status| status.rank() >= Status::Committed.rank()) {
                break;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(acknowledged)
}
