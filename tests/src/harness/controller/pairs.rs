//! Writing manifests without the library under test, also ones that it would not write.

/// A name and its value.
pub type Pair = (String, String);

/// A pair of these two.
pub(super) fn pair(name: &str, value: &str) -> Pair {
    (name.to_owned(), value.to_owned())
}

/// Writes one manifest of a stream: its first line, then `pairs`.
pub(super) fn write(first: bool, pairs: &[Pair]) -> String {
    let head = if first { ": 1\n" } else { ":\n" };
    pairs.iter().fold(head.to_owned(), |text, (name, value)| text + &one(name, value))
}

fn one(name: &str, value: &str) -> String {
    let blank = |edge: Option<char>| edge.is_some_and(char::is_whitespace);
    let has_edges = blank(value.chars().next()) || blank(value.chars().last());
    if has_edges || value.contains('\n') || value.ends_with('\\') {
        return lines(name, value);
    }
    if value.is_empty() { format!("{name}:\n") } else { format!("{name}: {value}\n") }
}

/// The form for values of several lines; a line's last backslash is doubled.
fn lines(name: &str, value: &str) -> String {
    let escaped = |line: &str| {
        let escape = if line.ends_with('\\') { "\\" } else { "" };
        format!("{line}{escape}\n")
    };
    let lines: Vec<_> = value.split('\n').map(escaped).collect();
    format!("{name}:\n\\\n{}\\\n", lines.concat())
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
