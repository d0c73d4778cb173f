use super::*;

mod cni;
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

/// How the text becomes a manifest, the text, and its exact errors in order.
type Case = (fn(&str) -> String, &'static str, &'static [&'static str]);

fn all_refused(cases: &[Case]) {
    for (manifest, text, errors) in cases {
        match admit_yaml(&manifest(text)) {
            Ok(_) => panic!("admitted: {text}"),
            Err(found) => assert_eq!(messages(&found), *errors, "{text}"),
        }
    }
}

fn link(link: &str) -> String {
    links(&format!("[{link}]"))
}

fn whole(text: &str) -> String {
    text.to_owned()
}
