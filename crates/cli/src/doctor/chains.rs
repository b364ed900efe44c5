//! The target chains: chain id, contract, validator set, gas wallets.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use alloy::providers::{Provider as _, ProviderBuilder};
use common::ids::Name;
use common::targets::{Target, TargetKind, Targets};

use super::finding::Finding;
use super::services::Sender;
use crate::stack::contracts::abi::{QuorumVerifier, StateBridge};

const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen of one target.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) name: Name,
    pub(super) expected_chain: u64,
    /// The chain that answers, or why none does.
    pub(super) chain: Result<u64, String>,
    pub(super) has_code: bool,
    /// Members of the set in the file, and whether it is valid now.
    pub(super) set: Option<(Vec<Address>, bool)>,
    pub(super) set_id: u64,
    pub(super) wallets: Vec<Wallet>,
}

#[derive(Debug, Clone)]
pub(super) struct Wallet {
    pub(super) sender: Sender,
    pub(super) balance: U256,
    /// The chain's next nonce for it.
    pub(super) nonce: u64,
}

pub(super) async fn look(targets: &Targets, rpcs: &BTreeMap<Name, String>, senders: &[Sender]) -> Vec<Facts> {
    let mut all = Vec::new();
    for target in targets.iter().filter(|target| target.kind == TargetKind::Evm) {
        let mut facts = Facts {
            name: target.name.clone(),
            expected_chain: target.chain_id.unwrap_or(0),
            chain: Err("the stack file names no endpoint for it".to_owned()),
            has_code: false,
            set: None,
            set_id: target.set_id.unwrap_or(0),
            wallets: Vec::new(),
        };
        if let Some(rpc) = rpcs.get(&target.name) {
            let seen = tokio::time::timeout(PATIENCE, of_chain(&mut facts, rpc, target, senders)).await;
            match seen {
                Ok(Ok(())) => {}
                // The URL of an endpoint may hold a key, and errors may hold the URL.
                Ok(Err(())) => facts.chain = Err("the endpoint gives no usable answer".to_owned()),
                Err(_) => facts.chain = Err("the endpoint does not answer".to_owned()),
            }
        }
        all.push(facts);
    }
    all
}

async fn of_chain(facts: &mut Facts, rpc: &str, target: &Target, senders: &[Sender]) -> Result<(), ()> {
    let provider = ProviderBuilder::new().connect_http(rpc.parse().map_err(drop)?);
    facts.chain = Ok(provider.get_chain_id().await.map_err(drop)?);
    let contract = Address::from(target.contract.map(|contract| contract.0).unwrap_or_default());
    facts.has_code = !provider.get_code_at(contract).await.map_err(drop)?.is_empty();
    if facts.has_code
        && let Ok(verifier) = StateBridge::new(contract, &provider).verifier().call().await
    {
        let verifier = QuorumVerifier::new(verifier, &provider);
        if let (Ok(set), Ok(is_valid)) =
            (verifier.setOf(facts.set_id).call().await, verifier.isSetValid(facts.set_id).call().await)
        {
            facts.set = Some((set.members, is_valid));
        }
    }
    for sender in senders.iter().filter(|sender| sender.target == target.name.as_str()) {
        let Ok(address) = sender.address.parse::<Address>() else { continue };
        let balance = provider.get_balance(address).await.map_err(drop)?;
        let nonce = provider.get_transaction_count(address).await.map_err(drop)?;
        facts.wallets.push(Wallet { sender: sender.clone(), balance, nonce });
    }
    Ok(())
}

/// `signer`: the address of the deployment's validator key, where it can be read.
pub(super) fn judge(chains: &[Facts], signer: Option<common::bridge::Address>) -> Vec<Finding> {
    chains.iter().flat_map(|facts| of_target(facts, signer)).collect()
}

