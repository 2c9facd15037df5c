//! POSIX paths as text: no slash at the end, except of the root.

use crate::encoding;

/// Removes `.`, `..` and needless slashes; `None` if an absolute path goes above the root.
pub(super) fn normalize(path: &str) -> Option<String> {
    let absolute = path.starts_with('/');
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => match components.last() {
                Some(&last) if last != ".." => {
                    components.pop();
                }
                _ if absolute => return None,
                _ => components.push(component),
            },
            _ => components.push(component),
        }
    }
    let path = components.join("/");
    Some(if absolute { format!("/{path}") } else { path })
}

/// Goes from `base` along a relative path; `None` if that leads above the root.
///
/// A base that does not start with a slash is below a remote root.
pub(super) fn join(base: &str, relative: &str) -> Option<String> {
    let path = normalize(&format!("{base}/{relative}"))?;
    let above = path == ".." || path.starts_with("../");
    // The path of a remote base may be empty, and then the joined one starts with a slash.
    let path = if base.starts_with('/') { path } else { path.trim_start_matches('/').to_owned() };
    (!above).then_some(path)
}

/// Returns the last component.
pub(super) fn leaf(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, leaf)| leaf)
}

/// Whether a path can stand for itself in a manifest: nothing of it is taken for a fragment, or
/// cannot be written as a value.
pub(super) fn is_plain_text(path: &str) -> bool {
    !path.contains(['#', '\n', '\r']) && encoding::find_refused(path).is_none()
}

/// Whether `c` can stand in the path of a URL.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(c)
}

/// Decodes the path of a URL.
pub(super) fn decode(path: &str) -> Option<String> {
    path.chars().all(|c| is_path_character(c) || c == '%').then(|| percent_decode(path))?
}

/// Replaces `%XX` by bytes; `None` if there is something else after a `%`.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// Encodes a path for a URL.
pub(super) fn encode(path: &str) -> String {
    percent_encode(path, is_path_character)
}

/// Replaces the characters that are not plain by `%XX` for each of their bytes.
pub(super) fn percent_encode(text: &str, is_plain: impl Fn(char) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            encoded.push(c);
        } else {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).bytes();
            encoded.extend(bytes.map(|byte| format!("%{byte:02X}")));
        }
    }
    encoded
}
