//! The scenario, step by step. Each step sends a real request and compares what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::amount::Amount;
use common::auth::Scope;
use common::ids::{IdempotencyKey, Name};
use common::proof::{Membership, StateProof};
use common::state::{self, HoldingRecord};
use common::status::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chains::{self, AssetState, Bridge};
use super::expected::Unexpected;
use super::facts::{self, NOTE, RATE};
use super::requests;
use super::token::{self, ALICE, BOB, CAROL, Token};
use crate::access::StackFile;
use crate::args::Until;
use crate::client::{Answer, Client, ClientError, Origin};
use crate::request_view::RequestView;
use crate::ui::Ui;
use crate::watch;

/// Face value in cents: what each holder gets.
const ALICE_CENTS: u128 = 100_000_000;
const BOB_CENTS: u128 = 25_000_000;

/// What happened.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) asset: String,
    pub(super) steps: Vec<Step>,
    pub(super) chains: BTreeMap<Name, ChainRow>,
    pub(super) proof: ProofRow,
    /// Everything that was not as expected; empty = the demo succeeded.
    pub(super) unexpected: Vec<String>,
}

/// One request and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) rid: String,
    pub(super) status: &'static str,
    pub(super) code: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) replayed: bool,
    pub(super) transactions: BTreeMap<Name, Vec<String>>,
}

/// What one chain holds at the end.
#[derive(Debug, Serialize)]
pub(super) struct ChainRow {
    /// Of the transfer.
    pub(super) transaction: Option<String>,
    #[serde(flatten)]
    pub(super) state: AssetState,
    /// `proveState` of the holding against the root that this chain anchored.
    pub(super) proved: bool,
    /// `proveState` of the same proof with another value.
    pub(super) tampered_refused: bool,
}

/// The proof of a holding.
#[derive(Debug, Serialize)]
pub(super) struct ProofRow {
    pub(super) key: String,
    pub(super) balance: Option<Amount>,
    pub(super) seq: u64,
    pub(super) root: String,
    /// Checked by this program, offline.
    pub(super) valid: bool,
}

struct Scenario<'a> {
    client: &'a Client,
    ui: &'a Ui,
    timeout: Duration,
    /// Makes this run's idempotency keys its own.
    run: String,
    steps: Vec<Step>,
    unexpected: Unexpected,
}

pub(super) async fn play(
    client: &Client,
    file: &StackFile,
    timeout: Duration,
    ui: &Ui,
) -> anyhow::Result<Outcome> {
    let run = format!("demo-{:08x}", rand::random::<u32>());
    let mut scenario =
        Scenario { client, ui, timeout, run, steps: Vec::new(), unexpected: Unexpected::default() };
    let bridges = chains::bridges(file)?;
    let token = Token::connect(file.source_chain.as_ref().context("the stack has no source chain")?)?;

    let (alice_before, bob_before) = scenario.register(&bridges).await?;
    let event = scenario.mints(&token).await?;
    let amount = Amount::new((alice_before + ALICE_CENTS) / 10 * 6);
    scenario.transfer_and_double_spend(amount).await?;
    scenario.used_event(&event).await?;
    scenario.same_key(amount).await?;

    let bob = bob_before + BOB_CENTS + amount.units();
    let proof = scenario.holding_proof(Amount::new(bob)).await?;
    let rows = scenario.compare_chains(&bridges, &proof).await?;
    let row = proof_row(&proof);
    Ok(Outcome {
        asset: facts::asset_id(),
        steps: scenario.steps,
        chains: rows,
        proof: row,
        unexpected: scenario.unexpected.into_faults(),
    })
}

