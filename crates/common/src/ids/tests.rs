use super::*;

fn tenant(text: &str) -> Tenant {
    text.parse().unwrap()
}

#[test]
fn the_class_alone_gives_the_shard() {
    for (class, shard) in [
        ("bond", Shard::Financial),
        ("stock", Shard::Financial),
        ("derivative", Shard::Financial),
        ("fund", Shard::Financial),
        ("game_item", Shard::Gaming),
        ("virtual_asset", Shard::Gaming),
        ("real_estate", Shard::RealEstate),
        ("carbon_credit", Shard::General),
    ] {
        let asset: AssetId = format!("{class}:X-1").parse().unwrap();
        assert_eq!(asset.shard(), shard, "{class}");
    }
}

#[test]
fn malformed_ids_are_refused() {
    for bad in ["", "bond", "bond:", ":x", "Bond:x", "bond:a/b", "bond:a:b", "bond2:x"] {
        assert!(bad.parse::<AssetId>().is_err(), "{bad}");
    }
    assert!(format!("bond:{}", "x".repeat(65)).parse::<AssetId>().is_err());
    assert!("a b".parse::<Account>().is_err());
    assert!("eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb".parse::<Account>().is_ok());
    assert!("UPPER".parse::<Name>().is_err());
}

#[test]
fn a_keyed_rid_is_a_function_of_tenant_key_and_shard() {
    let key: IdempotencyKey = "demo-1".parse().unwrap();
    let rid = Rid::from_key(&tenant("acme"), &key, Shard::Financial);
    assert_eq!(rid.to_string(), GOLDEN_RID);
    assert_eq!(rid, Rid::from_key(&tenant("acme"), &key, Shard::Financial));
    assert_ne!(rid, Rid::from_key(&tenant("acm"), &"edemo-1".parse().unwrap(), Shard::Financial));
    let elsewhere = Rid::from_key(&tenant("acme"), &key, Shard::General);
    assert_ne!(rid, elsewhere);
    assert_eq!(elsewhere.shard(), Shard::General);
}

/// Independently: `printf 'oss/rid/1\0\4acmedemo-1' | sha256sum`, version and variant bits set, last byte 00.
const GOLDEN_RID: &str = "bf70c582-18e4-8359-aee5-9cb4d6f46e00";

#[test]
fn a_rid_names_its_shard_and_has_one_spelling() {
    let rid = Rid::fresh(Shard::RealEstate);
    assert_eq!(rid.shard(), Shard::RealEstate);
    assert_eq!(rid.to_string().parse::<Rid>().unwrap(), rid);
    assert!(rid.to_string().to_uppercase().parse::<Rid>().is_err());
    assert!("00000000-0000-7000-8000-000000000004".parse::<Rid>().is_err(), "no shard 4");
}
