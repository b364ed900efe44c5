//! Loopback ports for the parts of a stack.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

/// Gives each part its port: consecutive ones from a base, or free ones.
#[derive(Debug)]
pub(crate) struct Ports {
    next: Option<u16>,
    /// Held until every part has a number, so that none is given twice.
    held: Vec<TcpListener>,
}

impl Ports {
    pub(crate) const fn new(base: Option<u16>) -> Self {
        Self { next: base, held: Vec::new() }
    }

    pub(crate) fn take(&mut self) -> anyhow::Result<u16> {
        if let Some(port) = self.next {
            self.next = Some(port.checked_add(1).context("the ports are used up")?);
            return Ok(port);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr().context("no free port")?.port();
        self.held.push(listener);
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_distinct_and_based_ones_consecutive() {
        let mut free = Ports::new(None);
        let taken: std::collections::BTreeSet<u16> = (0..50).map(|_| free.take().expect("a port")).collect();
        assert_eq!(taken.len(), 50);
        let mut based = Ports::new(Some(8_080));
        assert_eq!([based.take().expect("a port"), based.take().expect("a port")], [8_080, 8_081]);
    }
}
