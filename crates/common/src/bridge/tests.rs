use serde::Deserialize;

use super::*;

/// Made by an independent script of the contracts, which the contracts' own tests check too.
const VECTORS: &str = include_str!("../../../../contracts/test/vectors/headers.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    chain_id: u64,
    contract: Address,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    header: VectorHeader,
    updates: Vec<VectorUpdate>,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorHeader {
    shard: u32,
    seq: String,
    part: u16,
    parts: u16,
    set_id: String,
    updates_hash: Digest,
    state_root: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorUpdate {
    asset: Digest,
    from: String,
    version: String,
    state_hash: Digest,
}

#[test]
fn hashes_and_digests_equal_the_contracts_vectors() {
    let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
    let domain = Domain::new(vectors.chain_id, vectors.contract);
    assert!(vectors.cases.len() >= 3);
    for case in vectors.cases {
        let updates: Vec<Update> = case
            .updates
            .iter()
            .map(|update| Update {
                asset: update.asset,
                from: update.from.parse().unwrap(),
                version: update.version.parse().unwrap(),
                state_hash: update.state_hash,
            })
            .collect();
        assert_eq!(updates_hash(&updates), case.header.updates_hash, "{}", case.name);
        let header = Header {
            shard: case.header.shard,
            seq: case.header.seq.parse().unwrap(),
            part: case.header.part,
            parts: case.header.parts,
            set_id: case.header.set_id.parse().unwrap(),
            updates_hash: case.header.updates_hash,
            state_root: case.header.state_root,
        };
        assert_eq!(domain.digest(&header), case.digest, "{}", case.name);
        let elsewhere = Domain::new(vectors.chain_id + 1, vectors.contract);
        assert_ne!(elsewhere.digest(&header), case.digest, "a signature is for one chain");
    }
}

/// The bytes in `:out:<target>`, literally: validators and broadcasters of different builds meet in them.
#[test]
fn the_body_of_an_outbox_item_is_fixed() {
    let (a, b) = ("aa".repeat(32), "bb".repeat(32));
    let (hash, root) = ("cc".repeat(32), "dd".repeat(32));
    let header = |part| Header {
        shard: 2,
        seq: 7,
        part,
        parts: 2,
        set_id: 5,
        updates_hash: Digest([0xcc; 32]),
        state_root: Digest([0xdd; 32]),
    };
    let update = Update { asset: Digest([0xaa; 32]), from: 1, version: 3, state_hash: Digest([0xbb; 32]) };
    let signed = Part { header: header(0), updates: vec![update], sig: Some("0x1234".to_owned()) };
    let unsigned = Part { header: header(1), updates: vec![], sig: None };
    let body = OutBody {
        v: 1,
        shard: Shard::RealEstate,
        seq: 7,
        root: Digest([0xdd; 32]),
        parts: vec![signed, unsigned],
        traces: [("00000000-0000-7000-8000-000000000002".to_owned(), "00-11-22-01".to_owned())].into(),
    };
    let head = |part: u16| {
        format!(
            r#"{{"shard":2,"seq":7,"part":{part},"parts":2,"set_id":5,"updates_hash":"0x{hash}","state_root":"0x{root}"}}"#
        )
    };
    let update = format!(r#"{{"asset":"0x{a}","from":1,"version":3,"state_hash":"0x{b}"}}"#);
    let (first, second) = (head(0), head(1));
    let bytes = format!(
        r#"{{"v":1,"shard":"real_estate","seq":7,"root":"0x{root}","parts":[{{"header":{first},"updates":[{update}],"sig":"0x1234"}},{{"header":{second},"updates":[]}}],"traces":{{"00000000-0000-7000-8000-000000000002":"00-11-22-01"}}}}"#
    );
    assert_eq!(serde_json::to_string(&body).unwrap(), bytes);
    assert_eq!(serde_json::from_str::<OutBody>(&bytes).unwrap(), body);
}
