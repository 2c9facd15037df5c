//! Any bytes: a packet that is decoded is encoded and decoded again as the same.

use std::num::NonZeroU16;

use bbot_tftp::{BlockSize, OptionLimits, Options, Packet, RequestPath};

pub(crate) fn run(data: &[u8]) {
    let Ok(packet) = Packet::decode(data) else { return };
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    assert_eq!(Packet::decode(&bytes).as_ref(), Ok(&packet));
    if let Packet::Request(request) = &packet {
        let requested = Options::parse(&request.options);
        let limits = OptionLimits::new(BlockSize::DEFAULT, NonZeroU16::MIN);
        let granted = requested.negotiate(limits, None);
        assert!(requested.allows(&granted), "{requested:?} {granted:?}");
        if let Some(path) = RequestPath::parse(request.name) {
            let parts: Vec<_> = path.as_str().split('/').collect();
            assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{path}");
        }
    }
}
