//! Programs of reads, blind writes and additions: running each ahead from where it is ready, and taking its effect over
//! in its turn, must leave what running them one after another leaves.

use super::{Access, ready_from};

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
        let access =
            |random: &mut Self| Access { reads: random.cells(), writes: random.cells(), after: vec![] };
        (0..12).map(|_| access(self)).collect()
    }
}

type State = [u64; CELLS];

/// What a step does, as a function of the state it sees: every other one adds, the others write without looking.
fn effect(index: usize, access: &Access, seen: &State) -> impl Fn(&mut State) + use<> {
    let mut value = 17 + index as u64;
    for cell in &access.reads {
        value = value.wrapping_mul(31).wrapping_add(seen[*cell]);
    }
    let (writes, adds) = (access.writes.clone(), index.is_multiple_of(2));
    move |state: &mut State| {
        for cell in &writes {
            state[*cell] = if adds { state[*cell].wrapping_add(value) } else { value };
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

/// At each place that has not run yet, it and all others that are ready there run on the state so far.
fn ahead(program: &[Access], ready: &[usize]) -> State {
    let mut state = State::default();
    let mut effects: Vec<Option<_>> = (0..program.len()).map(|_| None).collect();
    for place in 0..program.len() {
        if effects[place].is_none() {
            for later in (place..program.len()).filter(|later| ready[*later] <= place) {
                effects[later].get_or_insert_with(|| effect(later, &program[later], &state));
            }
        }
        effects[place].take().expect("each is ready in its turn at the latest")(&mut state);
    }
    state
}

fn differences(ready: impl Fn(&[Access]) -> Vec<usize>) -> usize {
    let mut random = Random(11);
    let programs: Vec<_> = (0..2000).map(|_| random.program()).collect();
    programs.iter().filter(|program| ahead(program, &ready(program)) != one_by_one(program)).count()
}

#[test]
fn whoever_runs_when_ready_sees_what_it_sees_in_its_turn() {
    assert_eq!(differences(|program| ready_from(program, CELLS)), 0);
}

#[test]
fn whoever_runs_at_once_does_not() {
    assert!(differences(|program| vec![0; program.len()]) > 100);
}

#[test]
fn whoever_runs_one_place_too_early_does_not() {
    let early = |program: &[Access]| {
        ready_from(program, CELLS).into_iter().map(|ready| ready.saturating_sub(1)).collect()
    };
    assert!(differences(early) > 100);
}

#[test]
fn readers_wait_for_the_last_writer_and_for_what_they_depend_on_and_for_nobody_else() {
    let access = |reads: &[usize], writes: &[usize], after: &[usize]| Access {
        reads: reads.to_vec(),
        writes: writes.to_vec(),
        after: after.to_vec(),
    };
    let program = [
        access(&[0], &[1], &[]),
        access(&[0], &[1], &[]),
        access(&[1], &[0], &[]),
        access(&[2], &[1], &[]),
        access(&[2], &[], &[2]),
    ];
    assert_eq!(ready_from(&program, CELLS), [0, 0, 2, 0, 3]);
}
