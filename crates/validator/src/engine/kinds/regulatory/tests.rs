use super::*;

const STATES: [RegulatoryState; 5] = [Active, Frozen, Seized, Restricted, Confiscated];
const ACTIONS: [Action; 7] = [Freeze, Unfreeze, Seize, Release, Confiscate, Restrict, Unrestrict];

/// The table as ERC-8319 prints it, a row per state, a column per action.
const PRINTED: [[&str; 7]; 5] = [
    ["FROZEN", "", "SEIZED", "", "CONFISCATED", "RESTRICTED", ""],
    ["", "ACTIVE", "SEIZED", "", "CONFISCATED", "", ""],
    ["", "", "", "ACTIVE", "CONFISCATED", "", ""],
    ["FROZEN", "", "", "", "CONFISCATED", "", "ACTIVE"],
    ["", "", "", "", "", "", ""],
];

#[test]
fn the_machine_is_the_printed_one_in_all_35_cells() {
    let found =
        STATES.map(|state| ACTIONS.map(|action| next(state, action).map_or("", RegulatoryState::name)));
    assert_eq!(found, PRINTED);
}

#[test]
fn every_state_but_the_last_leads_to_confiscation_and_no_step_stays() {
    for state in STATES {
        assert_eq!(next(state, Confiscate).is_some(), state != Confiscated);
        assert!(ACTIONS.iter().all(|action| next(state, *action) != Some(state)), "{state:?}");
    }
}
