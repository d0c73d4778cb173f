//! One level of a JSON object, with its values as raw text. Values are not validated: a wrong type in one
//! field leaves the other fields readable.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in the order of the text.
#[derive(Debug, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key, borrowed from the text wherever it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'a> Members<'a> {
    /// Parses an object; nested values are only checked for syntax, at any depth.
    pub fn parse(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The value of a key. The last one counts when a key is repeated, as in most readers of JSON.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| *value)
    }

    /// The value of a key, if it is not `null`.
    pub fn value(&self, key: &str) -> Option<&'a RawValue> {
        self.get(key).filter(|value| value.get() != "null")
    }

    /// The text of a key that holds a string; `Err` describes the type error.
    pub fn string(&self, key: &str) -> Result<Option<Cow<'a, str>>, String> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match serde_json::from_str::<Key<'a>>(value.get()) {
            Ok(text) => Ok(Some(text.0)),
            Err(error) => Err(format!("{key} is not a string ({error})")),
        }
    }

    /// Every member, repeated keys included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The first key that occurs twice.
    pub fn repeated(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.0.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        keys.windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        reader.deserialize_map(Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        reader.deserialize_str(Text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text() {
        let members =
            Members::parse(br#"{"a" :  {"x": 1.50e+2 , "y":"\u00e9"} , "b":null}"#).unwrap();
        assert_eq!(
            members.get("a").unwrap().get(),
            r#"{"x": 1.50e+2 , "y":"\u00e9"}"#
        );
        assert!(members.get("b").is_some() && members.value("b").is_none());
    }

    #[test]
    fn the_last_of_a_repeated_key_counts_and_is_reported() {
        let members = Members::parse(br#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
        assert_eq!(members.get("a").unwrap().get(), "3");
        assert_eq!(members.repeated(), Some("a"));
    }

    #[test]
    fn a_wrong_type_spoils_only_its_own_field() {
        let members = Members::parse(br#"{"name":["x"],"type":"ok"}"#).unwrap();
        assert!(
            members
                .string("name")
                .unwrap_err()
                .contains("name is not a string")
        );
        assert_eq!(members.string("type").unwrap().unwrap(), "ok");
        assert_eq!(members.string("absent").unwrap(), None);
    }

    #[test]
    fn a_million_brackets_overflow_no_stack() {
        let deep = format!(
            r#"{{"a":{}{}}}"#,
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert!(Members::parse(deep.as_bytes()).unwrap().get("a").is_some());
        assert!(Members::parse(&deep.as_bytes()[..1_000_000]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_at_all_can_panic(bytes: Vec<u8>) {
            drop(Members::parse(&bytes));
        }
    }
}
