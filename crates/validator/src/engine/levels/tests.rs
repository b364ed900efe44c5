//! Programs of reads, blind writes and additions: running them by level must leave what running them one
//! after another leaves. Real requests read all they write, so only such programs show what WAW is for.

use super::{Access, Edges, levels};

const CELLS: usize = 6;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound).expect("small")
    }

    fn cells(&mut self) -> Vec<usize> {
        let mut cells: Vec<usize> = (0..self.below(3)).map(|_| self.below(CELLS as u64)).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    fn program(&mut self) -> Vec<Access> {
        let access = |random: &mut Self| {
            let (reads, writes) = (random.cells(), random.cells());
            let adds = random.cells().into_iter().filter(|cell| !writes.contains(cell)).collect();
            Access { reads, writes, adds, after: vec![] }
        };
        (0..12).map(|_| access(self)).collect()
    }
}

type State = [u64; CELLS];

/// What a step does, as a function of the state it sees: its writes, and what it adds.
fn effect(index: usize, access: &Access, seen: &State) -> impl Fn(&mut State) + use<> {
    let mut value = 17 + index as u64;
    for cell in &access.reads {
        value = value.wrapping_mul(31).wrapping_add(seen[*cell]);
    }
    let (writes, adds) = (access.writes.clone(), access.adds.clone());
    move |state: &mut State| {
        for cell in &writes {
            state[*cell] = value;
        }
        for cell in &adds {
            state[*cell] = state[*cell].wrapping_add(value);
        }
    }
}

fn one_by_one(program: &[Access]) -> State {
    let mut state = State::default();
    for (index, access) in program.iter().enumerate() {
        effect(index, access, &state.clone())(&mut state);
    }
    state
}

fn by_level(program: &[Access], edges: Edges) -> State {
    let levels = levels(program, CELLS, edges);
    let mut state = State::default();
    for level in 0..=levels.iter().copied().max().unwrap_or(0) {
        let before = state;
        // Within a level any order will do; the latest first shows it.
        for index in (0..program.len()).rev().filter(|index| levels[*index] == level) {
            effect(index, &program[index], &before)(&mut state);
        }
    }
    state
}

fn differences(edges: Edges) -> usize {
    let mut random = Random(11);
    let programs: Vec<_> = (0..2000).map(|_| random.program()).collect();
    programs.iter().filter(|program| by_level(program, edges) != one_by_one(program)).count()
}

#[test]
fn levels_give_what_the_plain_order_gives() {
    assert_eq!(differences(Edges::ALL), 0);
}

#[test]
fn without_read_after_write_edges_they_do_not() {
    assert!(differences(Edges { raw: false, ..Edges::ALL }) > 100);
}

#[test]
fn without_write_after_read_edges_they_do_not() {
    assert!(differences(Edges { war: false, ..Edges::ALL }) > 100);
}

#[test]
fn without_write_after_write_edges_they_do_not() {
    assert!(differences(Edges { waw: false, ..Edges::ALL }) > 100);
}

#[test]
fn independent_requests_share_a_level_and_dependent_ones_do_not() {
    let access = |reads: &[usize], writes: &[usize], after: &[usize]| Access {
        reads: reads.to_vec(),
        writes: writes.to_vec(),
        adds: vec![5],
        after: after.to_vec(),
    };
    let program =
        [access(&[0], &[1], &[]), access(&[0], &[2], &[]), access(&[1], &[3], &[]), access(&[0], &[4], &[2])];
    assert_eq!(levels(&program, CELLS, Edges::ALL), [0, 0, 1, 2]);
}
