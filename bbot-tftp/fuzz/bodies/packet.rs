//! What must hold for any bytes: a packet that is read is written and read again as itself.

use bbot_tftp::{Grant, Options, Packet, RequestPath};

pub(crate) fn run(data: &[u8]) {
    let Ok(packet) = Packet::decode(data) else { return };
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    assert_eq!(Packet::decode(&bytes).as_ref(), Ok(&packet));
    if let Packet::Request(request) = &packet {
        let asked = Options::parse(&request.options);
        let granted = asked.negotiate(Grant { block_size: 1428, window_size: 16 }, None);
        assert!(asked.allows(&granted), "{asked:?} {granted:?}");
        if let Some(path) = RequestPath::parse(request.name) {
            let parts: Vec<_> = path.as_str().split('/').collect();
            assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{path}");
        }
    }
}
