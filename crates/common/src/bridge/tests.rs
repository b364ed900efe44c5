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
