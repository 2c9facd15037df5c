//! Names and texts. What the rules do is tested in `network/tests.rs`.

use super::*;

#[test]
fn names_are_the_instances_own() {
    for (instance, expected) in [
        ("public-1", "bbot-public-1"),
        ("public-1-10", "bbot-public-1-10"),
        ("c++_2.0-1", "bbot-c//_2.0-1"),
    ] {
        assert_eq!(table_name(instance).unwrap(), expected);
    }
    for bad in ["", "a b", "a;b", "a/b", "a\"", "a\n", "\u{e4}", &"a".repeat(129)] {
        assert!(table_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn rules_of_an_instance() {
    let route = Route {
        interface: "tap301",
        mark: 0xbb00_012d,
        server: (Ipv4Addr::new(10, 0, 0, 1), 23701),
        bridge_mac: MacAddress::new([2, 0, 0, 0, 0, 0xab]),
    };
    let turn = "meta mark set 0xbb00012d ether daddr set 02:00:00:00:00:ab meta pkttype set host";
    let expected = format!(
        "table bridge bbot-x-1 {{
    chain prerouting {{
        type filter hook prerouting priority -300; policy accept;
        iifname \"tap301\" ip daddr 196.254.111.222 udp dport 69 {turn}
        iifname \"tap301\" ip daddr 196.254.111.222 \
        ip protocol udp ip frag-off & 0x1fff != 0 {turn}
    }}
}}
table ip bbot-x-1 {{
    chain asked {{
        type filter hook prerouting priority -300; policy accept;
        meta mark 0xbb00012d ct zone set 301
    }}
    chain answered {{
        type filter hook output priority -300; policy accept;
        ip saddr 10.0.0.1 udp sport 23701 ct zone set 301
    }}
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        meta mark 0xbb00012d udp dport 69 dnat to 10.0.0.1:23701
    }}
    chain input {{
        type filter hook input priority 0; policy accept;
        udp dport 23701 meta mark != 0xbb00012d drop
    }}
}}
"
    );
    assert_eq!(definition("bbot-x-1", &route), expected);
}
