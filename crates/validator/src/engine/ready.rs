//! From where on in the order each request sees what it will see in its turn.
//!
//! In: what each request reads and writes by its footprint, in their agreed order. Out: per request the place from
//! which on it is ready: when all before that place have had their turn, nobody who stands between writes what it
//! reads (RAW), and every request it depends on is decided. 0 = at once. Those that are ready at one place may run there
//! in parallel.
//!
//! WAR and WAW edges fix the order of turns and nothing else here: what a request writes ahead of its turn is
//! kept apart until then, so nobody reads it too early, and no write is overtaken by an earlier one.
//!
//! Each cell remembers its last writer: the work is linear in the number of accesses, without comparing pairs. A
//! footprint that says too little costs a second run and never a wrong result ([`reads`](super::reads)).

/// What a request touches; cells are numbered from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) reads: Vec<usize>,
    /// What it only adds to is written too.
    pub(super) writes: Vec<usize>,
    /// Earlier places in the order whose verdict it needs.
    pub(super) after: Vec<usize>,
}

/// From which place on each request is ready. `cells` is their number.
pub(super) fn ready_from(accesses: &[Access], cells: usize) -> Vec<usize> {
    // The place after the last writer of each cell.
    let mut written = vec![0; cells];
    let mut ready = Vec::with_capacity(accesses.len());
    for (place, access) in accesses.iter().enumerate() {
        let writers = access.reads.iter().map(|cell| written[*cell]);
        let decided = access.after.iter().map(|earlier| earlier + 1);
        ready.push(writers.chain(decided).max().unwrap_or(0));
        for cell in &access.writes {
            written[*cell] = place + 1;
        }
    }
    ready
}

#[cfg(test)]
mod tests;
