//! Pure: precedence between installations that serve the same namespace. Each would see the other's links as
//! foreign, so the later one ignores the namespace. Each controller publishes the scope of its installation and
//! since when it applies; an installation counts until it has withdrawn this.

use std::collections::BTreeMap;

use crds::reserved::Serves;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Scope;

/// Published scopes by installation.
pub type ServedScopes = BTreeMap<String, Serves>;

/// Installations that take precedence over this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier(Vec<(String, Scope)>);

impl Earlier {
    /// The installations with precedence over the given one. While it has published no scope, or a narrower one,
    /// these are all others.
    pub fn than(installation: &str, scope: &Scope, published: &ServedScopes) -> Self {
        let own = published.get(installation);
        let own = own.filter(|own| scope.is_within(&Scope::from(*own)));
        let is_earlier = |(name, serves): &(&String, &Serves)| {
            let own = own.map(|own| (&own.since, installation));
            *name != installation && own.is_none_or(|own| (&serves.since, name.as_str()) < own)
        };
        let earlier = published.iter().filter(is_earlier);
        let scopes = earlier.map(|(name, serves)| (name.clone(), Scope::from(serves)));
        Self(scopes.collect())
    }

    /// The installation with precedence that serves the namespace, if any.
    pub fn server_of(&self, namespace: &str) -> Option<&str> {
        let mut earlier = self.0.iter();
        let serving = earlier.find(|(_, scope)| scope.serves(namespace));
        serving.map(|(name, _)| name.as_str())
    }

    /// Message: why this installation makes no links in the namespace.
    pub fn why(own: &str, server: &str, namespace: &str) -> String {
        format!(
            "the podconfig installations {server:?} and {own:?} both serve namespace {namespace}; {server:?} was first, \
             so {own:?} ignores the namespace until it is removed from the scope of one of them"
        )
    }
}

impl From<&Serves> for Scope {
    fn from(serves: &Serves) -> Self {
        Self {
            namespaces: serves.namespaces.clone(),
            except_namespaces: serves.except_namespaces.clone(),
        }
    }
}

/// The scope to be published. `since` changes only when the scope becomes wider.
pub fn serves(scope: &Scope, before: Option<&Serves>, now: &Time) -> Serves {
    let before = before.filter(|before| scope.is_within(&Scope::from(*before)));
    Serves {
        namespaces: scope.namespaces.clone(),
        except_namespaces: scope.except_namespaces.clone(),
        since: before.map_or_else(|| now.clone(), |before| before.since.clone()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn all_but(except: &[&str]) -> Scope {
        Scope {
            except_namespaces: except.iter().map(|&name| name.to_owned()).collect(),
            ..Scope::default()
        }
    }

    fn only(namespaces: &[&str]) -> Scope {
        Scope {
            namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
            ..Scope::default()
        }
    }

    fn published(all: &[(&str, &Scope, i64)]) -> ServedScopes {
        let one = |(name, scope, since): &(&str, &Scope, i64)| {
            ((*name).to_owned(), serves(scope, None, &at(*since)))
        };
        all.iter().map(one).collect()
    }

    /// The installations that serve the namespace, each from its own view.
    fn servers(published: &ServedScopes, namespace: &str) -> Vec<String> {
        let is_server = |(name, serves): &(&String, &Serves)| {
            let scope = Scope::from(*serves);
            let earlier = Earlier::than(name, &scope, published);
            scope.serves(namespace) && earlier.server_of(namespace).is_none()
        };
        let servers = published.iter().filter(is_server);
        servers.map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn of_several_that_serve_a_namespace_the_first_does() {
        let (all, hard) = (all_but(&[]), only(&["bank"]));
        let both = published(&[("default", &all, 1), ("hard", &hard, 2)]);
        assert_eq!(servers(&both, "bank"), ["default"]);
        assert_eq!(servers(&both, "other"), ["default"]);
        let earlier = Earlier::than("hard", &hard, &both);
        assert_eq!(earlier.server_of("bank"), Some("default"));
        // At the same second, one of them all the same.
        let both = published(&[("default", &all, 1), ("hard", &hard, 1)]);
        assert_eq!(servers(&both, "bank"), ["default"]);
    }

    #[test]
    fn what_the_first_leaves_out_the_second_serves() {
        let (all, hard) = (all_but(&["bank"]), only(&["bank", "shop"]));
        let both = published(&[("default", &all, 1), ("hard", &hard, 2)]);
        assert_eq!(servers(&both, "bank"), ["hard"]);
        assert_eq!(servers(&both, "shop"), ["default"]);
        assert_eq!(servers(&published(&[("hard", &hard, 2)]), "shop"), ["hard"]);
    }

    #[test]
    fn an_installation_without_a_published_scope_has_the_lowest_precedence() {
        let (all, bank) = (all_but(&[]), only(&["bank"]));
        let others = published(&[("default", &all, 5)]);
        let unpublished = Earlier::than("hard", &bank, &others);
        assert_eq!(unpublished.server_of("bank"), Some("default"));
        // Started anew with a wider scope, which its controller has not published yet.
        let both = published(&[("default", &all_but(&["bank"]), 1), ("hard", &bank, 2)]);
        let wider = Earlier::than("default", &all, &both);
        assert_eq!(wider.server_of("bank"), Some("hard"));
        assert_eq!(wider.server_of("other"), None);
    }

    #[test]
    fn a_wider_scope_begins_when_it_is_published_and_a_narrower_one_goes_on() {
        let first = serves(&all_but(&["bank"]), None, &at(1));
        let narrower = serves(&all_but(&["bank", "shop"]), Some(&first), &at(2));
        assert_eq!(narrower.since, at(1));
        let wider = serves(&all_but(&[]), Some(&narrower), &at(3));
        assert_eq!(wider.since, at(3));
        assert_eq!(serves(&all_but(&[]), Some(&wider), &at(4)), wider);
    }
}
