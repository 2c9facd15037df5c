//! Lists of quoted words, such as the options of a machine.

/// Why a text is not a list of quoted words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unterminated quoted string")]
#[non_exhaustive]
pub struct QuotingError {
    /// The offset of the quote that is not closed, in bytes from 0.
    pub position: usize,
}

/// Splits a list into words at spaces, tabs and newlines, and removes one level of quotes.
///
/// A single or double quote anywhere in a word starts a quoted part, which the next such quote
/// ends. Spaces and the other quote are literal in it. There are no escapes.
///
/// # Errors
///
/// A quote is not closed.
///
/// ```
/// use bbot_manifest::text::unquote_words;
///
/// let words = unquote_words("-device  'virtio-scsi,id=a b' --x=\"1 2\"3 ''")?;
/// assert_eq!(words, ["-device", "virtio-scsi,id=a b", "--x=1 23", ""]);
/// # Ok::<(), bbot_manifest::text::QuotingError>(())
/// ```
pub fn unquote_words(text: &str) -> Result<Vec<String>, QuotingError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' | '"' => {
                let quoted = rest.as_str();
                let length = quoted.find(c).ok_or(QuotingError { position: at })?;
                word.get_or_insert_default().push_str(&quoted[..length]);
                rest.by_ref().find(|&(_, close)| close == c);
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Joins words into a list that [`unquote_words`] splits into the same words.
///
/// ```
/// use bbot_manifest::text::quote_words;
///
/// assert_eq!(quote_words(["a", "b c", "d'e", ""]), "a \"b c\" \"d'e\" \"\"");
/// ```
pub fn quote_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    let mut text = String::new();
    for (index, word) in words.into_iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        quote(&mut text, word.as_ref());
    }
    text
}

/// Appends a word, quoted if that is necessary.
fn quote(text: &mut String, word: &str) {
    if !word.is_empty() && !word.contains([' ', '\t', '\n', '\r', '\'', '"']) {
        text.push_str(word);
        return;
    }
    // Parts without a double quote, in double quotes; each double quote between in single ones.
    for (index, part) in word.split('"').enumerate() {
        if index > 0 {
            text.push_str("'\"'");
        }
        if !part.is_empty() || word.is_empty() {
            text.push('"');
            text.push_str(part);
            text.push('"');
        }
    }
}
