use super::{
    place::{on_a_node, run},
    table::{example, open, ruleset, sent},
};

#[test]
fn a_table_that_somebody_flushed_is_written_again() {
    on_a_node(|| {
        let (mut filter, _) = example();
        let whole = ruleset();
        for deed in [
            "flush ruleset",
            "delete table inet podconfig-default",
            "flush table inet podconfig-default",
            "flush chain inet podconfig-default port-4789",
            "flush set inet podconfig-default vni10042.port4789.if1.v4",
            "add element inet podconfig-default vni10042.port4789.if1.v4 { 10.8.0.2 }",
            "delete element inet podconfig-default vni10042.port4789.if1.v4 { 10.9.0.2 }",
            "add element inet podconfig-default port4789.links { 9 }",
            "insert rule inet podconfig-default input accept",
            "add rule inet podconfig-default forward accept",
            "add chain inet podconfig-default mine",
            "add set inet podconfig-default mine { type ipv4_addr; }",
            "chain inet podconfig-default forward { policy drop; }",
            "add table inet podconfig-default { flags dormant; }",
        ] {
            assert_eq!(filter.verify(), Ok(false), "before: {deed}");
            run(&format!("nft '{deed}'"));
            assert_eq!(filter.verify(), Ok(true), "{deed}");
            assert_eq!(ruleset(), whole, "{deed}");
        }
        let rule = run("nft -a list chain inet podconfig-default vni10042.port4789");
        let handle = rule.lines().find(|line| line.contains("drop")).unwrap();
        let handle = handle.rsplit(' ').next().unwrap();
        run(&format!(
            "nft replace rule inet podconfig-default vni10042.port4789 handle {handle} accept"
        ));
        assert_eq!(filter.verify(), Ok(true));
        assert_eq!(ruleset(), whole);
    });
}

#[test]
fn a_table_that_was_changed_while_no_daemon_ran_is_written_again() {
    on_a_node(|| {
        let (before, _) = example();
        let whole = ruleset();
        run("nft flush chain inet podconfig-default vni10042.port4789");
        let (mut filter, changes) = open();
        assert_eq!(filter.tunnels(), before.tunnels());
        assert_eq!(sent(&changes), 0);
        assert_eq!(filter.verify(), Ok(true));
        assert_eq!(ruleset(), whole);
        run("nft flush chain inet podconfig-default vni10042.port4789");
        let (mut filter, _) = open();
        let (tunnel, peer_filter) = before.tunnels().first_key_value().unwrap();
        filter.set(*tunnel, peer_filter.clone()).unwrap();
        assert_eq!(ruleset(), whole);
    });
}

#[test]
fn a_source_that_somebody_added_while_no_daemon_ran_goes_with_the_next_guard() {
    on_a_node(|| {
        let (before, _) = example();
        let whole = ruleset();
        run("nft add element inet podconfig-default vni10042.port4789.if1.v4 { 10.8.0.2 }");
        let (mut filter, _) = open();
        assert_ne!(filter.tunnels(), before.tunnels());
        filter.set_all(before.tunnels().clone()).unwrap();
        assert_eq!(ruleset(), whole);
    });
}

#[test]
fn changes_to_other_tables_change_nothing_here() {
    on_a_node(|| {
        let (mut filter, changes) = example();
        sent(&changes);
        run(
            "nft add table inet x; nft add chain inet x y; nft add set inet x z '{ type ipv4_addr; }'",
        );
        assert_eq!(filter.verify(), Ok(false));
        assert_eq!(sent(&changes), 0);
    });
}

#[test]
fn a_table_without_tunnels_that_is_found_goes() {
    on_a_node(|| {
        run("nft 'table inet podconfig-default { chain x { drop; }; }'");
        let (mut filter, changes) = open();
        assert!(filter.tunnels().is_empty());
        assert_eq!(sent(&changes), 0);
        assert_eq!(filter.verify(), Ok(true));
        assert_eq!(ruleset(), "");
    });
}
