use super::*;

/// The content of `docs/formats.md`'s example.
const CONTENT: &str = "6f73732f636865636b706f696e742f31a30000000900000066696e616e6369616c0100000067010000003300100000000000000900000000000000111111111111111111111111111111111111111111111111111111111111111122222222222222222222222222222222222222222222222222222222222222223333333333333333333333333333333333333333333333333333333333333333050000000000000000000000000000000100000000000000000000000101000000610100000062060b0000006f7000000000000000000900000000000200000000000000";

#[test]
fn the_content_of_a_file_is_what_the_formats_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let head = HeadRow {
        seq: 9,
        digest: Digest([0x11; 32]),
        root: Digest([0x22; 32]),
        aux: Digest([0x33; 32]),
        time_ms: 5,
        ruleset: 0,
        epoch: 1,
        targets: Vec::new(),
    };
    let (shard, generation, schema) = ("financial".to_owned(), "g".to_owned(), "3".to_owned());
    let header = Header { shard, generation, schema, undo_entries: 4_096, head };
    let written = Folder::open(folder.path()).expect("opens").write(header.clone(), |out| {
        out.row(Table::Values, b"a", b"b")?;
        out.row(Table::Finals, b"op\0\0\0\0\0\0\0\0\x09", b"")
    });
    let written = written.expect("writes");
    let bytes = std::fs::read(&written.path).expect("a file");
    assert_eq!(hex::encode(zstd::decode_all(bytes.as_slice()).expect("one zstd frame")), CONTENT);
    assert_eq!(written.path, folder.path().join(format!("{}.checkpoint", hex::encode(written.hash.0))));
    let mut file = Reader::open(&written.path, written.hash).expect("opens");
    assert_eq!(*file.header(), header);
    let tables: Vec<Table> =
        std::iter::from_fn(|| file.next().expect("reads")).map(|row| row.table).collect();
    assert_eq!(tables, [Table::Values, Table::Finals]);
}

#[test]
fn beside_a_file_a_view_needs_the_entries_of_a_rollback_and_of_its_undo_records() {
    let first = |seq, undo_entries| {
        let head = HeadRow { seq, ..HeadRow::empty() };
        let text = String::new;
        let header = Header { shard: text(), generation: text(), schema: text(), undo_entries, head };
        header.window_first()
    };
    assert_eq!(first(4_096, 4_096), 1);
    assert_eq!(first(10_000, 4_096), 5_904);
    assert_eq!(first(10_000, 40), 5_904);
    assert_eq!(first(10_000, 6_000), 4_000);
}
