//! The command line itself.

use crate::oss::{data, oss};

#[tokio::test]
async fn help_and_version_are_results_on_stdout() {
    for args in [["--help"], ["--version"]] {
        let ended = oss(&args).await;
        assert_eq!(ended.code, 0);
        assert!(ended.stdout.contains("oss") && ended.stderr.is_empty(), "{ended:?}");
    }
    assert!(oss(&["--help"]).await.stdout.contains("2 rejected, 3 rolled back, 4 timeout, 5 unreachable"));
}

#[tokio::test]
async fn a_command_line_that_cannot_be_used_ends_with_64_and_names_the_fault() {
    let table: [(&[&str], &str); 7] = [
        (&[], "Usage"),
        (&["fly"], "fly"),
        (&["get", "not-a-rid"], "last byte is a shard number"),
        (&["verify", "log", "--shard", "nowhere"], "financial, gaming, real_estate or general"),
        (&["submit", "x.json", "--key", "with space"], "visible ASCII"),
        (&["init", "--out", "x", "--chain", "base", "--source-chain", "y", "--rate-url", "z"], "NAME=URL"),
        (&["verify", "proof", "x.json", "--root", "0x12"], "64 lower-case hex digits"),
    ];
    for (args, named) in table {
        let ended = oss(args).await;
        assert_eq!(ended.code, 64, "{args:?}");
        assert!(ended.stderr.contains(named) && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
}

#[tokio::test]
async fn without_a_stack_the_error_says_how_to_get_one() {
    let ended = oss(&["--data", "/nonexistent", "get", "019ab0de-2c4b-7d3f-8f6e-5d0c6f3f2a00"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("oss up") && ended.stderr.contains("OSS_URL"), "{ended:?}");
}

#[tokio::test]
async fn output_that_is_no_terminal_has_no_escape_codes() {
    for args in [&["verify", "proof", &data("proof.json")] as &[&str], &["get", "nothing"]] {
        let ended = oss(args).await;
        assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{ended:?}");
    }
}
