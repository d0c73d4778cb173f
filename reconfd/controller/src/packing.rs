//! Pure: packs entries into numbered lists of bounded length. An addition or removal changes a single list: entries
//! stay in place, and a new one goes into a list with room.

use std::collections::BTreeMap;

/// Lists by number.
pub type Lists<E> = BTreeMap<usize, Vec<E>>;

/// Returns the desired lists with at most `most` entries each, starting from the present ones. `key` identifies an
/// entry; `entry` builds one from a wanted pair.
pub fn pack<K: Ord, V, E: Ord>(
    present: &Lists<E>,
    mut wanted: BTreeMap<K, V>,
    most: usize,
    key: impl Fn(&E) -> K,
    entry: impl Fn((K, V)) -> E,
) -> Lists<E> {
    let mut lists = Lists::new();
    for (number, entries) in present {
        let present = entries.iter().take(most);
        let still = present.filter_map(|entry| wanted.remove_entry(&key(entry)));
        lists.insert(*number, still.map(&entry).collect());
    }
    for wanted in wanted {
        place(&mut lists, most, entry(wanted));
    }
    lists.retain(|_, entries: &mut Vec<E>| !entries.is_empty());
    lists
        .values_mut()
        .for_each(|entries| entries.sort_unstable());
    lists
}

/// Adds the entry to the fullest list with room, so that the others become empty over time.
fn place<E>(lists: &mut Lists<E>, most: usize, entry: E) {
    let with_room = lists.iter().filter(|(_, list)| list.len() < most);
    let fullest = with_room.max_by_key(|(number, list)| (list.len(), usize::MAX - *number));
    let number = fullest.map(|(number, _)| *number).unwrap_or_else(|| {
        let mut numbers = 0..;
        let free = numbers.find(|number| !lists.contains_key(number));
        free.unwrap_or_default()
    });
    lists.entry(number).or_default().push(entry);
}
