//! A minute of storm; longer ones: `cargo run -p testkit -- storm --minutes N --seed S`.

use std::process::Command;

use crate::scene;

#[test]
fn a_minute_of_storm_loses_nothing_and_everything_drains() {
    let mut storm = Command::new(env!("CARGO_BIN_EXE_testkit"));
    storm.args(["storm", "--minutes", "1", "--seed", &scene::seed().to_string()]);
    let done = storm.output().expect("the storm begins");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    eprintln!("{said}");
    assert!(done.status.success(), "it ended with {}", done.status);
    assert!(said.contains("acknowledged") && !said.contains("acknowledged: 0,"), "it blew on something");
}
