//! The network of a fragile stack: one failing path per service to Redis, and one to every chain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path as File;

use super::{Service, Stack, StackError};
use crate::anvil::Anvil;
use crate::proxy::{Path, Proxy};

/// A network path of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// From a service to Redis.
    Redis(Service),
    /// From every broadcaster to a chain that is a target.
    Chain(String),
}

/// All paths; none in a stack that is not fragile.
#[derive(Debug, Default)]
pub(super) struct Links {
    proxies: BTreeMap<Link, Proxy>,
}

impl Links {
    /// Opens a path to each chain and writes it into the endpoints file in place of the chain's own address.
    pub(super) async fn to_chains(anvils: &[(String, Anvil)], endpoints: &File) -> Result<Self, StackError> {
        let mut proxies = BTreeMap::new();
        let mut text = std::fs::read_to_string(endpoints)?;
        for (name, anvil) in anvils {
            let proxy = Proxy::start(anvil.address()).await?;
            let direct = anvil.address().to_string();
            text = text.replace(&direct, &format!("127.0.0.1:{}", proxy.port()));
            proxies.insert(Link::Chain(name.clone()), proxy);
        }
        std::fs::write(endpoints, text)?;
        Ok(Self { proxies })
    }

    /// Opens a service's path to Redis; answers its URL.
    pub(super) async fn add_redis(
        &mut self,
        service: Service,
        redis_port: u16,
    ) -> Result<String, StackError> {
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], redis_port))).await?;
        let url = format!("redis://127.0.0.1:{}", proxy.port());
        self.proxies.insert(Link::Redis(service), proxy);
        Ok(url)
    }
}

impl Stack {
    /// Every path that can fail.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.links.proxies.keys().cloned().collect()
    }

    /// Changes a path from now on.
    ///
    /// # Errors
    /// There is no such path: the stack is not fragile.
    pub fn set_path(&self, link: &Link, path: Path) -> Result<(), StackError> {
        let missing = || StackError::NoSuchPart { name: format!("{link:?}") };
        self.links.proxies.get(link).ok_or_else(missing)?.set(path);
        Ok(())
    }
}
