//! The namespaces that an installation serves. Several installations on one node have disjoint scopes, so that
//! they do not revert each other's changes.

use std::fmt;

use clap::Args;

/// Precedence between installations that serve the same namespace.
pub mod precedence;

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Scope {
    /// Namespaces to serve, comma-separated; objects of others are neither read nor changed. Default: all
    #[arg(
        long,
        env = "PODCONFIG_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = namespace,
        conflicts_with = "except_namespaces"
    )]
    pub namespaces: Vec<String>,

    /// Namespaces to exclude, comma-separated, because another installation serves them
    #[arg(
        long,
        env = "PODCONFIG_EXCEPT_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    pub except_namespaces: Vec<String>,
}

impl Scope {
    pub fn serves(&self, namespace: &str) -> bool {
        let is_among = |names: &[String]| names.iter().any(|name| name == namespace);
        match self.namespaces.is_empty() {
            true => !is_among(&self.except_namespaces),
            false => is_among(&self.namespaces),
        }
    }

    /// Whether the other scope contains every namespace of this one, including future ones.
    pub fn is_within(&self, other: &Self) -> bool {
        match (self.is_limited(), other.is_limited()) {
            (true, _) => self.namespaces.iter().all(|name| other.serves(name)),
            (false, true) => false,
            (false, false) => {
                let mut except = other.except_namespaces.iter();
                except.all(|name| self.except_namespaces.contains(name))
            }
        }
    }

    /// Whether the scope is a fixed list, so that only these namespaces may be read.
    pub fn is_limited(&self) -> bool {
        !self.namespaces.is_empty()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespaces[..], &self.except_namespaces[..]) {
            ([], []) => f.write_str("all namespaces"),
            ([], except) => write!(f, "all namespaces except {}", except.join(", ")),
            (names, _) => write!(f, "namespaces {}", names.join(", ")),
        }
    }
}

fn namespace(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = text.starts_with('-') || text.ends_with('-');
    match !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !ends {
        true => Ok(text.to_owned()),
        false => Err("not a valid namespace name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespaces: &[&str], except: &[&str]) -> Scope {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Scope {
            namespaces: owned(namespaces),
            except_namespaces: owned(except),
        }
    }

    #[test]
    fn without_a_word_every_namespace_is_served() {
        assert!(scope(&[], &[]).serves("tenant-a"));
        assert!(!scope(&[], &[]).is_limited());
        assert_eq!(scope(&[], &[]).to_string(), "all namespaces");
    }

    #[test]
    fn of_two_copies_exactly_one_serves_a_namespace() {
        let (own, rest) = (scope(&["tenant-a"], &[]), scope(&[], &["tenant-a"]));
        for name in ["tenant-a", "tenant-b", "default"] {
            assert_ne!(own.serves(name), rest.serves(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        for odd in ["", "A", "a.b", "-a", "a-", "a b", &"a".repeat(64)] {
            assert!(namespace(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_scope_is_within_another_where_that_serves_all_of_it() {
        let all = scope(&[], &[]);
        let but_a = scope(&[], &["a"]);
        let (a, ab) = (scope(&["a"], &[]), scope(&["a", "b"], &[]));
        for (inner, outer) in [
            (&all, &all),
            (&but_a, &all),
            (&a, &all),
            (&a, &ab),
            (&but_a, &but_a),
        ] {
            assert!(inner.is_within(outer), "{inner}, {outer}");
        }
        for (inner, outer) in [(&all, &but_a), (&a, &but_a), (&ab, &a), (&all, &ab)] {
            assert!(!inner.is_within(outer), "{inner}, {outer}");
        }
    }
}
