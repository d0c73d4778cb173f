//! Pure: a field of an unstructured object, with its path.

use serde_json::Value;

const NOTHING: &Value = &Value::Null;

/// A field, which may be absent, and its path.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    pub value: &'a Value,
    pub path: String,
}

impl<'a> Field<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self::named("", value)
    }

    /// The root of a document that is embedded in a field as text.
    pub fn named(path: &str, value: &'a Value) -> Self {
        let path = path.to_owned();
        Self { value, path }
    }

    /// The field of this name, or of several names separated by dots.
    pub fn at(&self, names: &str) -> Self {
        let mut field = self.clone();
        for name in names.split('.') {
            field = field.get(name);
        }
        field
    }

    /// The field of exactly this name, which may contain dots.
    pub fn get(&self, name: &str) -> Self {
        let path = match (self.path.as_str(), name.contains('.')) {
            ("", false) => name.to_owned(),
            (path, false) => format!("{path}.{name}"),
            (path, true) => format!("{path}[{name}]"),
        };
        Self {
            value: self.value.get(name).unwrap_or(NOTHING),
            path,
        }
    }

    /// The items of a list; empty for any other value.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let path = self.path.clone();
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(move |(at, value)| Self {
            value,
            path: format!("{path}[{at}]"),
        })
    }

    /// The entries of a map, by key.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(name, _)| (name.as_str(), self.get(name)))
    }

    /// Its text, unless it is empty.
    pub fn text(&self) -> Option<&'a str> {
        self.value.as_str().filter(|text| !text.is_empty())
    }

    pub fn is(&self, text: &str) -> bool {
        self.value.as_str() == Some(text)
    }

    /// Whether it is absent, null, or an empty text or list.
    pub fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_called_as_people_call_it() {
        let object =
            json!({"spec": {"a": [{"cidr": "x"}, {"cidr": "y"}]}, "data": {"net.json": "{}"}});
        let root = Field::root(&object);
        let paths: Vec<String> = root
            .at("spec.a")
            .items()
            .map(|item| item.at("cidr").path)
            .collect();
        assert_eq!(paths, ["spec.a[0].cidr", "spec.a[1].cidr"]);
        assert_eq!(root.at("data").get("net.json").path, "data[net.json]");
        assert!(root.at("spec.b.c").is_empty());
    }
}
