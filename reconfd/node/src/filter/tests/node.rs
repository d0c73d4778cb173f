use std::{collections::BTreeSet, thread, time::Duration};

use super::{
    packet::Ear,
    place::{Neighbour, eventually, index, run},
    ways::plain,
    *,
};

pub const PORT: u16 = 4789;
pub const OURS: u32 = 10042;
pub const OURS_V6: u32 = 10043;
pub const OTHERS: u32 = 7;

/// A node with tunnels on an underlay, and a pod on another link.
pub struct Node {
    ear: Ear,
    pub underlay: u32,
    pub peer: Neighbour,
    pub pod: Neighbour,
}

impl Node {
    pub fn new() -> Self {
        let (peer, pod) = (Neighbour::new(), Neighbour::new());
        for (link, net, neighbour) in [("under", 9, &peer), ("pod", 8, &pod)] {
            let netns = neighbour.path();
            run(&format!(
                "ip link add {link} type veth peer name eth0 netns {netns}"
            ));
            run(&format!("ip addr add 10.{net}.0.1/24 dev {link}"));
            run(&format!("ip addr add fd00:{net}::1/64 dev {link} nodad"));
            run(&format!("ip link set {link} up"));
            neighbour.does(move || {
                run(&format!("ip addr add 10.{net}.0.2/24 dev eth0"));
                run(&format!("ip addr add fd00:{net}::2/64 dev eth0 nodad"));
                run("ip link set eth0 up");
                run(&format!("ip route add default via 10.{net}.0.1"));
                run(&format!("ip route add default via fd00:{net}::1"));
            });
        }
        add_tunnels("under", "fd00:9::1");
        let underlay = index("under");
        let ear = Ear::open();
        Self {
            ear,
            underlay,
            peer,
            pod,
        }
    }

    pub fn set(&self) -> Filter {
        let mut filter = Filter::open("default", &Changes::default()).unwrap();
        let peers = peer_filter(self.underlay, &["10.9.0.2/32"]);
        filter.set(tunnel(OURS), peers).unwrap();
        let peers = peer_filter(self.underlay, &["fd00:9::2/128"]);
        filter.set(tunnel(OURS_V6), peers).unwrap();
        filter
    }

    /// Lets the node pass on what is for others. Who else has tunnels of the same numbers: the peer,
    /// a stranger beside it (10.9.0.3, fd00:9::3), and the pod.
    pub fn passes(&self) -> [Beyond; 2] {
        for family in ["ipv4", "ipv6"] {
            let forwarding = format!("/proc/sys/net/{family}/conf/all/forwarding");
            std::fs::write(forwarding, "1").unwrap();
        }
        self.peer.does(|| {
            run("ip addr add 10.9.0.3/24 dev eth0");
            run("ip addr add fd00:9::3/64 dev eth0 nodad");
        });
        [(&self.peer, 9), (&self.pod, 8)].map(|(neighbour, net)| {
            let ear = neighbour.does(move || {
                add_tunnels("eth0", &format!("fd00:{net}::2"));
                Ear::open()
            });
            Beyond(ear)
        })
    }

    /// What has arrived when a true peer's frames have, which were sent last.
    pub fn hears(&self) -> BTreeSet<String> {
        let mut heard = BTreeSet::new();
        for (to, vni) in [("10.9.0.1", OURS), ("fd00:9::1", OURS_V6)] {
            let from = if vni == OURS { "10.9.0.2" } else { "fd00:9::2" };
            let word = format!("last {vni}");
            plain(from, to, vni, &word).sent_by(&self.peer);
            eventually(&word, || {
                heard.extend(self.ear.words());
                heard.contains(&word)
            });
            heard.remove(&word);
        }
        thread::sleep(Duration::from_millis(50));
        heard.extend(self.ear.words());
        heard
    }
}

/// Tunnels behind the node.
pub struct Beyond(Ear);

impl Beyond {
    /// What has arrived when a frame of others' has that was sent last.
    pub fn hears(&self, from: (&Neighbour, &str), to: &str) -> BTreeSet<String> {
        plain(from.1, to, OTHERS, "last").sent_by(from.0);
        let mut heard = BTreeSet::new();
        eventually("last", || {
            heard.extend(self.0.words());
            heard.remove("last")
        });
        thread::sleep(Duration::from_millis(50));
        heard.extend(self.0.words());
        heard
    }
}

fn add_tunnels(link: &str, local: &str) {
    let local = format!("local {local} udp6zerocsumrx");
    for (vni, more) in [(OURS, ""), (OURS_V6, &local), (OTHERS, "")] {
        run(&format!(
            "ip link add vx{vni} type vxlan id {vni} dstport {PORT} dev {link} {more}"
        ));
        run(&format!("ip link set vx{vni} up"));
    }
}
