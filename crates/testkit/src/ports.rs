//! Free loopback ports for servers that are killed and started again on the same address.
//!
//! They lie below the range from which the system takes ports of outgoing connections (32,768 and up on Linux): a
//! client that keeps trying a dead server's port in that range may be given this very port as its own and
//! talk to itself, and any other connection may take it while the server is down.
//!
//! Between being chosen and being listened on a port looks free to everybody. So a process takes ports from blocks it
//! has locked, each port once, and a block is free again when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

const FIRST: u16 = 12_000;
const PER_BLOCK: u16 = 20;
/// Up to 31,999.
const BLOCKS: u16 = 1_000;

static RESERVED: Mutex<Reserved> = Mutex::new(Reserved::NONE);

/// What this process may still give out: `next..end` of its newest block.
struct Reserved {
    locks: Vec<File>,
    next: u16,
    end: u16,
}

impl Reserved {
    const NONE: Self = Self { locks: Vec::new(), next: 0, end: 0 };

    /// Locks a block that nobody holds, tried from one that depends on the process so that few are tried.
    fn another_block(&mut self) -> io::Result<()> {
        let folder = folder()?;
        let start = std::process::id() % u32::from(BLOCKS);
        // Below BLOCKS, which is a u16.
        let start = u16::try_from(start).unwrap_or(0);
        for block in (start..BLOCKS).chain(0..start) {
            let lock = File::create(folder.join(block.to_string()))?;
            match lock.try_lock() {
                Ok(()) => {
                    self.locks.push(lock);
                    self.next = FIRST + block * PER_BLOCK;
                    self.end = self.next + PER_BLOCK;
                    return Ok(());
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AddrInUse))
    }
}

/// A port that nobody listens on and that no other caller is given while this process lives.
///
/// # Errors
/// No lock can be had: the folder of temporary files cannot be written, or all blocks are held.
pub fn free() -> io::Result<u16> {
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if reserved.next == reserved.end {
            reserved.another_block()?;
        }
        let port = reserved.next;
        reserved.next += 1;
        // A server that has nothing to do with tests may be there.
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

/// One per user: what another user has made cannot be locked.
fn folder() -> io::Result<PathBuf> {
    let user = std::fs::metadata("/proc/self")?.uid();
    let folder = std::env::temp_dir().join(format!("oss-testkit-ports-{user}"));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{BLOCKS, FIRST, PER_BLOCK, Reserved, free};

    #[test]
    fn ports_that_nobody_listens_on_yet_are_given_out_once() {
        let given: BTreeSet<u16> = (0..3 * PER_BLOCK).map(|_| free().expect("a port")).collect();
        assert_eq!(given.len(), usize::from(3 * PER_BLOCK));
        assert!(given.iter().all(|port| (FIRST..FIRST + BLOCKS * PER_BLOCK).contains(port)));
    }

    /// A lock belongs to the open file, so two holders in one process stand for two processes.
    #[test]
    fn a_block_has_one_holder_at_a_time() {
        let (mut one, mut other) = (Reserved::NONE, Reserved::NONE);
        one.another_block().expect("a block");
        other.another_block().expect("a block");
        assert_ne!(one.next, other.next);
    }
}
