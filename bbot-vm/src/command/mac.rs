//! The MAC address, put where a machine's `options` define the guest's interface.

use super::options::option_name;
use crate::mac_address::MacAddress;

/// Returns `words` with the MAC address where the guest's interface is defined: in place of each
/// `mac=?`, or else behind the `-device` that has `netdev=net0` and no `mac=`.
pub(super) fn with_mac(words: &[String], mac: MacAddress) -> Vec<String> {
    if words.iter().any(|word| word.split(',').any(is_placeholder)) {
        return words.iter().map(|word| replace_placeholder(word, mac)).collect();
    }
    let mut result = words.to_vec();
    for index in 1..result.len() {
        let value = &result[index];
        if option_name(&words[index - 1]) == Some("device")
            && value.split(',').any(|property| property == "netdev=net0")
            && !value.split(',').any(|property| property.starts_with("mac="))
        {
            result[index] = format!("{value},mac={mac}");
        }
    }
    result
}

fn is_placeholder(property: &str) -> bool {
    property == "mac=?"
}

fn replace_placeholder(word: &str, mac: MacAddress) -> String {
    let filled = |property| {
        if is_placeholder(property) { format!("mac={mac}") } else { property.to_owned() }
    };
    word.split(',').map(filled).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_goes_where_the_guests_interface_is() {
        for (options, expected) in [
            // Each `mac=?` is replaced, wherever it stands.
            ("-device e1000,netdev=net0,mac=?", "-device e1000,netdev=net0,mac=M"),
            ("-device e1000,mac=?,netdev=net0", "-device e1000,mac=M,netdev=net0"),
            ("-nic x,mac=? -device y,mac=?", "-nic x,mac=M -device y,mac=M"),
            // If there is one, nothing is added elsewhere.
            (
                "-device a,netdev=net1,mac=? -device b,netdev=net0",
                "-device a,netdev=net1,mac=M -device b,netdev=net0",
            ),
            // Otherwise the address is added to the interface.
            ("-device e1000,netdev=net0", "-device e1000,netdev=net0,mac=M"),
            ("--device netdev=net0,driver=e1000", "--device netdev=net0,driver=e1000,mac=M"),
            ("-device e1000,netdev=net0,id=n -usb", "-device e1000,netdev=net0,id=n,mac=M -usb"),
            // An address that the operator wrote stays.
            (
                "-device e1000,netdev=net0,mac=52:54:00:00:00:01",
                "-device e1000,netdev=net0,mac=52:54:00:00:00:01",
            ),
            // Not the guest's interface, or not a device.
            ("-device e1000,netdev=net01", "-device e1000,netdev=net01"),
            ("-device e1000,xnetdev=net0", "-device e1000,xnetdev=net0"),
            ("-set e1000,netdev=net0", "-set e1000,netdev=net0"),
            ("netdev=net0", "netdev=net0"),
            ("-device", "-device"),
            // Similar to `mac=?`, but not the same.
            ("-device e1000,xmac=?", "-device e1000,xmac=?"),
            ("-device e1000,mac=??", "-device e1000,mac=??"),
        ] {
            let given: Vec<_> = options.split(' ').map(str::to_owned).collect();
            let mac = MacAddress::new([2, 0, 0, 0, 0, 7]);
            let expected = expected.replace('M', "02:00:00:00:00:07");
            assert_eq!(with_mac(&given, mac).join(" "), expected, "{options}");
        }
    }
}
