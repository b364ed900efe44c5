//! Free loopback ports for servers that are killed and started again on the same address.
//!
//! They lie below the range from which the system takes ports of outgoing connections (32,768 and up on Linux): a
//! client that keeps trying a dead server's port in that range may be given this very port as its own and
//! talk to itself, and any other connection may take it while the server is down.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::TcpListener;

/// A Redis cluster bus listens 10,000 above the port, so that has room too.
const FIRST: u16 = 12_000;
const COUNT: u16 = 19_000;
const ATTEMPTS: usize = 200;

/// A port that nobody listens on at this moment. Chosen at random, so that tests running side by side rarely meet.
///
/// # Errors
/// None was found.
pub fn free() -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let random = RandomState::new().build_hasher().finish() % u64::from(COUNT);
        // Below COUNT, which is a u16.
        let port = FIRST + u16::try_from(random).unwrap_or(0);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
