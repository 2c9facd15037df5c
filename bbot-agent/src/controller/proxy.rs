//! The proxy of a request, from the environment as curl reads it (D14, W64).

use std::net::IpAddr;

use ureq::http::Uri;

/// Returns the URL of the proxy for `target`, if there is one.
///
/// Of `http_proxy` only the lower-case form is read, as in curl: a CGI server sets the upper-case
/// form from a header of the request.
pub(super) fn choose(target: &Uri, env: impl Fn(&str) -> Option<String>) -> Option<String> {
    let first = |names: &[&str]| names.iter().find_map(|name| env(name));
    let no_proxy = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    if is_exempt(target.host().unwrap_or_default(), &no_proxy) {
        return None;
    }
    let proxy = if target.scheme_str() == Some("https") {
        first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    } else {
        first(&["http_proxy", "all_proxy", "ALL_PROXY"])
    };
    let proxy = proxy.map(|proxy| proxy.trim().to_owned());
    proxy.filter(|proxy| !proxy.is_empty())
}

/// Returns whether the list contains the host or one of its parent domains, or, if it is an
/// address, a network with it (`10.0.0.0/8`). Entries are separated by commas and blanks.
fn is_exempt(host: &str, list: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if list.trim() == "*" {
        return true;
    }
    let address = host.parse::<IpAddr>().ok();
    list.split(|c: char| c == ',' || c.is_whitespace()).any(|entry| match address {
        Some(address) => contains(entry, address),
        None => is_in_domain(&host, entry),
    })
}

fn is_in_domain(host: &str, entry: &str) -> bool {
    let entry = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    let rest = host.strip_suffix(entry.as_str());
    !entry.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns whether an entry, an address or a network, contains the address.
fn contains(entry: &str, address: IpAddr) -> bool {
    let (network, prefix) = entry.split_once('/').map_or((entry, None), |(n, p)| (n, Some(p)));
    let Ok(network) = network.trim_matches(['[', ']']).parse::<IpAddr>() else { return false };
    let bits = |address| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((network, width), (address, address_width)) = (bits(network), bits(address));
    let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok());
    let Some(host_bits) = prefix.and_then(|prefix: u32| width.checked_sub(prefix)) else {
        return false;
    };
    // No bit is left to compare with a prefix of 0 and 128 bits of host.
    let part = |bits: u128| bits.checked_shr(host_bits).unwrap_or_default();
    width == address_width && part(network) == part(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, environment: &[(&str, &str)], expected: Option<&str>) {
        let env = |name: &str| {
            let (_, value) = environment.iter().find(|(key, _)| *key == name)?;
            Some((*value).to_owned())
        };
        assert_eq!(
            choose(&url.parse().unwrap(), env).as_deref(),
            expected,
            "{url} {environment:?}"
        );
    }

    #[test]
    fn scheme_selects_the_variable() {
        let both = [("http_proxy", "h"), ("https_proxy", "s")];
        check("http://a/", &both, Some("h"));
        check("https://a/", &both, Some("s"));
        check("https://a/", &[("HTTPS_PROXY", "S")], Some("S"));
        check("http://a/", &[("HTTP_PROXY", "H")], None);
        check("http://a/", &[("ALL_PROXY", "A")], Some("A"));
        check("https://a/", &[("all_proxy", "a"), ("HTTPS_PROXY", "S")], Some("S"));
        check("http://a/", &[("http_proxy", ""), ("all_proxy", "a")], None);
        check("http://a/", &[("http_proxy", " h ")], Some("h"));
        check("http://a/", &[("all_proxy", "a"), ("ALL_PROXY", "A")], Some("a"));
        check("http://a/", &[("http_proxy", "h"), ("all_proxy", "a")], Some("h"));
        check("http://a/", &[], None);
    }

    /// W64
    #[test]
    fn hosts_can_be_exempt() {
        let table = [
            ("http://localhost/", "localhost,127.0.0.1", true),
            ("http://127.0.0.1:8080/", "localhost,127.0.0.1", true),
            ("http://[::1]:8080/", "::1", true),
            ("http://ci.example.org/", ".example.org", true),
            ("http://CI.example.ORG/", "a, example.org", true),
            ("http://example.org/", ".example.org", true),
            ("http://badexample.org/", "example.org", false),
            ("http://example.org.evil/", "example.org", false),
            ("http://10.1.2.3/", "10.0.0.0/8", true),
            ("http://11.1.2.3/", "10.0.0.0/8", false),
            ("http://10.1.2.3/", "a 192.168.0.0/16\t10.1.2.0/24", true),
            ("http://10.1.3.3/", "10.1.2.0/24,10.1.3.4/31", false),
            ("http://10.1.3.3/", "10.1.3.2/31", true),
            ("http://10.1.3.3/", "0.0.0.0/0", true),
            ("http://10.1.3.3/", "10.1.3.3/32", true),
            ("http://10.1.3.3/", "10.1.3.3/33,10.1.3.3/-1,10.1.3.3/,10.1.3.3/x", false),
            ("http://10.1.3.3/", "1.3.3,.3,::/0", false),
            ("http://[fd00:1::2]/", "fd00::/8", true),
            ("http://[fe00:1::2]/", "fd00::/8", false),
            ("http://[fe00::1]/", "::/0", true),
            ("http://[::1]/", "0:0:0:0:0:0:0:1", true),
            ("http://[::1]/", "[::1]", true),
            ("http://a.b/", "10.0.0.0/8", false),
            ("http://a.b/", "  x   b ", true),
            ("http://a.b/", "x\n b", true),
            ("http://a/", "*", true),
            ("http://a/", "", false),
            ("http://a/", " , ", false),
        ];
        for (url, list, exempt) in table {
            let expected = (!exempt).then_some("p");
            check(url, &[("http_proxy", "p"), ("no_proxy", list)], expected);
            check(url, &[("http_proxy", "p"), ("NO_PROXY", list)], expected);
        }
    }
}
