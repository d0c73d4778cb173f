//! Who gives out addresses on a cluster: many at once, each a process of its own, as on as many nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::Read as _,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;

use crate::support::kubectl::{kubectl, list};
use allocator::{Allocator, range};

#[path = "../../support/allocator.rs"]
#[allow(dead_code)]
mod allocator;

const ALLOCATORS: usize = 20;
/// What a process is to do: node, domain, range, pods.
const ERRAND: &str = "PODCONFIG_ALLOCATOR";
const DONE: &str = "allocator: ";

/// Claims outlive whoever made them, and a story must not.
struct Domain(&'static str);

impl Drop for Domain {
    fn drop(&mut self) {
        let label = format!("podconfig.dev/domain={}", self.0);
        kubectl(&[
            "delete",
            "addressclaims",
            "--selector",
            &label,
            "--wait=false",
        ]);
    }
}

impl Domain {
    /// Address and node of each claim that is held.
    fn claims(&self) -> Vec<(String, String)> {
        let label = format!("podconfig.dev/domain={}", self.0);
        let claims = list(&["addressclaims", "--selector", &label]);
        let word = |claim: &Value, field: &str| {
            let word = claim["spec"][field].as_str();
            word.expect("a claim says so").to_owned()
        };
        let held = claims
            .iter()
            .filter(|claim| claim["spec"]["released"].is_null());
        held.map(|claim| (word(claim, "address"), word(claim, "node")))
            .collect()
    }

    fn begin(&self, number: usize, cidr: &str, pods: usize) -> Child {
        let errand = format!("alloc-{}-{number} {} {cidr} {pods}", self.0, self.0);
        let program = env::current_exe().expect("this program has a path");
        Command::new(program)
            .args(["--ignored", "--nocapture", "--exact"])
            .arg("alone::claims::one_allocator")
            .env(ERRAND, errand)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start an allocator")
    }
}

/// What an allocator said: held, full, requests, milliseconds.
fn said(mut child: Child) -> [usize; 4] {
    let mut text = String::new();
    let mut output = child.stdout.take().expect("its output is piped");
    output.read_to_string(&mut text).expect("it says something");
    assert!(child.wait().expect("it ends").success(), "{text}");
    let line = text.lines().find_map(|line| line.split(DONE).nth(1));
    let numbers = line.unwrap_or_else(|| panic!("it said nothing of use: {text}"));
    let numbers: Vec<usize> = numbers
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    numbers.try_into().expect("four numbers")
}

#[test]
#[ignore = "no story: a process of the stories below"]
fn one_allocator() {
    let Ok(errand) = env::var(ERRAND) else {
        return;
    };
    let words: Vec<&str> = errand.split(' ').collect();
    let [node, domain, cidr, pods] = words[..] else {
        panic!("what errand is {errand}?");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let allocator = Allocator::start(node).await?;
        let pods = pods.parse()?;
        let range = range(cidr)?;
        let outcome = allocator.hold(pods, domain, &range).await?;
        allocator.give_back(pods, domain, &range).await?;
        anyhow::Ok(outcome)
    });
    let outcome = outcome.unwrap();
    println!(
        "\n{DONE}{} {} {} {}",
        outcome.held.len(),
        outcome.full,
        outcome.requests,
        outcome.took.as_millis()
    );
}

#[test]
fn twenty_allocators_of_which_some_are_killed_hold_each_address_once_and_lose_none() {
    const PODS: usize = 100;
    let domain = Domain("story-killed");
    let mut children: BTreeMap<usize, Child> = (0..ALLOCATORS)
        .map(|number| (number, domain.begin(number, "10.240.0.0/20", PODS)))
        .collect();
    for number in (0..ALLOCATORS).step_by(3) {
        sleep(Duration::from_millis(150));
        let mut child = children.remove(&number).expect("it was started");
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        children.insert(number, domain.begin(number, "10.240.0.0/20", PODS));
    }
    for child in children.into_values() {
        let [held, full, ..] = said(child);
        assert_eq!((held, full), (PODS, 0));
    }
    let claims = domain.claims();
    let addresses: BTreeSet<&String> = claims.iter().map(|(address, _)| address).collect();
    assert_eq!(
        claims.len(),
        ALLOCATORS * PODS,
        "not one more, not one less"
    );
    assert_eq!(addresses.len(), claims.len());
    for number in 0..ALLOCATORS {
        let node = format!("alloc-{}-{number}", domain.0);
        let own = claims.iter().filter(|(_, of)| *of == node);
        assert_eq!(own.count(), PODS, "{node}");
    }
}

#[test]
fn a_range_is_given_out_to_its_last_address_and_never_walked() {
    const PODS: usize = 13;
    let domain = Domain("story-full");
    let children: Vec<Child> = (0..ALLOCATORS)
        .map(|number| domain.begin(number, "10.241.7.0/24", PODS))
        .collect();
    let said = children.into_iter().map(said);
    let sums = said.fold([0; 4], |sums, one| {
        std::array::from_fn(|at| sums[at] + one[at])
    });
    let [held, full, requests, _] = sums;
    assert_eq!((held, full), (254, ALLOCATORS * PODS - 254));
    let claims = domain.claims();
    let addresses: BTreeSet<&String> = claims.iter().map(|(address, _)| address).collect();
    assert_eq!((claims.len(), addresses.len()), (254, 254));
    println!("{requests} requests for 254 claims and {full} that found none left");
    assert!(requests <= 3 * (254 + full), "{requests} requests");
}
