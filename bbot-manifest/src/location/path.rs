//! POSIX paths as text, without a slash at the end except that of the root.

use crate::encoding;

/// Removes `.`, `..` and redundant slashes; `None` if an absolute path leads above the root.
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

/// Appends a relative path to `base`; `None` if that leads above the root.
///
/// The path of a remote base is relative to the root of its host, and has no slash before it.
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

/// Whether a path can be written in a manifest as it is: it has no `#`, which would start a
/// fragment, and consists of what a value can hold.
pub(super) fn is_plain_text(path: &str) -> bool {
    !path.contains(['#', '\n', '\r']) && encoding::first_refused(path).is_none()
}

/// Whether `c` can stand in the path of a URL.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(c)
}

/// Decodes the path of a URL.
pub(super) fn decode(path: &str) -> Option<String> {
    path.chars().all(|c| is_path_character(c) || c == '%').then(|| percent_decode(path))?
}

/// Replaces each `%XX` by its byte; `None` if a `%` is followed by something else.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let mut byte = [0];
        hex::decode_to_slice(after.get(..2)?, &mut byte).ok()?;
        bytes.extend(byte);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// Encodes a path for a URL.
pub(super) fn encode(path: &str) -> String {
    percent_encode(path, is_path_character)
}

/// Replaces each byte of the characters that are not plain by `%XX`.
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
