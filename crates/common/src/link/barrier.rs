//! BARRIER: one durable write of `:barrier:<instance>`, after which everything read before is on disk.
//!
//! Runs by itself after each (re)connect; see [`super::Commands`]. Reply: `OK`.

use redis::ScriptInvocation;

use super::{Link, LinkError, Scripts};
use crate::ids::Name;
use crate::keys::Keys;

pub(super) fn invocation<'a>(scripts: &'a Scripts, keys: &Keys, instance: &Name) -> ScriptInvocation<'a> {
    let mut invocation = scripts.barrier.script.prepare_invoke();
    invocation.key(keys.barrier(instance.as_str()));
    invocation
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn barrier(&self) -> Result<(), LinkError> {
        let script = &self.scripts.barrier;
        let reply =
            self.run(script, &invocation(&self.scripts, &self.keys, self.commands.instance())).await?;
        if reply.word() == "OK" { Ok(()) } else { reply.unknown() }
    }
}
