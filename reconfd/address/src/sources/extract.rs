//! Pure: collects the networks of one object, field by field.

use std::net::IpAddr;

use crds::{
    Cidr,
    reserved::{ReservedNetwork, Source, Usage},
};
use ipnetwork::IpNetwork;

use super::{field::Field, span};

/// Wider networks than these do not belong to a tenant or a node, whatever the object states.
const WIDEST_IPV4: u8 = 8;
const WIDEST_IPV6: u8 = 16;

/// The writer of such an object, which decides how far it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A field that cannot be parsed makes its source unknown: its meaning must not be guessed.
    Administrator,
    /// A kubelet, for its node. A field that cannot be parsed, or is too wide, is reported and skipped.
    Node,
    /// Tenants, for their namespaces. A field that cannot be parsed, or is too wide, is reported and skipped, or one
    /// tenant could keep all others from getting addresses.
    Tenant,
}

/// The networks of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    pub networks: Vec<ReservedNetwork>,
    /// Fields that could not be parsed: the networks are unknown.
    pub errors: Vec<String>,
    /// Fields that were skipped.
    pub warnings: Vec<String>,
}

/// Collects the networks of the object that is being read.
#[derive(Clone, Debug)]
pub struct Extractor {
    pub source: Source,
    pub kind: String,
    pub object: String,
    pub writer: Writer,
    pub extracted: Extracted,
}

impl Extractor {
    /// A text with one network, `first-last`, or several, separated by commas or blanks.
    pub fn network(&mut self, usage: Usage, field: &Field<'_>) {
        self.network_of(self.source, usage, field);
    }

    pub fn network_of(&mut self, source: Source, usage: Usage, field: &Field<'_>) {
        if field.is_empty() {
            return;
        }
        let Some(text) = field.value.as_str() else {
            return self.error(field, &format!("{} is not a text", field.value));
        };
        let parts = text.split(|c: char| c == ',' || c.is_whitespace());
        for part in parts.filter(|part| !part.is_empty()) {
            match networks(part) {
                Ok(networks) => self.add_all(source, usage, field, networks),
                Err(why) => self.error(field, &why),
            }
        }
    }

    /// A list of such texts.
    pub fn networks(&mut self, usage: Usage, field: &Field<'_>) {
        for item in self.list(field) {
            self.network(usage, &item);
        }
    }

    /// The items of a list; any other value is an error.
    pub fn list<'a>(&mut self, field: &Field<'a>) -> Vec<Field<'a>> {
        if !field.is_empty() && !field.value.is_array() {
            self.error(field, "this is not a list");
        }
        field.items().collect()
    }

    /// From the first to the last address, inclusive.
    pub fn span(&mut self, usage: Usage, first: &Field<'_>, last: &Field<'_>) {
        if first.is_empty() && last.is_empty() {
            return;
        }
        let text = |field: &Field<'_>| field.text().unwrap_or_default().to_owned();
        match between(&text(first), &text(last)) {
            Ok(networks) => self.add_all(self.source, usage, first, networks),
            Err(why) => self.error(first, &why),
        }
    }

    fn add_all(
        &mut self,
        source: Source,
        usage: Usage,
        field: &Field<'_>,
        networks: Vec<IpNetwork>,
    ) {
        for network in networks {
            self.add(source, usage, field, network);
        }
    }

    pub fn add(&mut self, source: Source, usage: Usage, field: &Field<'_>, network: IpNetwork) {
        let network = canonical(network);
        if network.prefix() < self.widest(network, usage) {
            let why = format!("{network} is too wide, skipped");
            return self.warn(field, &why);
        }
        self.extracted.networks.push(ReservedNetwork {
            prefix: Cidr::of(network),
            usage,
            source,
            kind: self.kind.clone(),
            object: self.object.clone(),
            field: field.path.chars().take(253).collect(),
            since: None,
        });
    }

    /// A whole address family is never a network in use: in some objects it means that nothing is limited.
    fn widest(&self, network: IpNetwork, usage: Usage) -> u8 {
        match (self.writer, network.is_ipv4()) {
            (Writer::Administrator, _) if !usage.is_of_addresses() => 1,
            (_, true) => WIDEST_IPV4,
            (_, false) => WIDEST_IPV6,
        }
    }

    /// Reports a field that cannot be parsed.
    pub fn error(&mut self, field: &Field<'_>, why: &str) {
        match self.writer {
            Writer::Administrator => self.extracted.errors.push(self.message(field, why)),
            Writer::Node | Writer::Tenant => self.warn(field, why),
        }
    }

    pub fn warn(&mut self, field: &Field<'_>, why: &str) {
        self.extracted.warnings.push(self.message(field, why));
    }

    fn message(&self, field: &Field<'_>, why: &str) -> String {
        let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
        format!("{}/{}: {}: {why}", self.kind, self.object, field.path)
    }
}

