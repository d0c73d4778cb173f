//! The short form: `[namespace/]name[@interface]`, with commas between.

use super::{ElementError, NetworkSelection, SelectionError, check_count, check_object_name};
use crate::names;

pub(super) fn parse(
    annotation: &str,
    namespace: &str,
) -> Result<Vec<NetworkSelection>, SelectionError> {
    check_count(annotation.split(',').count())?;
    let read = |(index, item)| {
        element(item, namespace).map_err(|problem| SelectionError::Element { index, problem })
    };
    annotation.split(',').enumerate().map(read).collect()
}

fn element(item: &str, own_namespace: &str) -> Result<NetworkSelection, ElementError> {
    let (namespace, rest) = match item.split_once('/') {
        Some((namespace, rest)) => (namespace.trim(), rest),
        None => (own_namespace, item),
    };
    let (name, interface) = match rest.split_once('@') {
        Some((name, interface)) => (name.trim(), Some(interface.trim())),
        None => (rest.trim(), None),
    };
    if rest.contains('/') || interface.is_some_and(|interface| interface.contains('@')) {
        return Err(ElementError::Form);
    }
    check_object_name(namespace, true)?;
    check_object_name(name, true)?;
    interface.map_or(Ok(()), names::attached_interface)?;
    Ok(NetworkSelection {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        interface: interface.map(str::to_owned),
        ..NetworkSelection::default()
    })
}
