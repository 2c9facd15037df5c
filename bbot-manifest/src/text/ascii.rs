//! Names and values of graphic ASCII, recognized eight bytes at a time.

/// Returns the length of the name of graphic ASCII at the beginning of a line of validated text,
/// if a colon follows it directly.
#[inline]
pub(crate) fn ascii_name_length(line: &[u8]) -> Option<usize> {
    let word = u64::from_le_bytes(*line.first_chunk()?);
    let colons = zeros(word ^ each(b':'));
    // The bits up to the first colon.
    let name = colons ^ colons.wrapping_sub(1);
    if less(word, b'!') & name != 0 || word.to_le_bytes()[0] == b'#' {
        return None;
    }
    match place(colons) {
        0 => None,
        8 => {
            let in_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
            let length = 8 + line[8..].iter().position(|byte| !in_name(byte))?;
            (line[length] == b':').then_some(length)
        }
        length => Some(length),
    }
}

/// Whether a name is one that [`ascii_name_length`] recognizes.
#[inline]
pub(crate) fn is_ascii_name(name: &[u8]) -> bool {
    let is_name = |word| (less(word, b'!') | deletes(word) | zeros(word ^ each(b':'))) == 0;
    name.first().is_some_and(|first| *first != b'#') && all_words(name, is_name)
}

/// Whether a text consists of graphic ASCII and spaces.
#[inline]
pub(crate) fn is_ascii_text(text: &[u8]) -> bool {
    all_words(text, |word| (less(word, b' ') | deletes(word)) == 0)
}

/// Whether `accepts` accepts all bytes, which it gets eight at a time.
#[inline]
fn all_words(bytes: &[u8], accepts: impl Fn(u64) -> bool) -> bool {
    // The last word may overlap the one before.
    if let Some(last) = bytes.last_chunk() {
        let words = bytes.as_chunks().0.iter().chain([last]);
        return words.into_iter().all(|word| accepts(u64::from_le_bytes(*word)));
    }
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
            accepts(first | last << 32)
        }
        _ => bytes.iter().all(|byte| accepts(each(*byte))),
    }
}

/// Marks the first byte that is not ASCII or is less than `least`, an ASCII character; bytes after
/// it may be marked or not.
#[inline]
fn less(word: u64, least: u8) -> u64 {
    (word | word.wrapping_sub(each(least))) & each(0x80)
}

/// Marks the first DEL, if all bytes are ASCII.
#[inline]
fn deletes(word: u64) -> u64 {
    word.wrapping_add(each(1)) & each(0x80)
}

/// Marks the first byte that is 0; bytes after it may be marked or not.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(each(1)) & !word & each(0x80)
}

/// Returns the index of the first byte that is marked; 8 if none is.
#[inline]
fn place(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Returns a word that consists of the byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_recognized_at_every_place() {
        for length in 1..=20 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    let graphic = byte.is_ascii_graphic();
                    assert_eq!(is_ascii_text(&text), graphic || byte == b' ');
                    let in_name = graphic && byte != b':' && (place, byte) != (0, b'#');
                    assert_eq!(is_ascii_name(&text), in_name);
                    text.extend(b": value");
                    // Validated text has no DEL.
                    let found = ascii_name_length(&text) == Some(length);
                    assert!(found == in_name || byte == 0x7f, "{text:?}");
                }
            }
        }
        assert!(!is_ascii_name(b""));
    }
}
