//! The `phase:` lines on the agent's standard error.

use std::collections::BTreeMap;

use crate::harness::clock::Nanos;

/// A phase of the agent's work that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its name, such as `enumerate`.
    pub name: String,
    /// Its duration in milliseconds.
    pub millis: f64,
    /// When it ended.
    pub at: Nanos,
    /// Its subject: `machine` and `session`, where known; escaped.
    pub keys: BTreeMap<String, String>,
}

impl Phase {
    /// Reads `phase: <name> <ms> ms at <ns>[ <key>=<value>...]`, which a diagnostics prefix may
    /// precede; `None` for any other line.
    pub fn parse(line: &str) -> Option<Phase> {
        let (_, line) = line.split_once("phase: ")?;
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let millis = words.next()?.parse().ok()?;
        let ("ms", "at") = (words.next()?, words.next()?) else { return None };
        let at = words.next()?.parse().ok()?;
        let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        let keys = words.map(pair).collect::<Option<_>>()?;
        Some(Phase { name, millis, at, keys })
    }

    /// The value of a key; empty if there is no such key.
    pub fn key(&self, name: &str) -> &str {
        self.keys.get(name).map_or("", String::as_str)
    }

    /// `name/version` of the package of its session: in sessions of [`super::super::controller`]
    /// they are the second and third field.
    pub fn package(&self) -> Option<String> {
        let mut fields = self.key("session").split('/').skip(1);
        let (name, version) = (fields.next()?, fields.next()?);
        Some(format!("{name}/{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;

    #[test]
    fn a_phase_line_is_read() {
        let line = "<7>phase: build 12003.456 ms at 17 machine=linux session=/zlib/1.2.13/x";
        let phase = Phase::parse(line).unwrap();
        assert_eq!((phase.name.as_str(), phase.at), ("build", 17));
        assert!((phase.millis - 12003.456).abs() < 1e-6);
        assert_eq!(phase.key("machine"), "linux");
        assert_eq!(phase.package().as_deref(), Some("zlib/1.2.13"));
        assert_eq!(phase.key("other"), "");
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "phase: ", "phase: x y ms at 1", "phase: x 1 s at 1", "a phase: x 1 ms at"]
        {
            assert_eq!(Phase::parse(line), None, "{line}");
        }
    }
}
