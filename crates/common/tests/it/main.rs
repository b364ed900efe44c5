//! Tests of the link protocol on real private redis-servers, standalone and in cluster mode.
//!
//! - `bed`: the server, the fixture and a comparable picture of the data set.
//! - `cases`: one call of every script on one fixture; `generic` repeats, fences, loses replies of and kills
//!   the server around each of them.
//! - `directed`: for every guard marked in a script a scenario that holds with it; `controls` cuts that guard
//!   out of the source and shows that the scenario then fails.
//! - `rights`: every service's Redis user can do its own work and nothing else.
//! - `tls`: the way there, with certificates. `spans`: their exporter, which is no part of the link.
//! - the rest: full memory, reading, bounds.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod directed;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod generic;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod tls;
