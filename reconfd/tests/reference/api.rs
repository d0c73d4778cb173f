//! The API reference, from the schemas of the definitions.

use serde_json::Value;

use crate::{code, row, table};

const TYPE: &str = "type";

pub fn page() -> String {
    let mut page = "# API\n\nGroup `podconfig.dev`. A field that is not marked as required may be left out; `null` is refused.\n\n".to_owned();
    let kinds: Vec<Value> = crds::definition::all()
        .iter()
        .map(|(_, definition)| serde_json::to_value(definition).unwrap())
        .collect();
    for kind in &kinds {
        let name = text(&kind["spec"]["names"]["kind"]);
        page += &format!("* [{name}](#{})\n", name.to_lowercase());
    }
    for kind in &kinds {
        page += &section(kind);
    }
    page
}

fn section(definition: &Value) -> String {
    let (spec, names) = (&definition["spec"], &definition["spec"]["names"]);
    let version = &spec["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let short = strings(&names["shortNames"]);
    let short = match short.is_empty() {
        true => String::new(),
        false => format!(", short name `{}`", short.join("`, `")),
    };
    let mut page = format!(
        "\n## {}\n\n{}\n\n`{}/{}`, resource `{}`{short}, {}.\n\n",
        text(&names["kind"]),
        text(&schema["description"]),
        text(&spec["group"]),
        text(&version["name"]),
        text(&names["plural"]),
        match spec["scope"] == "Cluster" {
            true => "cluster-wide",
            false => "in a namespace",
        }
    );
    page += &table(&["field", TYPE, "default", "description"]);
    let mut rules = Vec::new();
    fields("", schema, &mut page, &mut rules);
    if !rules.is_empty() {
        page += "\nRules:\n\n";
        page += &rules.concat();
    }
    page
}

/// A row for each field below a schema, and its rules.
fn fields(at: &str, schema: &Value, page: &mut String, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let place = if at.is_empty() { "object" } else { at };
        let rule = format!(
            "* `{place}`: {}\n",
            text(&rule["message"]).replace('<', "&lt;")
        );
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    let required = strings(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = match at.is_empty() {
            true => name.clone(),
            false => format!("{at}.{name}"),
        };
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            value => code(&value.to_string()),
        };
        *page += &row(&[
            &code(&path),
            &kind(field),
            &default,
            &text(&field["description"]),
        ]);
        // Conditions are those of every Kubernetes object.
        if name != "conditions" {
            below(&path, field, page, rules);
        }
    }
}

fn below(path: &str, field: &Value, page: &mut String, rules: &mut Vec<String>) {
    match &field["items"] {
        Value::Null => fields(path, field, page, rules),
        items => {
            fields(path, &field_without_fields(field), page, rules);
            fields(&format!("{path}[]"), items, page, rules);
        }
    }
}

/// Rules of a list itself.
fn field_without_fields(field: &Value) -> Value {
    serde_json::json!({"x-kubernetes-validations": field["x-kubernetes-validations"]})
}

fn kind(field: &Value) -> String {
    if field["items"].is_object() {
        return format!("list of {}", kind(&field["items"]));
    }
    if field["additionalProperties"].is_object() {
        return format!("map of {}", kind(&field["additionalProperties"]));
    }
    let choices = strings(&field["enum"]);
    if !choices.is_empty() {
        return format!("`{}`", choices.join("`, `"));
    }
    let name = match text(&field["format"]).as_str() {
        "date-time" => "time".to_owned(),
        _ => text(&field[TYPE]),
    };
    let number = |value: &Value| value.as_f64().map(|number| number.to_string());
    match (number(&field["minimum"]), number(&field["maximum"])) {
        (Some(least), Some(most)) => format!("{name}, {least} to {most}"),
        (Some(least), None) => format!("{name}, {least} or more"),
        _ => name,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
