use super::*;

mod head;
mod ipam;
mod link;
mod network;
mod peers;
mod policy;
mod segment;
mod shape;
mod size;
mod vlan;
mod vxlan;

/// How the text becomes a manifest, the text, and exactly what is told of it, in this order.
type Case = (fn(&str) -> String, &'static str, &'static [&'static str]);

fn all_refused(cases: &[Case]) {
    for (manifest, text, faults) in cases {
        match admit_yaml(&manifest(text)) {
            Ok(_) => panic!("admitted: {text}"),
            Err(found) => assert_eq!(told(&found), *faults, "{text}"),
        }
    }
}

fn link(link: &str) -> String {
    links(&format!("[{link}]"))
}

fn whole(text: &str) -> String {
    text.to_owned()
}
