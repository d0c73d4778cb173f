//! Pure: a field of somebody else's object, with its path in words.

use serde_json::Value;

const NOTHING: &Value = &Value::Null;

/// A field, which may be absent, and how it is called.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    pub value: &'a Value,
    pub path: String,
}

impl<'a> Field<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self::named("", value)
    }

    /// The root of something that is inside a field as text.
    pub fn named(path: &str, value: &'a Value) -> Self {
        let path = path.to_owned();
        Self { value, path }
    }

    /// The field of this name, or several names with dots between.
    pub fn at(&self, names: &str) -> Self {
        let mut field = self.clone();
        for name in names.split('.') {
            field = field.get(name);
        }
        field
    }

    /// The field of this very name, which may have dots in it.
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

    /// What a list holds; of anything else nothing.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let path = self.path.clone();
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(move |(at, value)| Self {
            value,
            path: format!("{path}[{at}]"),
        })
    }

    /// What a map holds, by its keys.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(name, _)| (name.as_str(), self.get(name)))
    }

    /// Its text, if it has any.
    pub fn text(&self) -> Option<&'a str> {
        self.value.as_str().filter(|text| !text.is_empty())
    }

    pub fn is(&self, text: &str) -> bool {
        self.value.as_str() == Some(text)
    }

    /// Whether nothing is said: absent, null, or the empty text or list.
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
