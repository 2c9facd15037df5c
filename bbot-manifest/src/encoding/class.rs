//! The classes of code points that a manifest must not hold.

use std::fmt;

/// The classes of code points that a manifest must not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodePointClass {
    /// U+FDD0 to U+FDEF, and the last two code points of each plane.
    NonCharacter,
    /// C0 and C1 controls except tab, CR and LF.
    Control,
    /// Invisible format characters, U+FEFF among them.
    Format,
    /// The private-use areas.
    PrivateUse,
    /// Planes 3 and up, except the variation selectors.
    Reserved,
}

impl fmt::Display for CodePointClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NonCharacter => "noncharacter",
            Self::Control => "control",
            Self::Format => "format",
            Self::PrivateUse => "private-use",
            Self::Reserved => "reserved",
        })
    }
}

/// Returns the class for which `c` is refused; `None` if a manifest may hold it.
#[inline]
pub(crate) fn classify(c: char) -> Option<CodePointClass> {
    let code = u32::from(c);
    // The order of the arms decides the class of a code point that is in two.
    match code {
        0x20..=0x7e | 0x09 | 0x0a | 0x0d => None,
        _ if code & 0xfffe == 0xfffe => Some(CodePointClass::NonCharacter),
        0x00..=0x1f | 0x7f..=0x9f => Some(CodePointClass::Control),
        0xad
        | 0x600..=0x605
        | 0x61c
        | 0x6dd
        | 0x70f
        | 0x8e2
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2064
        | 0x2066..=0x206f
        | 0xfeff
        | 0xfff9..=0xfffb
        | 0x110bd
        | 0x110cd
        | 0x13430..=0x13438
        | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a
        | 0xe0001
        | 0xe0020..=0xe007f => Some(CodePointClass::Format),
        0xe000..=0xf8ff | 0xf_0000..=0x10_ffff => Some(CodePointClass::PrivateUse),
        0xfdd0..=0xfdef => Some(CodePointClass::NonCharacter),
        0xe0100..=0xe01ef => None,
        0x30000.. => Some(CodePointClass::Reserved),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u32, expected: Option<CodePointClass>) {
        assert_eq!(classify(char::from_u32(code).unwrap()), expected, "U+{code:04X}");
    }

    #[test]
    fn code_points_have_the_class_of_the_table() {
        use CodePointClass as C;
        for code in [0x09, 0x0a, 0x0d, 0x20, 0x7e, 0xa0, 0x2028, 0x2065, 0xfffd, 0x2ffff - 2] {
            check(code, None);
        }
        for code in [0xfffe, 0x1ffff, 0x3fffe, 0x10_ffff, 0xfdd0, 0xe_ffff] {
            check(code, Some(C::NonCharacter));
        }
        for code in [0, 0x0b, 0x1b, 0x7f, 0x85, 0x9f] {
            check(code, Some(C::Control));
        }
        for code in [0xad, 0x200d, 0xfeff, 0xe0001, 0xe007f, 0x1d173] {
            check(code, Some(C::Format));
        }
        for code in [0xe000, 0xf8ff, 0xf_0000, 0x10_fffd] {
            check(code, Some(C::PrivateUse));
        }
        for code in [0x30000, 0xe0000, 0xe0002, 0xe001f, 0xe0080, 0xe00ff, 0xe01f0] {
            check(code, Some(C::Reserved));
        }
        check(0xe0100, None);
    }
}
