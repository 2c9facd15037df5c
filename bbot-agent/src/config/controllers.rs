//! Controllers on the command line: `[<priority>=]<url>`.

use ureq::http::Uri;

use super::ConfigError;
use crate::cli::Cli;
use crate::schedule::priority::Priority;

/// A controller to request tasks from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Controller {
    /// The URL of the requests.
    pub(crate) url: String,
    /// The priority of its tasks.
    pub(crate) priority: Priority,
}

/// Returns the controllers of a command line, at least one.
pub(super) fn controllers(cli: &Cli) -> Result<Vec<Controller>, ConfigError> {
    let controllers =
        cli.urls.iter().map(|argument| controller(argument)).collect::<Result<Vec<_>, _>>()?;
    if !controllers.is_empty() {
        return Ok(controllers);
    }
    // No request is sent; as in the original agent, the host is reserved for examples.
    if cli.dump_machines || cli.fake_request.is_some() {
        return controller("https://example.org").map(|controller| vec![controller]);
    }
    Err(ConfigError::NoController)
}

fn controller(argument: &str) -> Result<Controller, ConfigError> {
    let refuse = |problem| ConfigError::Controller { argument: argument.to_owned(), problem };
    if argument.starts_with('-') {
        return Err(refuse("options must precede the URLs"));
    }
    let (priority, url) = split(argument).map_err(refuse)?;
    check_url(url).map_err(refuse)?;
    Ok(Controller { url: url.to_owned(), priority })
}

/// Splits priority and URL. A URL may contain '=' as well: a priority consists of digits only.
fn split(argument: &str) -> Result<(Priority, &str), &'static str> {
    let (digits, url) = match argument.split_once('=') {
        Some((digits, url)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => (digits, url),
        _ => ("0000", argument),
    };
    if !(4..=5).contains(&digits.len()) {
        return Err("a priority must have four or five digits");
    }
    let priority = digits.parse().ok().and_then(Priority::new);
    Ok((priority.ok_or("the greatest priority is 19999")?, url))
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let url: Uri = url.parse().map_err(|_| "not a URL")?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("the URL must begin with http:// or https://");
    }
    match url.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("a user in the URL is not supported")
        }
        Some(authority) if !authority.host().is_empty() => Ok(()),
        _ => Err("the URL has no host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W17
    #[test]
    fn priority_is_what_precedes_the_first_equals_sign() {
        let table = [
            ("https://a/", 0, "https://a/"),
            ("0000=https://a/", 0, "https://a/"),
            ("0123=http://a?b=c", 123, "http://a?b=c"),
            ("19999=https://a/", 19_999, "https://a/"),
            ("09999=https://a/", 9_999, "https://a/"),
            ("https://a/?build-task&x=1", 0, "https://a/?build-task&x=1"),
            ("HTTPS://a/", 0, "HTTPS://a/"),
            ("http://[::1]:8080/", 0, "http://[::1]:8080/"),
        ];
        for (argument, priority, url) in table {
            let parsed = controller(argument).unwrap();
            assert_eq!((parsed.priority.value(), parsed.url.as_str()), (priority, url));
        }
    }

    /// W1
    #[test]
    fn other_arguments_are_refused() {
        let digits = "a priority must have four or five digits";
        let scheme = "the URL must begin with http:// or https://";
        let table = [
            ("123=https://a", digits),
            ("012345=https://a", digits),
            ("=https://a", digits),
            ("20000=https://a", "the greatest priority is 19999"),
            ("99999=https://a", "the greatest priority is 19999"),
            ("-1=https://a", "options must precede the URLs"),
            ("--cpu", "options must precede the URLs"),
            ("-", "options must precede the URLs"),
            ("0100=", "not a URL"),
            ("", "not a URL"),
            ("ftp://a/", scheme),
            ("a.org", scheme),
            ("/path", scheme),
            ("0x10=https://a", "not a URL"),
            ("http://", "not a URL"),
            ("https://a b/", "not a URL"),
            ("https://user:pass@a/", "a user in the URL is not supported"),
        ];
        for (argument, reason) in table {
            let error = controller(argument).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid controller '{argument}': {reason}"));
        }
    }
}