fn of_target(facts: &Facts, signer: Option<common::bridge::Address>) -> Vec<Finding> {
    let name = |what: &str| format!("{} {what}", facts.name);
    let found = match &facts.chain {
        Ok(found) => *found,
        Err(why) => {
            return vec![Finding::fail(
                name("chain"),
                why,
                "start the node, or correct endpoints.json; its lanes wait meanwhile",
            )];
        }
    };
    if found != facts.expected_chain {
        let evidence = format!("the endpoint serves chain {found}, configured is {}", facts.expected_chain);
        return vec![Finding::fail(name("chain"), evidence, "correct endpoints.json or targets.json")];
    }
    let mut findings = vec![Finding::ok(name("chain"), found.to_string())];
    findings.push(Finding::of(
        facts.has_code,
        name("contract"),
        if facts.has_code { "is there" } else { "no code at the configured address" },
        "correct targets.json; a chain that was reset gets a new target name",
    ));
    findings.extend(facts.has_code.then(|| of_set(facts, signer)));
    findings.extend(facts.wallets.iter().map(|wallet| of_wallet(facts, wallet)));
    findings
}

fn of_set(facts: &Facts, signer: Option<common::bridge::Address>) -> Finding {
    let (check, id) = (format!("{} validator set", facts.name), facts.set_id);
    let advice = "set_id in targets.json has to be a valid set with the deployment's key: see Replacing the validator set";
    match (&facts.set, signer) {
        (None, _) => Finding::fail(check, format!("the contract tells nothing of set {id}"), advice),
        (Some((_, false)), _) => Finding::fail(check, format!("set {id} is not valid"), advice),
        (Some((members, true)), None) => Finding::warn(
            check,
            format!("set {id} has {} members; ours cannot be read here", members.len()),
            "run it where the validator's key file is",
        ),
        (Some((members, true)), Some(signer)) => {
            let is_member = members.contains(&Address::from(signer.0));
            let evidence = format!("{signer} is {} set {id}", if is_member { "in" } else { "not in" });
            Finding::of(is_member, check, evidence, advice)
        }
    }
}

fn of_wallet(facts: &Facts, Wallet { sender, balance, nonce }: &Wallet) -> Finding {
    let check = format!("{} wallet of {}", facts.name, sender.shard);
    let evidence = format!("{}: {balance} wei, next nonce {nonce}", sender.address);
    if balance.is_zero() {
        return Finding::fail(check, evidence, "fund it: nothing can be sent");
    }
    if sender.in_flight == 0 && *nonce > sender.next_nonce && sender.next_nonce > 0 {
        let advice = "somebody else sends from this wallet: its key must be the broadcaster's alone";
        return Finding::warn(
            check,
            format!("{evidence}, the lane has used up to {}", sender.next_nonce),
            advice,
        );
    }
    Finding::ok(check, evidence)
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Broken, Verdict, assert_each_is_found, verdict_on};
    use super::*;

    const SIGNER: [u8; 20] = [7; 20];

    fn sound() -> Facts {
        let sender = Sender {
            target: "base".to_owned(),
            shard: "gaming".to_owned(),
            address: "0x01".to_owned(),
            next_nonce: 4,
            in_flight: 0,
        };
        Facts {
            name: "base".parse().expect("a name"),
            expected_chain: 8_453,
            chain: Ok(8_453),
            has_code: true,
            set: Some((vec![Address::from(SIGNER)], true)),
            set_id: 1,
            wallets: vec![Wallet { sender, balance: U256::from(9), nonce: 4 }],
        }
    }

    #[test]
    fn a_sound_chain_has_nothing_to_do_and_each_fault_is_found_by_its_own_check() {
        let signer = Some(common::bridge::Address(SIGNER));
        let faults: [Broken<'_, Facts>; 8] = [
            ("base chain", Verdict::Fail, |facts| facts.chain = Err("silent".to_owned())),
            ("base chain", Verdict::Fail, |facts| facts.chain = Ok(1)),
            ("base contract", Verdict::Fail, |facts| facts.has_code = false),
            ("base validator set", Verdict::Fail, |facts| facts.set = None),
            ("base validator set", Verdict::Fail, |facts| {
                facts.set = Some((vec![Address::from(SIGNER)], false));
            }),
            ("base validator set", Verdict::Fail, |facts| facts.set = Some((vec![Address::ZERO], true))),
            ("base wallet of gaming", Verdict::Fail, |facts| facts.wallets[0].balance = U256::ZERO),
            ("base wallet of gaming", Verdict::Warn, |facts| facts.wallets[0].nonce = 5),
        ];
        assert_each_is_found(sound, |facts| judge(&[facts], signer), &faults);
        assert_eq!(
            verdict_on(&judge(&[sound()], None), "base validator set"),
            Verdict::Warn,
            "no key to compare"
        );
    }
}
