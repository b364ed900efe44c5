use super::*;

fn target(name: &str) -> Target {
    Target {
        name: name.parse().expect("a name"),
        kind: TargetKind::Evm,
        // One chain a name.
        chain_id: Some(name.bytes().map(u64::from).sum()),
        contract: Some(Address([7; 20])),
        tier: Some(Tier::Finalized),
        set_id: Some(1),
        retired: false,
    }
}

fn list(targets: &[Target]) -> Targets {
    Targets::new(targets.to_vec()).expect("a list")
}

#[test]
fn a_list_follows_if_it_keeps_every_name_and_what_the_name_means() {
    let (base, op) = (target("base"), target("op"));
    let before = list(&[base.clone(), op.clone()]);
    let follows = |targets: &[Target]| list(targets).check_follows(&before);
    let changed = |change: fn(&mut Target)| {
        let mut op = op.clone();
        change(&mut op);
        [base.clone(), op]
    };
    let name = || op.name.clone();

    assert_eq!(follows(&[base.clone(), op.clone()]), Ok(()));
    assert_eq!(follows(&[op.clone(), base.clone(), target("arb")]), Ok(()));
    assert_eq!(follows(&changed(|op| op.retired = true)), Ok(()));
    assert_eq!(follows(&changed(|op| op.set_id = Some(2))), Ok(()));
    assert_eq!(follows(&changed(|op| op.tier = Some(Tier::Safe))), Ok(()));

    assert_eq!(follows(std::slice::from_ref(&base)), Err(Unfollowed::Missing { name: name() }));
    assert_eq!(
        follows(&changed(|op| op.contract = Some(Address([8; 20])))),
        Err(Unfollowed::Changed { name: name(), field: "contract" })
    );
    assert_eq!(
        follows(&changed(|op| op.chain_id = Some(11))),
        Err(Unfollowed::Changed { name: name(), field: "chain_id" })
    );
    let null = Target::null(op.name.clone());
    assert_eq!(follows(&[base.clone(), null]), Err(Unfollowed::Changed { name: name(), field: "kind" }));

    let retired = list(&changed(|op| op.retired = true));
    assert_eq!(before.check_follows(&retired), Err(Unfollowed::Revived { name: name() }));
}

#[test]
fn a_retired_target_is_in_the_canonical_list_and_in_no_use() {
    let op = Target { retired: true, ..target("op") };
    let targets = list(&[target("base"), op.clone()]);
    assert_eq!(targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), ["base"]);
    assert!(targets.get(&op.name).is_none());
    let json = String::from_utf8(targets.canonical()).expect("text");
    assert!(
        json.ends_with(r#""set_id":1,"retired":true}]}"#) && json.matches("retired").count() == 1,
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Targets>(&json).expect("parses"), targets);
    assert_ne!(targets.digest(), list(&[target("base")]).digest());
}

#[test]
fn two_targets_in_use_do_not_share_a_chain_and_a_retired_one_leaves_it_free() {
    let again = Target { name: "op2".parse().expect("a name"), ..target("op") };
    let both = Targets::new(vec![target("op"), again.clone()]);
    assert!(matches!(both, Err(TargetsError::SameChain { .. })), "{both:?}");
    assert!(Targets::new(vec![Target { retired: true, ..target("op") }, again]).is_ok());
}