/// Parses one word: a network, one address, or a span of addresses.
pub fn networks(text: &str) -> Result<Vec<IpNetwork>, String> {
    match text.split_once('-') {
        // Some write the prefix length after the range; it adds nothing.
        Some((first, last)) => between(first, last.split('/').next().unwrap_or(last)),
        None => network(text).map(|network| vec![network]),
    }
}

/// A network as any of the plugins writes it, with or without host bits: only the network counts.
pub fn network(text: &str) -> Result<IpNetwork, String> {
    let wrong = || format!("{text:?} is not a network, such as 10.244.0.0/16 or fd00:244::/56");
    let network: IpNetwork = text.trim().parse().map_err(|_| wrong())?;
    Ok(canonical(network))
}

fn between(first: &str, last: &str) -> Result<Vec<IpNetwork>, String> {
    let address = |text: &str| text.trim().parse::<IpAddr>();
    let (Ok(from), Ok(to)) = (address(first), address(last)) else {
        return Err(format!(
            "{:?} is not a range of addresses, such as 10.0.0.5-10.0.0.9",
            format!("{first}-{last}")
        ));
    };
    match span::networks(from, to) {
        none if none.is_empty() => Err(format!("{first} is not before {last}")),
        networks => Ok(networks),
    }
}

/// Converts IPv4-mapped IPv6 networks to IPv4.
fn canonical(network: IpNetwork) -> IpNetwork {
    let bare = match network {
        IpNetwork::V6(v6) if v6.prefix() >= 96 => {
            let v4 = v6.ip().to_ipv4_mapped();
            v4.and_then(|v4| IpNetwork::new(v4.into(), v6.prefix() - 96).ok())
        }
        _ => None,
    };
    Cidr::of(bare.unwrap_or(network)).network()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn extracted(writer: Writer, usage: Usage, value: Value) -> Extracted {
        let mut out = Extractor {
            source: Source::Calico,
            kind: "IPPool.crd.projectcalico.org".into(),
            object: "p".into(),
            writer,
            extracted: Extracted::default(),
        };
        out.network(usage, &Field::named("spec.cidr", &value));
        out.extracted
    }

    fn prefixes(extracted: &Extracted) -> Vec<String> {
        let networks = extracted.networks.iter();
        networks.map(|network| network.prefix.to_string()).collect()
    }

    #[test]
    fn a_network_is_read_as_the_plugins_write_it() {
        let read =
            |text: &str| prefixes(&extracted(Writer::Administrator, Usage::Pods, json!(text)));
        assert_eq!(read("10.244.0.0/16"), ["10.244.0.0/16"]);
        assert_eq!(read("10.244.3.7/16"), ["10.244.0.0/16"]);
        assert_eq!(read("10.0.0.7"), ["10.0.0.7/32"]);
        assert_eq!(read("::ffff:10.0.0.0/104"), ["10.0.0.0/8"]);
        assert_eq!(read("10.1.0.0/16,fd00::/48"), ["10.1.0.0/16", "fd00::/48"]);
        assert_eq!(
            read("10.1.0.0/16 10.2.0.0/16"),
            ["10.1.0.0/16", "10.2.0.0/16"]
        );
        assert_eq!(read("10.0.0.4-10.0.0.7/24"), ["10.0.0.4/30"]);
        assert_eq!(read(""), [""; 0]);
    }

    #[test]
    fn an_unparsable_field_of_an_administrator_is_an_error() {
        for value in [
            json!("10.0.0.0/33"),
            json!("ten"),
            json!(7),
            json!(["10.0.0.0/8"]),
            json!("10.0.0.9-10.0.0.5"),
        ] {
            let extracted = extracted(Writer::Administrator, Usage::Pods, value.clone());
            assert_eq!(
                (extracted.networks.len(), extracted.errors.len()),
                (0, 1),
                "{value}"
            );
            assert!(extracted.errors[0].starts_with("IPPool.crd.projectcalico.org/p: spec.cidr: "));
        }
    }

    #[test]
    fn an_unparsable_field_of_a_tenant_is_a_warning() {
        for text in [
            "rubbish",
            "0.0.0.0/0",
            "10.0.0.0/7",
            "::/0",
            "fc00::/7",
            "0.0.0.0-255.255.255.255",
        ] {
            for writer in [Writer::Tenant, Writer::Node] {
                let extracted = extracted(writer, Usage::Pool, json!(text));
                assert_eq!(
                    (extracted.networks.len(), extracted.errors.len()),
                    (0, 0),
                    "{text}"
                );
                assert_eq!(extracted.warnings.len(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_whole_address_family_is_not_a_network() {
        let all = extracted(Writer::Administrator, Usage::Pods, json!("0.0.0.0/0"));
        assert_eq!((all.networks.len(), all.warnings.len()), (0, 1));
        let half = extracted(Writer::Administrator, Usage::Pods, json!("0.0.0.0/1"));
        assert_eq!(half.networks.len(), 1);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_into_a_message() {
        let extracted = extracted(Writer::Administrator, Usage::Pods, json!("\u{1b}[31mred\n"));
        assert!(
            !extracted.errors[0].contains(char::is_control),
            "{extracted:?}"
        );
    }
}
