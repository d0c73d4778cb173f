//! Pure: which lists of objects are known as a whole. What could not be listed, or may no longer be, is
//! unknown and not empty.

use std::{collections::BTreeMap, fmt};

use super::job::Kind;

/// One watch: a kind, in the whole cluster or in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub kind: Kind,
    pub namespace: Option<String>,
}

#[derive(Debug, Default)]
pub struct Known {
    lists: BTreeMap<Source, List>,
}

#[derive(Debug, Default)]
struct List {
    is_whole: bool,
    /// What went wrong last.
    fault: Option<String>,
}

impl Known {
    /// Of all these nothing is known yet.
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        let unknown = |source| (source, List::default());
        Self {
            lists: sources.into_iter().map(unknown).collect(),
        }
    }

    /// Every object of the watch has been heard.
    pub fn listed(&mut self, source: &Source) {
        if let Some(list) = self.lists.get_mut(source) {
            (list.is_whole, list.fault) = (true, None);
        }
    }

    /// The watch goes on.
    pub fn heard(&mut self, source: &Source) {
        if let Some(list) = self.lists.get_mut(source) {
            list.fault = None;
        }
    }

    /// The watch has failed; whether that was not known already. What is lost is not known any more.
    pub fn failed(&mut self, source: &Source, why: &str, is_lost: bool) -> bool {
        let Some(list) = self.lists.get_mut(source) else {
            return false;
        };
        list.is_whole &= !is_lost;
        list.fault.replace(why.to_owned()).as_deref() != Some(why)
    }

    pub fn has(&self, kinds: &[Kind]) -> bool {
        let of_kinds = |source: &Source| kinds.contains(&source.kind);
        self.lists
            .iter()
            .all(|(source, list)| list.is_whole || !of_kinds(source))
    }

    /// What is not known, in words, if anything is not.
    pub fn missing(&self) -> Option<String> {
        let missing = self.lists.iter().filter(|(_, list)| !list.is_whole);
        let told = missing.map(|(source, list)| match &list.fault {
            Some(fault) => format!("no list of {source}: {fault}"),
            None => format!("no list of {source} yet"),
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind.as_str().replace("Policy", "Policie");
        write!(f, "{}s", name.trim_end_matches('s'))?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pods(namespace: &str) -> Source {
        Source {
            kind: Kind::Pod,
            namespace: Some(namespace.into()),
        }
    }

    fn policies() -> Source {
        Source {
            kind: Kind::PodConfigPolicy,
            namespace: None,
        }
    }

    #[test]
    fn a_kind_is_known_when_all_of_its_lists_are() {
        let mut known = Known::new([pods("a"), pods("b"), policies()]);
        known.listed(&pods("a"));
        known.listed(&policies());
        assert!(!known.has(&[Kind::Pod]) && known.has(&[Kind::PodConfigPolicy]));
        known.listed(&pods("b"));
        assert!(known.has(&[Kind::Pod, Kind::PodConfigPolicy]));
        assert_eq!(known.missing(), None);
    }

    #[test]
    fn what_may_no_longer_be_read_is_unknown_until_it_was_listed_anew() {
        let mut known = Known::new([policies()]);
        known.listed(&policies());
        assert!(known.failed(&policies(), "connection refused", false));
        assert!(known.has(&[Kind::PodConfigPolicy]), "it comes back");
        assert!(known.failed(&policies(), "forbidden", true));
        assert!(!known.has(&[Kind::PodConfigPolicy]));
        let missing = known.missing().unwrap();
        assert_eq!(missing, "no list of PodConfigPolicies: forbidden");
        known.listed(&policies());
        assert!(known.has(&[Kind::PodConfigPolicy]));
    }

    #[test]
    fn the_same_fault_is_news_once_until_the_watch_goes_on() {
        let mut known = Known::new([pods("a")]);
        assert!(known.failed(&pods("a"), "refused", false));
        assert!(!known.failed(&pods("a"), "refused", false));
        known.heard(&pods("a"));
        assert!(known.failed(&pods("a"), "refused", false));
    }
}