impl Scenario<'_> {
    /// Registers the note, unless an earlier demo on this stack has; gives both holders' balances before.
    async fn register(&mut self, bridges: &[Bridge]) -> anyhow::Result<(u128, u128)> {
        let path = format!("/v1/assets/{}", facts::asset_id());
        match self.client.get::<Value>(Origin::Validator, &path, Scope::Read).await {
            Ok(_) => {
                self.ui.progress("the note is registered already");
                return Ok((self.balance(ALICE).await?, self.balance(BOB).await?));
            }
            Err(ClientError::Problem(problem)) if problem.status == 404 => {}
            Err(error) => return Err(error.into()),
        }
        let chains: Vec<String> = bridges.iter().map(|bridge| bridge.chain.to_string()).collect();
        let view = self.send("register", &requests::register(&chains), "register").await?;
        self.settle("register", view, Status::Completed, None).await?;
        let asset: Value =
            self.client.get(Origin::Validator, &path, Scope::Read).await.context("the asset")?;
        let term = |name: &str| asset.pointer(&format!("/terms/{name}")).and_then(Value::as_str);
        self.unexpected.unless_equal("coupon", &term("coupon_percent"), &Some(NOTE.coupon));
        // The request only names the source: this value came through the collector and the log.
        self.unexpected.unless_equal("benchmark yield", &term("benchmark_yield_percent"), &Some(RATE.value));
        Ok((0, 0))
    }

    /// Two mints on the source chain, then the requests they back. Gives the first event.
    async fn mints(&mut self, token: &Token) -> anyhow::Result<common::request::EventRef> {
        let (alice, bob) = (Amount::new(ALICE_CENTS), Amount::new(BOB_CENTS));
        let to_alice = token.mint(ALICE, alice).await?;
        let to_bob = token.mint(BOB, bob).await?;
        self.ui.progress(format!("source chain: Transfer events {to_alice} and {to_bob}"));
        let first = requests::mint(&token::account(ALICE), alice, &to_alice);
        let second = requests::mint(&token::account(BOB), bob, &to_bob);
        let first = self.send("mint to Alice", &first, "mint-alice").await?;
        let second = self.send("mint to Bob", &second, "mint-bob").await?;
        self.settle("mint to Alice", first, Status::Completed, None).await?;
        self.settle("mint to Bob", second, Status::Completed, None).await?;
        Ok(to_alice)
    }

    /// Alice spends most of what she has twice. Both are on their way at once; the first one arrived first.
    async fn transfer_and_double_spend(&mut self, amount: Amount) -> anyhow::Result<()> {
        let alice = token::account(ALICE);
        let first = requests::transfer(&alice, &token::account(BOB), amount);
        let second = requests::transfer(&alice, &token::account(CAROL), amount);
        let first = self.send("transfer Alice to Bob", &first, "transfer").await?;
        let second = self.send("double spend", &second, "double-spend").await?;
        self.settle("transfer Alice to Bob", first, Status::Completed, None).await?;
        self.settle("double spend", second, Status::Rejected, Some("INSUFFICIENT_BALANCE")).await
    }

    async fn used_event(&mut self, event: &common::request::EventRef) -> anyhow::Result<()> {
        let request = requests::mint(&token::account(ALICE), Amount::new(ALICE_CENTS), event);
        let answer = self.send("same event again", &request, "same-event").await?;
        self.settle("same event again", answer, Status::Rejected, Some("EVENT_ALREADY_USED")).await
    }

    async fn same_key(&mut self, amount: Amount) -> anyhow::Result<()> {
        let request = requests::transfer(&token::account(ALICE), &token::account(BOB), amount);
        let answer = self.send("same key again", &request, "transfer").await?;
        let rid = answer.view.fields.rid.to_string();
        let first =
            self.steps.iter().find(|step| step.name == "transfer Alice to Bob").map(|step| step.rid.clone());
        self.unexpected.unless_equal("same key again: request id", &Some(rid), &first);
        self.unexpected.unless_equal("same key again: replayed", &answer.replayed, &true);
        self.settle("same key again", answer, Status::Completed, None).await
    }

    /// The proof of Bob's holding against the newest root that is final on all chains, checked offline.
    async fn holding_proof(&mut self, balance: Amount) -> anyhow::Result<StateProof> {
        let path = format!("/v1/holdings/{}/{}/proof", facts::asset_id(), token::account(BOB));
        let proof: StateProof =
            self.client.get(Origin::Validator, &path, Scope::Read).await.context("the holding's proof")?;
        match proof.verify() {
            Ok(membership) => self.unexpected.unless_equal("proof", &membership, &Membership::Present),
            Err(error) => self.unexpected.note(format!("proof: {error}")),
        }
        self.unexpected.unless_equal("Bob's balance", &balance_of(&proof), &Some(balance));
        Ok(proof)
    }

    async fn compare_chains(
        &mut self,
        bridges: &[Bridge],
        proof: &StateProof,
    ) -> anyhow::Result<BTreeMap<Name, ChainRow>> {
        let path = format!("/v1/assets/{}/proof", facts::asset_id());
        let asset: StateProof =
            self.client.get(Origin::Validator, &path, Scope::Read).await.context("the asset's proof")?;
        if let Err(error) = asset.verify() {
            self.unexpected.note(format!("the asset's proof: {error}"));
        }
        let version =
            asset.value.as_deref().and_then(|value| state::decode::<state::AssetRecord>(value).ok());
        let expected = AssetState {
            version: version.map_or(0, |record| record.version),
            state_hash: asset.value_hash.unwrap_or_default(),
        };
        let tampered = tampered(proof)?;
        let mut rows = BTreeMap::new();
        for bridge in bridges {
            let chain = &bridge.chain;
            let state = bridge.asset_state(asset.key_hash).await.with_context(|| format!("chain {chain}"))?;
            self.unexpected.unless_equal(&format!("{chain}: asset state"), &state, &expected);
            let root = bridge.root_of(proof).await?;
            self.unexpected.unless_equal(&format!("{chain}: anchored root"), &root, &Some(proof.root));
            let proved = bridge.proves(proof).await?;
            self.unexpected.unless_equal(&format!("{chain}: proveState"), &proved, &true);
            let tampered_refused = !bridge.proves(&tampered).await?;
            self.unexpected.unless_equal(
                &format!("{chain}: tampered proof refused"),
                &tampered_refused,
                &true,
            );
            let transaction = self.transaction("transfer Alice to Bob", chain);
            if transaction.is_none() {
                self.unexpected.note(format!("{chain}: the transfer has no transaction"));
            }
            rows.insert(chain.clone(), ChainRow { transaction, state, proved, tampered_refused });
        }
        self.unexpected.unless_equal("number of chains", &rows.len(), &3);
        Ok(rows)
    }

    fn transaction(&self, step: &str, chain: &Name) -> Option<String> {
        let step = self.steps.iter().find(|found| found.name == step)?;
        step.transactions.get(chain)?.first().cloned()
    }

    /// What an account holds now; a demo on a running stack starts with what earlier ones left.
    async fn balance(&self, of: alloy::primitives::Address) -> anyhow::Result<u128> {
        #[derive(Deserialize)]
        struct Holding {
            balance: Amount,
        }
        let path = format!("/v1/holdings/{}/{}", facts::asset_id(), token::account(of));
        match self.client.get::<Holding>(Origin::Validator, &path, Scope::Read).await {
            Ok(holding) => Ok(holding.balance.units()),
            Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(0),
            Err(error) => Err(anyhow::Error::from(error).context("a holding")),
        }
    }

    async fn send(&self, name: &str, request: &Value, key: &str) -> anyhow::Result<Answer> {
        let key: IdempotencyKey = format!("{}-{key}", self.run).parse().context("an idempotency key")?;
        let answer = self
            .client
            .submit(serde_json::to_vec(request)?, Some(&key), None)
            .await
            .with_context(|| name.to_owned())?;
        self.ui.progress(format!(
            "{name}: {}{}",
            answer.view.fields.rid,
            if answer.replayed { " replayed" } else { "" }
        ));
        Ok(answer)
    }

    /// Follows a request to its end and compares it.
    async fn settle(
        &mut self,
        name: &'static str,
        answer: Answer,
        status: Status,
        code: Option<&str>,
    ) -> anyhow::Result<()> {
        let replayed = answer.replayed;
        let view = watch::follow(self.client, answer, Until::Completed, self.timeout, self.ui).await?;
        let fields = &view.fields;
        self.unexpected.unless_equal(&format!("{name}: status"), &fields.status.name(), &status.name());
        self.unexpected.unless_equal(&format!("{name}: code"), &fields.code.as_deref(), &code);
        self.steps.push(step(name, &view, replayed));
        if fields.status != status {
            let reason = view.reason().unwrap_or_default();
            bail!("{name} ended as {} instead of {}: {reason}", fields.status.name(), status.name());
        }
        Ok(())
    }
}

fn step(name: &'static str, view: &RequestView, replayed: bool) -> Step {
    let fields = &view.fields;
    let transactions =
        fields.targets.iter().map(|(target, progress)| (target.clone(), progress.tx.clone())).collect();
    Step {
        name,
        rid: fields.rid.to_string(),
        status: fields.status.name(),
        code: fields.code.clone(),
        reason: view.reason(),
        replayed,
        transactions,
    }
}

fn proof_row(proof: &StateProof) -> ProofRow {
    ProofRow {
        key: proof.key.clone(),
        balance: balance_of(proof),
        seq: proof.seq,
        root: proof.root.to_string(),
        valid: proof.verify() == Ok(Membership::Present),
    }
}

fn balance_of(proof: &StateProof) -> Option<Amount> {
    let record: HoldingRecord = state::decode(proof.value.as_deref()?).ok()?;
    Some(record.balance)
}

/// The proof as somebody would forge it: the same path, another value.
fn tampered(proof: &StateProof) -> anyhow::Result<StateProof> {
    let mut forged = proof.clone();
    let mut leaf = forged.leaf.context("the proof has no leaf")?;
    leaf.value_hash.0[0] ^= 1;
    forged.leaf = Some(leaf);
    Ok(forged)
}
