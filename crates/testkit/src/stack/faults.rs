//! Parts ended and started again: `kill -9` as a crash, SIGTERM as an operator.

use std::process::ExitStatus;

use super::process::Process;
use super::{Role, Service, Stack, StackError};
use crate::anvil::Anvil;

impl Stack {
    fn process(&mut self, service: Service) -> Result<&mut Process, StackError> {
        let missing = || StackError::NoSuchPart { name: format!("{service:?}") };
        self.services.get_mut(&service).ok_or_else(missing)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// There is no such process, or it cannot be signalled.
    pub fn kill(&mut self, service: Service) -> Result<(), StackError> {
        Ok(self.process(service)?.kill()?)
    }

    /// The process stands still without ending (SIGSTOP).
    ///
    /// # Errors
    /// There is no such process, or it cannot be signalled.
    pub fn freeze(&mut self, service: Service) -> Result<(), StackError> {
        Ok(self.process(service)?.signal("-STOP")?)
    }

    /// The process goes on (SIGCONT).
    ///
    /// # Errors
    /// There is no such process, or it cannot be signalled.
    pub fn thaw(&mut self, service: Service) -> Result<(), StackError> {
        Ok(self.process(service)?.signal("-CONT")?)
    }

    /// Starts a process again if it does not run; does not wait until it is ready.
    ///
    /// # Errors
    /// There is no such process, or it cannot be started.
    pub fn launch(&mut self, service: Service) -> Result<(), StackError> {
        Ok(self.process(service)?.start()?)
    }

    /// Ends every service as an operator does (SIGTERM), collectors first. Answers each one's end.
    ///
    /// # Errors
    /// A process cannot be signalled.
    pub async fn stop_services(&mut self) -> Result<Vec<(Service, ExitStatus)>, StackError> {
        let mut ended = Vec::new();
        for role in [Role::Collector, Role::Validator, Role::Broadcaster] {
            for (service, process) in self.services.iter_mut().filter(|(service, _)| service.role == role) {
                ended.extend(process.stop().await?.map(|status| (*service, status)));
            }
        }
        Ok(ended)
    }

    /// Starts every service that does not run and waits until all are ready.
    ///
    /// # Errors
    /// One does not become ready.
    pub async fn restart_services(&mut self) -> Result<(), StackError> {
        for process in self.services.values_mut() {
            process.start()?;
        }
        self.wait_ready().await
    }

    /// Starts again what has ended by itself, as a supervisor does; answers what it was and how it ended.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn revive(&mut self) -> Result<Vec<(Service, ExitStatus)>, StackError> {
        let mut ended = Vec::new();
        for (service, process) in &mut self.services {
            if let Some(status) = process.ended()? {
                ended.push((*service, status));
                process.start()?;
            }
        }
        Ok(ended)
    }

    /// `kill -9` of redis; nothing is flushed.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill_redis(&mut self) -> Result<(), StackError> {
        Ok(self.redis.kill()?)
    }

    /// Cuts redis' power; answers how many bytes of its file were not safe.
    ///
    /// # Errors
    /// The stack is not fragile.
    pub fn cut_redis_power(&mut self) -> Result<u64, StackError> {
        Ok(self.redis.cut_power()?)
    }

    /// Starts redis again on the same port and data and waits until it answers.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn restart_redis(&mut self) -> Result<(), StackError> {
        Ok(self.redis.restart()?)
    }

    fn anvil(&mut self, name: &str) -> Result<&mut Anvil, StackError> {
        let missing = || StackError::NoSuchPart { name: name.to_owned() };
        let found = self.chains.iter_mut().find(|chain| chain.name.as_str() == name);
        found.map(|chain| &mut chain.anvil).ok_or_else(missing)
    }

    /// `kill -9` of a chain: it falls back to its state file, at most a second old.
    ///
    /// # Errors
    /// There is no such chain, or it cannot be signalled.
    pub fn kill_chain(&mut self, name: &str) -> Result<(), StackError> {
        Ok(self.anvil(name)?.kill()?)
    }

    /// Ends a chain cleanly: its state is written.
    ///
    /// # Errors
    /// There is no such chain, or it cannot be signalled.
    pub fn stop_chain(&mut self, name: &str) -> Result<(), StackError> {
        Ok(self.anvil(name)?.stop()?)
    }

    /// Starts a chain again from its state file.
    ///
    /// # Errors
    /// There is no such chain, or it does not become ready.
    pub fn restart_chain(&mut self, name: &str) -> Result<(), StackError> {
        Ok(self.anvil(name)?.restart()?)
    }
}
