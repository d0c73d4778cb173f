//! What an auditor tries with addresses and routes, as far as an API server has the first word. Each story is called
//! after the attack; the policy allows whatever there is to allow, unless the story says otherwise.

use serde_json::{Value, json};

use super::tenant::Tenant;

fn everything() -> Value {
    let all = json!(["0.0.0.0/0", "::/0"]);
    json!([{"veth": {"bridges": "Own"}, "addresses": all, "routes": all,
        "tables": [{"min": 1, "max": 4_294_967_295_u32}]}])
}

fn pool(cidr: &str) -> Value {
    json!({"name": "l", "veth": {"bridge": "b"}, "ipam": {"ranges": [{"cidr": cidr}]}})
}

fn address(address: &str) -> Value {
    json!({"name": "l", "veth": {"bridge": "b"}, "addresses": [address]})
}

fn route(route: Value) -> Value {
    json!({"name": "l", "veth": {"bridge": "b"}, "routes": [route]})
}

fn all_are_refused(tenant: &Tenant, links: &[(Value, &str)]) {
    for (link, why) in links {
        let said = tenant.is_refused(std::slice::from_ref(link));
        assert!(said.contains(why), "{link}: {said}");
    }
}

#[test]
fn attack_a_pool_or_an_address_that_is_everybodys_or_nobodys() {
    let tenant = Tenant::new("adm-attack-pool", &everything(), None);
    let nobodys = "loopback, link-local, multicast";
    let host_bits = "write a network with no host bits";
    let no_address = "write the address with the prefix length";
    all_are_refused(
        &tenant,
        &[
            (pool("0.0.0.0/0"), nobodys),
            (pool("::/0"), nobodys),
            (pool("10.0.0.1/8"), host_bits),
            (pool("::ffff:10.244.0.0/112"), host_bits),
            (pool("169.254.169.254/32"), nobodys),
            (pool("169.254.0.0/16"), nobodys),
            (pool("168.0.0.0/7"), "the prefix length is less than 8"),
            (pool("fe80::/64"), nobodys),
            (pool("127.0.0.0/8"), nobodys),
            (pool("224.0.0.0/8"), nobodys),
            (address("169.254.169.254/32"), nobodys),
            (address("127.0.0.2/8"), nobodys),
            (address("::ffff:10.244.0.9/112"), no_address),
            (address("10.244.0.09/24"), no_address),
            (address("10.244.0.9/1"), "the prefix length is less than 8"),
            (address("255.255.255.255/32"), nobodys),
        ],
    );
}

#[test]
fn attack_a_default_route_that_the_policy_does_not_list() {
    let narrow = json!([{"veth": {"bridges": "Own"}, "addresses": ["10.9.0.0/16"], "routes": ["172.20.0.0/16"],
        "tables": [{"min": 100, "max": 199}]}]);
    let tenant = Tenant::new("adm-attack-route", &narrow, None);
    let unlisted = "is not allowed on such a link; the allowance lists 172.20.0.0/16";
    all_are_refused(
        &tenant,
        &[
            (route(json!({"to": "0.0.0.0/0"})), unlisted),
            (route(json!({"to": "::/0"})), unlisted),
            (route(json!({"to": "0.0.0.0/1"})), unlisted),
            (route(json!({"to": "128.0.0.0/1"})), unlisted),
            (route(json!({"to": "172.16.0.0/12"})), unlisted),
            // The network of an address is a route as well.
            (address("10.9.0.1/8"), "reaches beyond what is allowed"),
            (
                route(json!({"to": "172.20.0.0/16", "table": 99})),
                "table 99 is not allowed",
            ),
        ],
    );
}

#[test]
fn attack_routes_in_the_kernels_own_tables_and_by_gateways_that_are_no_neighbours() {
    let tenant = Tenant::new("adm-attack-table", &everything(), None);
    let own = "253, 254 and 255 are the kernel's default, main and local";
    let neighbour = "a gateway is one neighbour";
    let to = "172.20.0.0/16";
    all_are_refused(
        &tenant,
        &[
            (route(json!({"to": to, "table": 255})), own),
            (route(json!({"to": to, "table": 253})), own),
            (
                route(json!({"to": to, "table": 0})),
                "should be greater than or equal to 1",
            ),
            (
                route(json!({"to": to, "table": 4_294_967_296_u64})),
                "should be less than or equal to 4294967295",
            ),
            (
                route(json!({"to": to, "metric": -1})),
                "should be greater than or equal to 0",
            ),
            (route(json!({"to": to, "via": "127.0.0.1"})), neighbour),
            (route(json!({"to": to, "via": "0.0.0.0"})), neighbour),
            (route(json!({"to": to, "via": "224.0.0.1"})), neighbour),
            (
                route(json!({"to": to, "via": "::ffff:10.9.0.1"})),
                "write one IP address with no prefix length",
            ),
            (
                route(json!({"to": to, "via": "fe80::1"})),
                "via and to are of one family",
            ),
        ],
    );
}

/// The domain is in the name of every claim: one that is a path, a pattern or another's name would be another lock.
#[test]
fn attack_a_domain_that_is_no_label() {
    let mut rules = everything();
    rules[0]["domains"] = json!(["cluster"]);
    let tenant = Tenant::new("adm-attack-domain", &rules, None);
    let label = "a domain has only lower-case letters";
    let domain = |domain: &str| {
        let mut link = pool("10.9.0.0/24");
        link["ipam"]["domain"] = json!(domain);
        link
    };
    let long = "d".repeat(64);
    all_are_refused(
        &tenant,
        &[
            (domain("cluster.10.9.0.1"), label),
            (domain("../cluster"), label),
            (domain("cluster "), label),
            (domain("Cluster"), label),
            (domain("cluster\n"), label),
            (domain("сluster"), label),
            (domain("*"), label),
            (domain(&long), "may not be more than 63"),
            (
                domain("cluster2"),
                "domain cluster2 is not allowed on such a link; the allowance lists cluster",
            ),
        ],
    );
}
