//! The proxy of a request, from the environment as curl reads it (D14).

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
    proxy.filter(|proxy| !proxy.is_empty())
}

/// Returns whether the list contains the host or one of its parent domains.
fn is_exempt(host: &str, list: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if list.trim() == "*" {
        return true;
    }
    list.split([',', ' ']).any(|entry| {
        let entry = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        let entry = entry.trim_matches(['[', ']']);
        let domain = host.strip_suffix(entry);
        !entry.is_empty() && domain.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
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
        check("http://a/", &[], None);
    }

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
