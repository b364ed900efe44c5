//! The development chains. Each keeps its state in a file and makes a block a second with one slot per
//! epoch: without these nothing becomes `finalized`, and a kill loses the chain.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy::providers::{Provider as _, ProviderBuilder};
use anyhow::{Context as _, bail};

use super::child::{Child, Launch};

const READY_WITHIN: Duration = Duration::from_mins(1);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// One chain of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) chain_id: u64,
}

/// The chain of the token whose events back mints; id of Ethereum's main network.
pub(crate) const SOURCE: Chain = Chain { name: "source", chain_id: 1 };

/// The chains that hold copies; ids of Base, Arbitrum One and OP Mainnet.
pub(crate) const TARGETS: [Chain; 3] = [
    Chain { name: "base", chain_id: 8_453 },
    Chain { name: "arbitrum", chain_id: 42_161 },
    Chain { name: "optimism", chain_id: 10 },
];

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

pub(crate) fn launch(program: &Path, chain: Chain, folder: &Path, port: u16) -> Launch {
    let state = folder.join(format!("{}.json", chain.name)).display().to_string();
    let args = [
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--chain-id",
        &chain.chain_id.to_string(),
        "--block-time",
        "1",
        "--slots-in-an-epoch",
        "1",
        "--accounts",
        "16",
        "--state",
        &state,
        "--state-interval",
        "1",
    ];
    Launch {
        name: format!("anvil-{}", chain.name),
        program: program.to_owned(),
        args: args.into_iter().map(str::to_owned).collect(),
    }
}

/// Waits until the node answers with this chain id; gives the id it answered with.
pub(crate) async fn wait_ready(
    url: &str,
    within: Duration,
    child: Option<&mut Child>,
) -> anyhow::Result<u64> {
    let started = Instant::now();
    let provider =
        ProviderBuilder::new().connect_http(url.parse().with_context(|| format!("{url} is not a URL"))?);
    let mut child = child;
    loop {
        if let Some(child) = child.as_deref_mut() {
            child.must_run()?;
        }
        match provider.get_chain_id().await {
            Ok(chain_id) => return Ok(chain_id),
            Err(error) if started.elapsed() > within => {
                bail!("the chain at {url} did not answer within {} s: {error}", within.as_secs())
            }
            Err(_) => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// Starts a chain and waits until it answers.
pub(crate) async fn start(
    program: &Path,
    chain: Chain,
    folder: &Path,
    logs: &Path,
    port: u16,
) -> anyhow::Result<Child> {
    std::fs::create_dir_all(folder)?;
    let mut child = Child::start(&launch(program, chain, folder, port), logs)?;
    let chain_id = wait_ready(&url(port), READY_WITHIN, Some(&mut child)).await?;
    if chain_id != chain.chain_id {
        bail!("port {port} answers for chain {chain_id}, not {}", chain.chain_id);
    }
    Ok(child)
}
