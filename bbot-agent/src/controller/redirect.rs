//! The target of a redirected POST (D14). Pure.

use iri_string::types::{UriAbsoluteStr, UriReferenceStr};
use ureq::http::Uri;

/// The most redirections that are followed for one request.
const FOLLOWED_MAX: u32 = 5;

/// What to do with a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The response is not a redirection: it is the answer.
    Answer,
    /// Send the same request to this URL.
    Follow(Uri),
    /// The redirection is not followed, for this reason.
    Refuse(String),
}

/// Decides what to do with a response to a POST to `from`, after `followed` redirections.
///
/// 307 and 308 keep the method and the body. For 301, 302 and 303 many clients send a GET: the
/// content would be lost, so that the error names the target, for the operator to use.
pub(super) fn next(status: u16, from: &Uri, location: Option<&str>, followed: u32) -> Next {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Next::Answer;
    }
    let Some(location) = location else {
        return Next::Refuse("redirection without a target".to_owned());
    };
    let shown = location.escape_debug().take(200).collect::<String>();
    let refuse = |reason: &str| Next::Refuse(format!("redirection to {shown} {reason}"));
    let Some(target) = resolve(from, location) else {
        return refuse("is not a URL");
    };
    if matches!(status, 301..=303) {
        return refuse("would lose the request: if it is right, use that URL");
    }
    match (from.scheme_str(), target.scheme_str()) {
        (Some("https"), Some("http")) => refuse("leaves https"),
        (_, Some("http" | "https")) if followed >= FOLLOWED_MAX => refuse("is one too many"),
        (_, Some("http" | "https")) => Next::Follow(target),
        _ => refuse("is neither http nor https"),
    }
}

/// Resolves a reference against the URL at which it was found (RFC 3986, section 5.2).
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let base = base.to_string();
    let base = UriAbsoluteStr::new(&base).ok()?;
    let target = UriReferenceStr::new(reference).ok()?.resolve_against(base);
    // The fragment is not sent.
    target.to_string().split('#').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    /// D14
    #[test]
    fn only_307_and_308_are_followed() {
        let from = uri("http://a/x?build-task");
        let to = Some("https://b/y");
        for status in [307, 308] {
            assert_eq!(next(status, &from, to, 4), Next::Follow(uri("https://b/y")));
        }
        for status in [301, 302, 303] {
            let reason = "redirection to https://b/y would lose the request: \
                          if it is right, use that URL";
            assert_eq!(next(status, &from, to, 0), Next::Refuse(reason.to_owned()));
        }
        for status in [200, 204, 300, 304, 400, 503] {
            assert_eq!(next(status, &from, to, 0), Next::Answer);
        }
    }

    /// D14
    #[test]
    fn other_redirections_are_refused() {
        let https = uri("https://a/");
        let table = [
            (Some("http://a/"), 0, "redirection to http://a/ leaves https"),
            (Some("https://b/"), 5, "redirection to https://b/ is one too many"),
            (Some("ftp://b/"), 0, "redirection to ftp://b/ is neither http nor https"),
            (Some("https://b b/"), 0, "redirection to https://b b/ is not a URL"),
            (Some("mailto:a"), 0, "redirection to mailto:a is neither http nor https"),
            (Some("\x1b"), 0, "redirection to \\u{1b} is not a URL"),
            (None, 0, "redirection without a target"),
        ];
        for (location, followed, reason) in table {
            let expected = Next::Refuse(reason.to_owned());
            assert_eq!(next(307, &https, location, followed), expected);
        }
    }

    /// The examples of RFC 3986, section 5.4, that are http.
    #[test]
    fn references_are_resolved() {
        let base = uri("http://a/b/c/d;p?q");
        let table = [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("./g/.", "http://a/b/c/g/"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?to=http://x", "http://a/b/c/g?to=http://x"),
        ];
        for (reference, expected) in table {
            assert_eq!(resolve(&base, reference), Some(uri(expected)), "{reference}");
        }
    }
}
