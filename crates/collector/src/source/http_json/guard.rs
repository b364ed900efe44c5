//! Which addresses a source of external data may reach (no requests to inside hosts on somebody's behalf).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The URL, if its scheme, user part and host are allowed.
///
/// # Errors
/// What is wrong, as a sentence part.
pub(super) fn admit(url: &str, hosts: &[String], allow_private: bool) -> Result<Url, String> {
    let parsed = Url::parse(url).map_err(|error| format!("urls: {url:?}: {error}"))?;
    let Some(host) = parsed.host_str() else { return Err(format!("urls: {url:?} names no host")) };
    if !hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {
        return Err(format!("urls: host {host:?} is not in hosts"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(format!("urls: host {host:?}: a user name or password in a URL is not allowed"));
    }
    let is_plain = match parsed.scheme() {
        "https" => false,
        "http" if allow_private => true,
        "http" => return Err(format!("urls: {url:?}: http needs allow_private, use https")),
        scheme => return Err(format!("urls: scheme {scheme:?} is not allowed")),
    };
    // A literal address never meets the resolver, so it is checked here.
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    if let Some(address) = literal
        && !may_reach(address, is_plain, allow_private)
    {
        return Err(format!("urls: address {address} may not be reached by {}", parsed.scheme()));
    }
    Ok(parsed)
}

/// Plain http reaches private addresses only; https public ones, and private ones if allowed.
fn may_reach(address: IpAddr, is_plain: bool, allow_private: bool) -> bool {
    let is_public = is_public(address);
    if is_plain { allow_private && !is_public } else { is_public || allow_private }
}

/// Whether an address is one of the open internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_benchmark = a == 198 && (18..20).contains(&b);
    let is_protocol = a == 192 && b == 0 && c == 0;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || is_shared
        || is_benchmark
        || is_protocol
        || a == 0
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global_unicast = (0x2000..0x4000).contains(&first);
    // 6to4 and Teredo carry a foreign IPv4 address, which nobody here has looked at.
    let is_tunnel = first == 0x2002 || (first == 0x2001 && second == 0);
    let is_documentation = first == 0x2001 && second == 0x0db8;
    is_global_unicast && !is_tunnel && !is_documentation
}

/// A resolver that refuses a name if any of its addresses may not be reached: a name cannot be pointed at an
/// inside host after the settings were checked.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// Hosts of plain http URLs.
    plain_hosts: Arc<[String]>,
    allow_private: bool,
}

impl Resolver {
    pub(super) fn new(urls: &[Url], allow_private: bool) -> Self {
        let plain = urls.iter().filter(|url| url.scheme() == "http");
        let plain_hosts = plain.filter_map(Url::host_str).map(str::to_ascii_lowercase).collect();
        Self { plain_hosts, allow_private }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_ascii_lowercase();
            let is_plain = resolver.plain_hosts.contains(&host);
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let refused =
                addresses.iter().find(|address| !may_reach(address.ip(), is_plain, resolver.allow_private));
            if let Some(address) = refused {
                return Err(
                    format!("{host} has the address {}, which may not be reached", address.ip()).into()
                );
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolver, admit, is_public};
    use reqwest::dns::Resolve as _;

    #[test]
    fn only_listed_hosts_by_https_or_allowed_private_http_are_admitted() {
        let hosts =
            ["rates.example".to_owned(), "127.0.0.1".to_owned(), "10.0.0.1".to_owned(), "8.8.8.8".to_owned()];
        for (url, allow_private, admitted) in [
            ("https://rates.example/x", false, true),
            ("http://rates.example/x", false, false),
            ("http://rates.example/x", true, true),
            ("https://other.example/x", true, false),
            ("https://user:pw@rates.example/x", true, false),
            ("ftp://rates.example/x", true, false),
            ("http://127.0.0.1:9/x", false, false),
            ("http://127.0.0.1:9/x", true, true),
            ("https://10.0.0.1/x", false, false),
            ("https://10.0.0.1/x", true, true),
            ("http://8.8.8.8/x", true, false),
            ("https://8.8.8.8/x", false, true),
        ] {
            assert_eq!(admit(url, &hosts, allow_private).is_ok(), admitted, "{url} {allow_private}");
        }
    }

    #[test]
    fn inside_addresses_of_every_kind_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "2606:4700:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[actix::test]
    async fn a_listed_name_that_points_inside_is_refused_when_it_is_resolved() {
        let url = |text: &str| vec![reqwest::Url::parse(text).unwrap()];
        let https = Resolver::new(&url("https://localhost/"), false);
        assert!(https.resolve("localhost".parse().unwrap()).await.is_err());
        let allowed = Resolver::new(&url("http://localhost/"), true);
        assert!(allowed.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
