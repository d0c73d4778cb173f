//! A copy, with our entry, of a file that we must not edit. It follows the owner's changes to the file and
//! keeps the plugins that others add to the copy, which is the chain for them. Pure.

use crate::chain::Chain;
use crate::entry::{CopyMark, Entry};

/// The name of a copy beside its original: it sorts before it, for "-" comes before ".".
pub fn beside(original: &str) -> String {
    let stem = original.rsplit_once('.').map_or(original, |(stem, _)| stem);
    format!("{stem}-podconfig.conflist")
}

/// The text of the copy, from the original without our entry and from the present copy, if there is one.
pub fn text(
    original: &str,
    bare: &Chain<'_>,
    standing: Option<&str>,
    entry: Entry,
) -> Option<String> {
    let mark = mark(original, bare);
    let standing = standing.and_then(|text| Chain::parse(text).ok());
    let entry = entry.in_copy(mark.clone());
    let Some(standing) = standing else {
        return bare.with(&entry);
    };
    // While the original is unchanged, the changes of others to the copy stay.
    if standing.copy_mark().is_some_and(|found| {
        (&found.copy_of, &found.copied_digest) == (&mark.copy_of, &mark.copied_digest)
    }) && standing.primary() == bare.primary()
    {
        return Some(
            standing
                .with(&entry)
                .unwrap_or_else(|| standing.text().to_owned()),
        );
    }
    let joined = joined(bare, &additions(&standing, bare));
    Chain::parse(&joined).ok()?.with(&entry)
}

/// The plugins that others added to a copy and that its original lacks.
pub fn additions<'a>(copy: &Chain<'a>, original: &Chain<'_>) -> Vec<(String, &'a str)> {
    let copied = copy.copy_mark().map(|mark| mark.copied_plugins.as_slice());
    let is_known = |kind: &str| {
        copied.is_some_and(|copied| copied.iter().any(|known| known == kind))
            || original.others().any(|(known, _)| known == kind)
    };
    let added = copy.others().filter(|(kind, _)| !is_known(kind));
    added.map(|(kind, text)| (kind.to_owned(), text)).collect()
}

/// The text of a chain with these plugins at its end.
pub fn joined(chain: &Chain<'_>, plugins: &[(String, &str)]) -> String {
    let mut text = chain.text().to_owned();
    for (_, plugin) in plugins {
        if let Ok(longer) = Chain::parse(&text).map(|chain| chain.and(plugin)) {
            text = longer;
        }
    }
    text
}

fn mark(original: &str, bare: &Chain<'_>) -> CopyMark {
    CopyMark {
        copy_of: original.to_owned(),
        copied_digest: digest(bare.text()),
        copied_plugins: bare.others().map(|(kind, _)| kind.to_owned()).collect(),
    }
}

/// FNV-1a, 64 bits: distinguishes versions of a file; stable across releases of this program.
fn digest(text: &str) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(plugins: &str) -> String {
        format!(r#"{{"cniVersion":"1.0.0","name":"n","plugins":[{plugins}]}}"#)
    }

    fn copy(original: &str, standing: Option<&str>) -> String {
        let bare = Chain::parse(original).unwrap();
        text("10-a.conf", &bare, standing, Entry::new("/r")).unwrap()
    }

    fn types(text: &str) -> Vec<String> {
        let chain = Chain::parse(text).unwrap();
        chain.others().map(|(kind, _)| kind.to_owned()).collect()
    }

    #[test]
    fn a_copy_sorts_before_its_original() {
        for name in [
            "10-ovn-kubernetes.conf",
            "00-multus.conf",
            ".conf",
            "a.b.conflist",
            "-.json",
        ] {
            assert!(*beside(name) < *name, "{name}");
        }
    }

    #[test]
    fn what_others_put_into_the_copy_stays_when_the_original_changes() {
        let first = copy(&list(r#"{"type":"calico"},{"type":"portmap"}"#), None);
        let mesh = Chain::parse(&first).unwrap().and(r#"{"type":"istio-cni"}"#);
        assert_eq!(
            copy(
                &list(r#"{"type":"calico"},{"type":"portmap"}"#),
                Some(&mesh)
            ),
            mesh
        );
        let next = copy(&list(r#"{"type":"calico","mtu":9000}"#), Some(&mesh));
        assert_eq!(types(&next), ["calico", "istio-cni"]);
        assert!(next.contains("9000") && Chain::parse(&next).unwrap().has_ours());
        let own = list(r#"{"type":"calico"},{"type":"istio-cni"}"#);
        assert_eq!(types(&copy(&own, Some(&next))), ["calico", "istio-cni"]);
    }

    #[test]
    fn a_copy_that_lost_the_primary_plugin_is_made_anew() {
        let original = list(r#"{"type":"calico"}"#);
        let first = copy(&original, None);
        let lost = first.replace(r#"{"type":"calico"}"#, r#"{"type":"other"}"#);
        assert_eq!(types(&copy(&original, Some(&lost))), ["calico", "other"]);
    }
}
