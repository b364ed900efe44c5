use super::*;

/// Running services and stored data meet under these names: a change of one is a change of format.
#[test]
fn every_name_in_redis_is_fixed() {
    let keys = Keys::new(Shard::RealEstate);
    let rid: Rid = "00000000-0000-7000-8000-000000000002".parse().expect("a rid");
    let target: Name = "base".parse().expect("a name");
    for (name, expected) in [
        (keys.generation(), "{oss:real_estate}:gen"),
        (keys.requests(), "{oss:real_estate}:requests"),
        (keys.input(), "{oss:real_estate}:in"),
        (keys.input_express(), "{oss:real_estate}:inx"),
        (keys.receipts(), "{oss:real_estate}:receipts"),
        (keys.index(), "{oss:real_estate}:idx"),
        (keys.lease(), "{oss:real_estate}:lease"),
        (keys.head(), "{oss:real_estate}:head"),
        (keys.log(), "{oss:real_estate}:log"),
        (keys.control(), "{oss:real_estate}:ctl"),
        (keys.validators(), "{oss:real_estate}:members:validator"),
        (keys.broadcasters(), "{oss:real_estate}:members:broadcaster"),
        (keys.status(), "{oss:real_estate}:status"),
        (keys.parked(), "{oss:real_estate}:parked"),
        (keys.dead_letters(), "{oss:real_estate}:dlq"),
        (keys.attempts(), "{oss:real_estate}:att"),
        (keys.request(rid), "{oss:real_estate}:req:00000000-0000-7000-8000-000000000002"),
        (keys.sent("cancel:1"), "{oss:real_estate}:sent:cancel:1"),
        (keys.progress(7), "{oss:real_estate}:prog:7"),
        (keys.out(&target), "{oss:real_estate}:out:base"),
        (keys.wait(&target), "{oss:real_estate}:wait:base"),
        (keys.lane(&target), "{oss:real_estate}:lane:base"),
        (keys.bind(&target), "{oss:real_estate}:bind:base"),
        (keys.raw(&target, 3), "{oss:real_estate}:raw:base:3"),
        (keys.barrier("collector-1"), "{oss:real_estate}:barrier:collector-1"),
    ] {
        assert_eq!(name, expected);
    }
}

#[test]
fn each_shard_has_a_hash_tag_of_its_own() {
    let logs = Shard::ALL.map(|shard| Keys::new(shard).log());
    assert_eq!(
        logs,
        ["{oss:financial}:log", "{oss:gaming}:log", "{oss:real_estate}:log", "{oss:general}:log"]
    );
}

#[test]
fn every_key_of_the_state_tree_is_fixed() {
    let (asset, account): (AssetId, Account) =
        ("bond:US91282CLW90".parse().expect("an asset"), "acct:alice".parse().expect("an account"));
    assert_eq!(asset_key(&asset), "asset/bond:US91282CLW90");
    assert_eq!(holding_key(&asset, &account), "holding/bond:US91282CLW90/acct:alice");
    assert_eq!(used_key("eip155:1/0xab/0"), "used/eip155:1/0xab/0");
    let (date, kind) = ("2026-03-31".parse().expect("a date"), PaymentKind::InterestPayment);
    let event = "event/bond:US91282CLW90/2026-03-31";
    assert_eq!(snapshot_key(&asset, &date), format!("{event}/RECORD_SNAPSHOT"));
    assert_eq!(payment_key(&asset, &date, kind), format!("{event}/INTEREST_PAYMENT"));
    assert_eq!(claim_key(&asset, &date, kind, &account), format!("{event}/INTEREST_PAYMENT/acct:alice"));
    let fund = "holding/bond:US91282CLW90/event/2026-03-31/INTEREST_PAYMENT";
    assert_eq!(fund_key(&asset, &date, kind), fund);
    assert!(fund.strip_prefix("holding/bond:US91282CLW90/").expect("a holding").parse::<Account>().is_err());
}
