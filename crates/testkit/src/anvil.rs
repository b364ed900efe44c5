//! A private anvil for one test: loopback, a free port, its own state file; stopped when dropped.
//!
//! The binary comes from `OSS_ANVIL`, else from `contracts/node_modules`, else from the path. With one slot per epoch
//! `safe` is one and `finalized` two blocks behind the newest, with more as many times that.

mod bridge;
mod reorganise;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{Provider as _, RootProvider};
use alloy::signers::local::PrivateKeySigner;
use alloy::transports::TransportError;
use tempfile::TempDir;

pub use bridge::{Bridge, BridgeError};
#[cfg(feature = "checker")]
pub(crate) use reorganise::first_loose;

const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const START_ATTEMPTS: usize = 5;
/// Accounts with money; 0 deploys contracts.
const ACCOUNTS: usize = 16;

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// Every so many seconds.
    Every(u64),
    /// Only when [`Anvil::mine`] is called.
    Manual,
}

#[derive(Debug, Clone, Copy)]
pub struct AnvilOptions {
    pub chain_id: u64,
    pub mining: Mining,
    /// Keep the state in a file, once per second and at a clean end, so that a restart goes on from it.
    pub keep_state: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    #[error("anvil could not be run; set OSS_ANVIL to its binary")]
    Run(#[from] io::Error),
    #[error("anvil on port {port} was not ready in time")]
    NotReady { port: u16 },
    #[error("anvil's account file is not readable")]
    Accounts,
    #[error("block {block} of anvil does not stand on the one before it, whatever it replaces")]
    Loose { block: u64 },
    #[error("anvil refused a call")]
    Rpc(#[from] TransportError),
}

/// A running private chain.
#[derive(Debug)]
pub struct Anvil {
    options: AnvilOptions,
    epoch_slots: u64,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
    keys: Vec<String>,
}

impl Anvil {
    /// Starts a chain and waits until it answers.
    ///
    /// # Errors
    /// There is no anvil, or it does not become ready.
    pub fn start(options: AnvilOptions) -> Result<Self, AnvilError> {
        Self::start_in_epochs(options, 1)
    }

    /// As [`Anvil::start`], with so many slots per epoch: `safe` is one epoch behind the newest block, `finalized` two.
    ///
    /// # Errors
    /// As [`Anvil::start`].
    pub fn start_in_epochs(options: AnvilOptions, epoch_slots: u64) -> Result<Self, AnvilError> {
        let mut last = AnvilError::NotReady { port: 0 };
        // Another process may take the port between the search and the start.
        for _ in 0..START_ATTEMPTS {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let folder = TempDir::with_prefix("oss-anvil-")?;
            let mut anvil = Self { options, epoch_slots, port, folder, child: None, keys: Vec::new() };
            match anvil.spawn() {
                Ok(()) => {
                    anvil.keys = anvil.read_keys()?;
                    return Ok(anvil);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.options.chain_id
    }

    /// The secret of account `index` below 16, 0x hex.
    #[must_use]
    pub fn key(&self, index: usize) -> &str {
        self.keys.get(index).map_or("", String::as_str)
    }

    /// The address of account `index`; zero if there is none.
    #[must_use]
    pub fn account(&self, index: usize) -> Address {
        self.key(index).parse::<PrivateKeySigner>().map_or(Address::ZERO, |signer| signer.address())
    }

    /// A client of this chain.
    #[must_use]
    pub fn provider(&self) -> RootProvider {
        // The URL is made of a port number, so it always is one.
        self.url().parse().map(RootProvider::new_http).expect("http://127.0.0.1:<port> is a URL")
    }

    /// Ends the chain as `kill -9` does: what is not in the state file is lost.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn kill(&mut self) -> Result<(), AnvilError> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends the chain cleanly, so that its state is written.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn stop(&mut self) -> Result<(), AnvilError> {
        self.signal("-TERM")?;
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Starts the chain again on the same port, from its state file if it keeps one.
    ///
    /// # Errors
    /// As [`Anvil::start`].
    pub fn restart(&mut self) -> Result<(), AnvilError> {
        self.kill()?;
        self.spawn()
    }

    /// The chain stops answering without closing anything (SIGSTOP).
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn freeze(&self) -> Result<(), AnvilError> {
        self.signal("-STOP")
    }

    /// The chain goes on (SIGCONT).
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn thaw(&self) -> Result<(), AnvilError> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), AnvilError> {
        let Some(child) = &self.child else { return Ok(()) };
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("kill failed").into()) }
    }

    /// Makes `blocks` blocks.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn mine(&self, blocks: u64) -> Result<(), AnvilError> {
        Ok(self.provider().anvil_mine(Some(blocks), None).await?)
    }

    /// The next nonce of an address at the newest block.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn nonce(&self, address: Address) -> Result<u64, AnvilError> {
        Ok(self.provider().get_transaction_count(address).await?)
    }

    /// Sends wei from account `from`, whose key the chain holds; answers the transaction's hash.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn transfer(&self, from: Address, to: Address, wei: U256) -> Result<B256, AnvilError> {
        let transaction = alloy::rpc::types::TransactionRequest::default().from(from).to(to).value(wei);
        Ok(*self.provider().send_transaction(transaction).await?.tx_hash())
    }

    fn spawn(&mut self) -> Result<(), AnvilError> {
        let mut command = Command::new(binary());
        command.args(["--host", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--chain-id", &self.options.chain_id.to_string()]);
        command.args(["--slots-in-an-epoch", &self.epoch_slots.to_string()]);
        command.args(["--accounts", &ACCOUNTS.to_string()]);
        command.arg("--config-out").arg(self.accounts_file());
        match self.options.mining {
            Mining::Every(seconds) => command.args(["--block-time", &seconds.to_string()]),
            Mining::Manual => command.arg("--no-mining"),
        };
        if self.options.keep_state {
            command.arg("--state").arg(self.folder.path().join("state.json")).args(["--state-interval", "1"]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.child = Some(child);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            let is_alive = match &mut self.child {
                Some(child) => child.try_wait()?.is_none(),
                None => false,
            };
            if !is_alive {
                break;
            }
            if self.answers() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(AnvilError::NotReady { port: self.port })
    }

    fn accounts_file(&self) -> PathBuf {
        self.folder.path().join("accounts.json")
    }

    /// The file may appear a moment after the chain answers, and not at once as a whole.
    fn read_keys(&self) -> Result<Vec<String>, AnvilError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let file: Option<serde_json::Value> = std::fs::read(self.accounts_file())
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let keys = file.as_ref().and_then(|file| file.get("private_keys")?.as_array());
            match keys {
                Some(keys) if keys.len() == ACCOUNTS => {
                    return Ok(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect());
                }
                _ if Instant::now() > deadline => return Err(AnvilError::Accounts),
                _ => thread::sleep(POLL),
            }
        }
    }

    /// Asks for the chain id by hand: this is called where no async runtime may exist.
    fn answers(&self) -> bool {
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
            let head =
                "POST / HTTP/1.1\r\nHost: anvil\r\nContent-Type: application/json\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
            let mut answer = String::new();
            stream.take(4_096).read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains(&format!("\"0x{:x}\"", self.options.chain_id)))
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Nobody is left to tell: a process that cannot be signalled is gone.
        drop(self.kill());
    }
}

/// The contracts' folder of this repository.
fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts")
}

/// Where anvil is: `OSS_ANVIL`, the npm package of the contracts' folder, or the path.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("OSS_ANVIL") {
        return path.into();
    }
    let packaged = contracts().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if packaged.exists() { packaged } else { "anvil".into() }
}
