//! `oss verify proof`: a state proof, offline.
//!
//! In: the proof JSON of the API. Out: what the root says about the key. The root in the proof is the
//! prover's own claim; `--root` gives one from a source the user trusts (a chain, a verified log).

use anyhow::Context as _;
use common::hash::Digest;
use common::proof::{Membership, StateProof};
use serde::Serialize;

use crate::args::VerifyProofArgs;
use crate::exit::Exit;
use crate::input;
use crate::ui::{self, Ui};

/// A proof holds the whole value of its key: an asset with 64 terms of 1 KiB and its documents, in hex, is longer
/// than any request.
const PROOF_BYTES_MAX: u64 = 1 << 20;

/// The result, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    valid: bool,
    /// What a valid proof says: `present` or `absent`.
    membership: Option<&'static str>,
    /// Whether the root was compared with one from elsewhere.
    root_checked: bool,
    /// JSON pointer and reason of the first fault.
    fault: Option<Fault>,
    proof: StateProof,
}

#[derive(Debug, Serialize)]
struct Fault {
    pointer: &'static str,
    detail: String,
}

pub(crate) fn run(args: &VerifyProofArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let bytes = input::read_whole(&args.file, PROOF_BYTES_MAX)?;
    let proof: StateProof = serde_json::from_slice(&bytes).context("this is not a proof")?;
    let checked = check(&proof, args.root);
    let report = Report {
        valid: checked.is_ok(),
        membership: checked.as_ref().ok().map(word),
        root_checked: args.root.is_some(),
        fault: checked.err(),
        proof,
    };
    ui.result(&report, || human(&report))?;
    Ok(if report.valid { Exit::Done } else { Exit::Failed })
}

/// Checks everything the proof states, then its root against one from elsewhere.
fn check(proof: &StateProof, root: Option<Digest>) -> Result<Membership, Fault> {
    let membership =
        proof.verify().map_err(|error| Fault { pointer: error.pointer(), detail: error.to_string() })?;
    match root {
        Some(root) if root != proof.root => {
            Err(Fault { pointer: "/root", detail: format!("root: {} is not the given {root}", proof.root) })
        }
        _ => Ok(membership),
    }
}

fn word(membership: &Membership) -> &'static str {
    match membership {
        Membership::Present => "present",
        Membership::Absent => "absent",
    }
}

fn human(report: &Report) -> String {
    let proof = &report.proof;
    let mut table = ui::table(["proof", if report.valid { "valid" } else { "not valid" }]);
    table.add_row(["key", &proof.key]);
    table.add_row(["says", report.membership.unwrap_or("nothing")]);
    if let Some(hash) = proof.value_hash {
        table.add_row(["value hash", &hash.to_string()]);
    }
    let agrees = report.root_checked && report.valid;
    let against = if agrees { "root (as given)" } else { "root (the proof's own)" };
    table.add_row([against, &proof.root.to_string()]);
    table.add_row(["log entry", &format!("{} {}", proof.shard, proof.seq)]);
    if let Some(fault) = &report.fault {
        table.add_row(["fault", &fault.detail]);
    }
    table.to_string()
}
