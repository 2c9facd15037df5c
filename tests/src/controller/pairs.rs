//! The controller's own hand at writing manifests: independent of the library under test, and
//! free to write what that library never would.

/// A name and its value.
pub type Pair = (String, String);

/// Writes one manifest of a stream: the line that begins it, then `pairs`.
pub(super) fn write(first: bool, pairs: &[Pair]) -> String {
    let mut text = String::from(if first { ": 1\n" } else { ":\n" });
    for (name, value) in pairs {
        let blank = |edge: Option<char>| edge.is_some_and(char::is_whitespace);
        let many = value.contains('\n') || blank(value.chars().next());
        if many || blank(value.chars().last()) || value.ends_with('\\') {
            text.push_str(&format_lines(name, value));
        } else if value.is_empty() {
            text.push_str(&format!("{name}:\n"));
        } else {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

/// The form for values of several lines; a line's last backslash is doubled.
fn format_lines(name: &str, value: &str) -> String {
    let mut text = format!("{name}:\n\\\n");
    for line in value.split('\n') {
        let escape = if line.ends_with('\\') { "\\" } else { "" };
        text.push_str(&format!("{line}{escape}\n"));
    }
    text.push_str("\\\n");
    text
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn values_are_written_in_the_form_they_need() {
        let pairs = [("a", "1"), ("b", ""), ("c", "x\ny\\"), ("d", " e")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(write(true, &pairs), ": 1\na: 1\nb:\nc:\n\\\nx\ny\\\\\n\\\nd:\n\\\n e\n\\\n");
        assert_eq!(write(false, &[]), ":\n");
    }
}
