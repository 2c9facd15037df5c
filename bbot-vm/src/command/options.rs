//! What a machine's `options` say about the machine and its accelerator.

/// The words of a machine's `options`.
#[derive(Clone, Copy)]
pub(super) struct Options<'a>(&'a [String]);

/// What the options say about the accelerator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// KVM, or KVM among others.
    Kvm,
    /// Anything else.
    Other,
}

impl Chosen {
    pub(super) fn is_kvm(self) -> bool {
        self == Chosen::Kvm
    }

    fn of(value: &str) -> Chosen {
        let named = value.split([':', ',']).any(|name| name == "kvm");
        if named { Chosen::Kvm } else { Chosen::Other }
    }
}

impl<'a> Options<'a> {
    pub(super) fn new(words: &'a [String]) -> Options<'a> {
        Options(words)
    }

    /// The values of the options called one of `names`.
    pub(super) fn values(self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let is_named =
            |pair: &&[String]| option_name(&pair[0]).is_some_and(|name| names.contains(&name));
        self.0.windows(2).filter(is_named).map(|pair| pair[1].as_str())
    }

    /// The type of the machine that the options choose, if they do.
    pub(super) fn machine_type(self) -> Option<&'a str> {
        let values = self.values(&["machine", "M"]);
        let of = |value: &'a str| {
            let mut properties = value.split(',').enumerate();
            properties.find_map(|(index, property)| match property.split_once('=') {
                Some((name, kind)) => (name == "type").then_some(kind),
                None => (index == 0).then_some(property),
            })
        };
        values.filter_map(of).last()
    }

    pub(super) fn accelerator(self) -> Option<Chosen> {
        if self.0.iter().any(|word| option_name(word) == Some("enable-kvm")) {
            return Some(Chosen::Kvm);
        }
        let in_machine = self
            .values(&["machine", "M"])
            .flat_map(|value| value.split(','))
            .filter_map(|property| property.strip_prefix("accel="));
        let alone = self.values(&["accel"]).map(|value| value.trim_start_matches("accel="));
        in_machine.chain(alone).map(Chosen::of).reduce(
            |one, other| {
                if one.is_kvm() { one } else { other }
            },
        )
    }
}

/// Returns `device` for `-device` and `--device`, which mean the same to QEMU.
pub(super) fn option_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix('-')?;
    Some(name.strip_prefix('-').unwrap_or(name))
}
