//! How the controller matches machine names: dash-separated components, as paths are matched.

/// Whether the machine `name` fits `pattern`: `*` and `?` stay within a component, a component
/// `**` stands for any number of them.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<_> = pattern.split('-').collect();
    let name: Vec<_> = name.split('-').collect();
    components_match(&pattern, &name)
}

fn components_match(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (["**", rest @ ..], _) => {
            (0..=name.len()).any(|count| components_match(rest, &name[count..]))
        }
        ([first, rest @ ..], [component, others @ ..]) => {
            let (first, component) = (first.as_bytes(), component.as_bytes());
            text_matches(first, component) && components_match(rest, others)
        }
        _ => false,
    }
}

fn text_matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|count| text_matches(rest, &text[count..])),
        ([b'?', rest @ ..], [_, others @ ..]) => text_matches(rest, others),
        ([first, rest @ ..], [byte, others @ ..]) => first == byte && text_matches(rest, others),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_match_by_components() {
        let name = "linux_debian_12-gcc_14-bindist";
        for (pattern, expected) in [
            ("linux_debian_12-gcc_14-bindist", true),
            ("linux*-gcc*-bindist", true),
            ("linux*-gcc*", false),
            ("linux*-**", true),
            ("**", true),
            ("**-bindist", true),
            ("linux*-**-gcc_1?-**", true),
            ("windows*-**", false),
            ("*", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern}");
        }
    }
}
