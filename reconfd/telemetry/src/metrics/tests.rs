use super::*;

fn lines(metrics: &Metrics) -> Vec<String> {
    metrics.encode().lines().map(ToOwned::to_owned).collect()
}

fn assert_has(metrics: &Metrics, line: &str) {
    assert!(
        lines(metrics).iter().any(|l| l == line),
        "no {line} in\n{}",
        metrics.encode()
    );
}

#[test]
fn what_has_not_happened_yet_is_zero_and_not_missing() {
    let metrics = Metrics::default();
    for name in [
        "netlink_changes_total",
        "pods_recorded{source=\"plugin\"}",
        "pods_recorded{source=\"cri\"}",
        "pods_unrecorded",
        "refused_manifests",
        "switch_pinned",
    ] {
        assert_has(&metrics, &format!("reconfd_{name} 0"));
    }
    assert_has(&metrics, "reconfd_oldest_unapplied_seconds 0.0");
    assert_has(
        &metrics,
        &format!(
            "reconfd_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
    );
    assert_eq!(lines(&metrics).last().map(String::as_str), Some("# EOF"));
}

#[test]
fn everything_counted_is_told_under_its_name() {
    let metrics = Metrics::default();
    metrics.reconciled(Reason::LinkReady, Duration::from_millis(3));
    metrics.operated(Op::Make, "veth", true, Duration::from_micros(700));
    metrics.operated(Op::Remove, "veth", false, Duration::from_micros(700));
    metrics.set_links("veth", LinkState::Ready, 600);
    metrics.drift_repaired("veth");
    metrics.set_recorded(RecordSource::Cache, 200);
    metrics.set_unrecorded(1);
    metrics.netlink_changes(3);
    metrics.set_refused_manifests(2);
    metrics.set_oldest_unapplied(Duration::from_millis(1500));
    metrics.set_switch_pinned(true);
    for line in [
        r#"reconciles_total{result="LinkReady"} 1"#,
        "reconcile_duration_seconds_count 1",
        r#"link_operations_total{op="make",kind="veth",result="ok"} 1"#,
        r#"link_operations_total{op="remove",kind="veth",result="failed"} 1"#,
        r#"link_operation_duration_seconds_count{op="make",kind="veth"} 1"#,
        r#"links{kind="veth",state="Ready"} 600"#,
        r#"drift_repairs_total{kind="veth"} 1"#,
        r#"pods_recorded{source="cache"} 200"#,
        "pods_unrecorded 1",
        "netlink_changes_total 3",
        "refused_manifests 2",
        "oldest_unapplied_seconds 1.5",
        "switch_pinned 1",
    ] {
        assert_has(&metrics, &format!("reconfd_{line}"));
    }
}

#[test]
fn an_error_number_of_either_sign_has_a_name() {
    let metrics = Metrics::default();
    metrics.netlink_refused(-17);
    metrics.netlink_refused(17);
    metrics.netlink_refused(i32::MIN);
    assert_has(
        &metrics,
        r#"reconfd_netlink_errors_total{errno="EEXIST"} 2"#,
    );
    assert_has(
        &metrics,
        r#"reconfd_netlink_errors_total{errno="UnknownErrno"} 1"#,
    );
}

#[test]
fn a_clone_counts_into_the_same_numbers() {
    let metrics = Metrics::default();
    metrics.clone().netlink_changes(1);
    assert_has(&metrics, "reconfd_netlink_changes_total 1");
}

#[test]
fn a_reason_that_is_over_is_zero() {
    let metrics = Metrics::default();
    metrics.set_links_unready(&[(Reason::RangeFull, 3)].into());
    assert_has(&metrics, r#"reconfd_links_unready{reason="RangeFull"} 3"#);
    metrics.set_links_unready(&[(Reason::KernelRefused, 1)].into());
    assert_has(&metrics, r#"reconfd_links_unready{reason="RangeFull"} 0"#);
    let unready = lines(&metrics).into_iter();
    let unready = unready.filter(|line| line.starts_with("reconfd_links_unready{"));
    assert_eq!(unready.count(), 2);
}
