//! What a guest's interface can be connected to.

use std::net::UdpSocket;
use std::os::unix::fs::chown;
use std::thread;

use bbot_vm::{Error, Guest, GuestConfig, NetworkAttachment, Swept, VmUser};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::host::{Host, LIMIT, ask_monitor, ip, last, start};
use crate::sys::open_tap;

/// Returns what QEMU says about the guest's network and PCI devices, and ends the guest.
fn describe(config: &GuestConfig, network: NetworkAttachment<'_>) -> String {
    let (guest, _events) = start(config, network);
    let guest = guest.unwrap();
    let answer = ask_monitor(&guest, "info network\ninfo pci\nquit\n");
    assert_eq!(guest.wait(LIMIT).unwrap().code, Some(0));
    answer
}

#[test]
fn a_guest_without_a_network_has_no_interface() {
    let host = Host::new();
    let answer = describe(&host.config(), NetworkAttachment::None);
    assert!(answer.contains("SCSI controller"), "{answer}");
    assert!(!answer.contains("Ethernet controller") && !answer.contains("net0"), "{answer}");
    assert!(!ip("-brief link show").contains("tap"));
}

#[test]
fn a_guest_in_qemus_user_mode_network() {
    let host = Host::new();
    let config = host.config();
    let answer = describe(&config, NetworkAttachment::User);
    assert!(answer.contains("net0: index=0,type=user,net=10.0.2.0"), "{answer}");
    assert!(answer.contains(&format!("macaddr={}", config.mac)), "{answer}");
    assert!(!ip("-brief link show").contains("tap"));
}

#[test]
fn options_that_need_an_interface_are_refused_without_one() {
    let host = Host::new();
    let options = ["-device", "e1000,netdev=net0"].map(str::to_owned);
    let config = host.config().options(Some(options.to_vec()));
    let (guest, _events) = start(&config, NetworkAttachment::None);
    let Err(Error::Start { exit, .. }) = guest else { panic!("{guest:?}") };
    assert!(exit.stderr.contains("net0"), "{exit}");
}

/// The disk is empty, so the firmware boots from the network: it broadcasts a DHCP request.
fn receive_dhcp_request(guest: &Guest, server: &UdpSocket) {
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let mut packet = [0; 1500];
    let (length, client) = server.recv_from(&mut packet).unwrap();
    assert!(length > 240 && client.port() == 68, "{length} bytes from {client}");
    // RFC 2131, figure 1: a request of an Ethernet client, and the client's hardware address.
    assert_eq!(packet[..3], [1, 1, 6]);
    assert_eq!(packet[28..34], guest.mac().octets());
}

/// The tap is neither on a bridge nor named after an instance, and has no virtio header.
#[test]
fn a_guest_on_a_tap_of_its_caller() {
    let host = Host::new();
    ip("tuntap add my-own mode tap");
    ip("address add 10.24.0.1/24 dev my-own");
    ip("link set my-own up");
    let tap = open_tap("my-own").unwrap();
    let server = UdpSocket::bind("0.0.0.0:67").unwrap();
    for _ in 0..2 {
        let (guest, events) = start(&host.config(), &tap);
        let guest = guest.unwrap();
        receive_dhcp_request(&guest, &server);
        guest.force_down(LIMIT).unwrap();
        last(&events);
    }
    assert!(ip("-brief link show").contains("my-own"));
}

/// Of a guest without a bbot network, a killed process leaves the hypervisor and the socket.
#[test]
fn a_guest_without_a_network_is_swept() {
    let host = Host::new();
    let config = host.config();
    let (guest, events) = start(&config, NetworkAttachment::None);
    let guest = guest.unwrap();
    let (pid, path) = (guest.pid(), guest.monitor_path().to_owned());
    let swept = bbot_vm::sweep_guests(&config.runtime_dir).unwrap();
    assert_eq!(swept, [Swept::Process { pid }, Swept::Socket { path }]);
    assert_eq!(last(&events).signal, Some(9));
    assert_eq!(bbot_vm::sweep_guests(&config.runtime_dir).unwrap(), []);
}

/// A caller without any privilege: a thread that runs as another user than root.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let unprivileged = scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        unprivileged.join().unwrap()
    })
}

#[test]
fn user_mode_network_needs_no_privilege() {
    let host = Host::new();
    for owned in ["machine-1", "machine-1/disk.img", "public-1"] {
        chown(host.path(owned), Some(65534), Some(65534)).unwrap();
    }
    as_nobody(|| {
        let user = VmUser::resolve(None).unwrap();
        assert_eq!(user.uid(), 65534);
        let mut config = host.config();
        config.user = user;
        let (guest, events) = start(&config, NetworkAttachment::User);
        let guest = guest.unwrap();
        let (pid, path) = (guest.pid(), guest.monitor_path().to_owned());
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in ["Uid:\t65534\t65534\t65534\t65534", "CapPrm:\t0000000000000000"] {
            assert!(status.contains(line), "{status}");
        }
        let swept = bbot_vm::sweep_guests(&config.runtime_dir).unwrap();
        assert_eq!(swept, [Swept::Process { pid }, Swept::Socket { path }]);
        assert_eq!(last(&events).signal, Some(9));
    });
}
