use super::*;

#[test]
fn a_report_without_its_pod_or_without_its_node_is_swept_after_a_while() {
    let space = Space::new("ctl-sweep", &bridges());
    space.config(&on_bridge("blue"));
    let uid = space.pod("orphan", "sweep-0");
    space.report("orphan", &uid, "sweep-0", &nothing());
    let uid = space.pod("elsewhere", "sweep-0");
    space.report("elsewhere", &uid, "sweep-1", &nothing());
    // No garbage collector sees this one: it names no owner.
    space.report("podless", "some uid", "sweep-0", &nothing());
    let reports = ["orphan", "elsewhere", "podless"];
    let find = |name| space.find("podreport", name);
    assert!(
        reports.iter().all(|name| find(name).is_some()),
        "it may come right by itself"
    );
    for name in reports {
        eventually(&format!("the report {name} is swept"), || {
            find(name).map_or(Ok(()), |report| Err(report.to_string()))
        });
    }
}
