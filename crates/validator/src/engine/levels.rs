//! Levels of a batch: which requests may run on the same state.
//!
//! In: what each request reads, writes and adds to, in their agreed order. Out: a level per request.
//! Running level by level, each level on the state that the levels before it left, gives every request the
//! values it would see in a plain sequential run; so the requests of one level may run in parallel.
//!
//! For i before j the levels rise from i to j if there is an edge:
//! - RAW: j reads what i writes or adds to;
//! - WAR: j writes or adds to what i reads;
//! - WAW: both write a cell, or one writes what the other adds to. Additions commute among themselves.
//!
//! Each cell remembers the highest level of its last writer and of those that read or added since: the
//! work is linear in the number of accesses, without comparing pairs.

/// What a request touches; cells are numbered from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) reads: Vec<usize>,
    pub(super) writes: Vec<usize>,
    /// Written by adding only, without looking.
    pub(super) adds: Vec<usize>,
    /// Earlier places in the order whose result it needs.
    pub(super) after: Vec<usize>,
}

/// Which edges count. All of them, except in the tests that show what each is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edges {
    pub(super) raw: bool,
    pub(super) war: bool,
    pub(super) waw: bool,
}

impl Edges {
    pub(super) const ALL: Self = Self { raw: true, war: true, waw: true };
}

/// Levels count from 1 here, so that 0 says nobody.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    write: usize,
    read: usize,
    add: usize,
}

/// The level of each request, counted from 0. `cells` is their number.
pub(super) fn levels(accesses: &[Access], cells: usize, edges: Edges) -> Vec<usize> {
    let mut cell_levels = vec![Cell::default(); cells];
    let mut levels: Vec<usize> = Vec::with_capacity(accesses.len());
    for access in accesses {
        let after = access.after.iter().filter_map(|place| levels.get(*place)).map(|level| level + 1).max();
        let mut below = after.unwrap_or(0);
        let mut above = |counts: bool, level: usize| {
            if counts {
                below = below.max(level);
            }
        };
        for cell in access.reads.iter().map(|cell| cell_levels[*cell]) {
            above(edges.raw, cell.write.max(cell.add));
        }
        for cell in access.writes.iter().map(|cell| cell_levels[*cell]) {
            above(edges.war, cell.read);
            above(edges.waw, cell.write.max(cell.add));
        }
        for cell in access.adds.iter().map(|cell| cell_levels[*cell]) {
            above(edges.war, cell.read);
            above(edges.waw, cell.write);
        }
        levels.push(below);
        let own = below + 1;
        for cell in &access.writes {
            cell_levels[*cell] = Cell { write: own, read: 0, add: 0 };
        }
        for cell in &access.reads {
            let cell = &mut cell_levels[*cell];
            cell.read = cell.read.max(own);
        }
        for cell in &access.adds {
            let cell = &mut cell_levels[*cell];
            cell.add = cell.add.max(own);
        }
    }
    levels
}

#[cfg(test)]
mod tests;
