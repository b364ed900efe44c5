//! The demo's final tables.

use super::scenario::{Outcome, Step};
use crate::ui;

pub(super) fn human(outcome: &Outcome) -> String {
    let mut steps = ui::table(["step", "result", "reason or transactions"]);
    for step in &outcome.steps {
        steps.add_row([step.name.to_owned(), result(step), details(step)]);
    }
    let mut chains = ui::table([
        "chain",
        "version",
        "state hash read from the chain",
        "proveState",
        "transfer's transaction",
    ]);
    for (name, row) in &outcome.chains {
        let proved = match (row.proved, row.tampered_refused) {
            (true, true) => "present; forged refused",
            (true, false) => "present; forged ACCEPTED",
            (false, _) => "NOT PROVED",
        };
        chains.add_row([
            name.to_string(),
            row.state.version.to_string(),
            row.state.state_hash.to_string(),
            proved.to_owned(),
            row.transaction.clone().unwrap_or_default(),
        ]);
    }
    let proof = &outcome.proof;
    let balance = proof.balance.map_or_else(|| "nothing".to_owned(), |amount| amount.to_string());
    format!(
        "{}\n{steps}\n{chains}\n{}: {} holds {balance}\n  against root {} of entry {}, anchored on {} chains\n{}",
        outcome.asset,
        if proof.valid { "proof valid" } else { "proof NOT VALID" },
        proof.key,
        proof.root,
        proof.seq,
        outcome.chains.len(),
        verdict(outcome),
    )
}

fn result(step: &Step) -> String {
    let mut text = step.status.to_owned();
    if let Some(code) = &step.code {
        text.push(' ');
        text.push_str(code);
    }
    if step.replayed {
        text.push_str(" (replayed)");
    }
    text
}

fn details(step: &Step) -> String {
    if let Some(reason) = &step.reason {
        return reason.clone();
    }
    let lines: Vec<String> =
        step.transactions.iter().map(|(chain, hashes)| format!("{chain} {}", hashes.join(" "))).collect();
    lines.join("\n")
}

fn verdict(outcome: &Outcome) -> &'static str {
    if outcome.unexpected.is_empty() {
        "everything was as expected"
    } else {
        "NOT everything was as expected"
    }
}
