//! Block numbers: 64 bits in this crate, 16 bits on the wire (T14).

/// The number on the wire that follows 65535.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rollover {
    /// 0, as nearly all implementations do.
    #[default]
    Zero,
    /// 1, as a few clients require.
    One,
}

impl Rollover {
    /// The number of blocks after which the numbers on the wire repeat.
    pub(crate) fn period(self) -> u64 {
        match self {
            Self::Zero => 1 << 16,
            Self::One => (1 << 16) - 1,
        }
    }

    /// The number of a block on the wire.
    pub(crate) fn wire(self, block: u64) -> u16 {
        let number = match self {
            Self::Zero => block % self.period(),
            Self::One if block == 0 => 0,
            Self::One => (block - 1) % self.period() + 1,
        };
        u16::try_from(number).expect("reduced by the period")
    }

    /// The smallest number of blocks after `base` at which a block has the number `wire`.
    pub(crate) fn ahead(self, base: u64, wire: u16) -> Option<u64> {
        match self {
            Self::Zero => Some(u64::from(wire.wrapping_sub(self.wire(base)))),
            Self::One if base == 0 => Some(u64::from(wire)),
            Self::One if wire == 0 => None,
            Self::One => {
                let from = u64::from(self.wire(base));
                Some((u64::from(wire) + self.period() - from) % self.period())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T14: 65535 is followed by 0, or by 1 if so configured.
    #[test]
    fn rolls_over() {
        for block in [0, 1, 2, 65534, 65535, 65536, 65537, 131_070, 131_071, 131_072, 1 << 40] {
            for rollover in [Rollover::Zero, Rollover::One] {
                for step in 0..200 {
                    let wire = rollover.wire(block + step);
                    assert_eq!(rollover.ahead(block, wire), Some(step), "{rollover:?} {block}");
                }
            }
        }
        assert_eq!(Rollover::Zero.wire(65536), 0);
        assert_eq!(Rollover::One.wire(65536), 1);
        assert_eq!(Rollover::One.wire(131_071), 1);
        assert_eq!(Rollover::One.ahead(5, 0), None);
    }
}
