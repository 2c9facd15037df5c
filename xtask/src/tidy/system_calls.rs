//! Where system calls come from: nix first, rustix for what nix lacks.

use crate::tidy::Finding;
use crate::tidy::paths::{NamedPath, names};
use crate::tidy::source::Source;

/// A family of calls that comes from rustix.
struct Family {
    /// Its paths in rustix.
    rustix: &'static [&'static str],
    /// What nix has of it, which is not used beside it.
    nix: &'static [&'static str],
}

/// All that is used of rustix; ARCHITECTURE.md says why.
const RUSTIX: &[Family] = &[
    // Errors of the calls below.
    Family { rustix: &["io::Errno", "io::Result"], nix: &[] },
    // pidfd_open(2), pidfd_send_signal(2) and waitid(2) of a pidfd, and their types.
    Family {
        rustix: &[
            "process::pidfd_open",
            "process::pidfd_send_signal",
            "process::PidfdFlags",
            "process::Pid",
            "process::Signal",
            "process::kill_process_group",
            "process::kill_process",
            "process::waitid",
            "process::WaitId",
            "process::WaitIdOptions",
            "process::WaitIdStatus",
        ],
        nix: &["sys::wait::waitid"],
    },
    // Calls of a single thread, which a child may make between fork(2) and execve(2).
    Family { rustix: &["thread", "process::Uid", "process::Gid"], nix: &[] },
    Family { rustix: &["fs::statx", "fs::StatxFlags", "fs::AtFlags", "fs::CWD"], nix: &[] },
    Family { rustix: &["fs::ioctl_setflags", "fs::IFlags"], nix: &[] },
    Family { rustix: &["rand"], nix: &[] },
    // IP_MTU_DISCOVER and IP_MTU of ip(7), and the same for ipv6(7).
    Family {
        rustix: &[
            "net::sockopt::set_ip_mtu_discover",
            "net::sockopt::set_ipv6_mtu_discover",
            "net::sockopt::ip_mtu",
            "net::sockopt::ipv6_mtu",
            "net::sockopt::Ipv4PathMtuDiscovery",
            "net::sockopt::Ipv6PathMtuDiscovery",
        ],
        nix: &["sys::socket::sockopt::IpMtu"],
    },
];

/// Checks a file of Rust source, tests included.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let paths = names(source, true).paths;
    paths.iter().filter_map(|path| wrong(path, source)).collect()
}

fn wrong(path: &NamedPath, source: &Source) -> Option<Finding> {
    let (first, rest) = path.segments.split_first()?;
    let rest = rest.join("::");
    let what = match first.as_str() {
        "rustix" if !in_rustix(&rest) => {
            format!("rustix::{rest}: system calls come from nix unless tidy's table says otherwise")
        }
        "nix" if is_from_rustix(&rest) => format!("nix::{rest}: this call comes from rustix"),
        _ => return None,
    };
    Some(Finding::new(source, path.line, &what))
}

fn in_rustix(path: &str) -> bool {
    RUSTIX.iter().flat_map(|family| family.rustix).any(|prefix| is_below(path, prefix))
        // A module whose calls are all in one family, or that is imported to name some of them.
        || matches!(path, "process" | "fs" | "io" | "thread")
}

fn is_from_rustix(path: &str) -> bool {
    RUSTIX.iter().flat_map(|family| family.nix).any(|prefix| is_below(path, prefix))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::{fails, passes};

    #[test]
    fn nix_comes_first() {
        fails(check, "a.rs", "use rustix::event::{PollFd};\n", 1, "rustix::event::PollFd");
        fails(
            check,
            "a.rs",
            "fn f() {\n    rustix::fs::renameat_with(a, b);\n}\n",
            2,
            "renameat_with",
        );
        passes(check, "a.rs", "use nix::poll::{PollFd, poll};\n// rustix::event::poll\n");
    }

    #[test]
    fn rustix_has_what_nix_lacks() {
        passes(check, "a.rs", "use rustix::process::{Pid, PidfdFlags, pidfd_open};\n");
        passes(check, "a.rs", "use rustix::thread as t;\nrustix::io::Errno::SRCH;\n");
        fails(check, "a.rs", "use rustix::process::PidfdFlagsOf;\n", 1, "PidfdFlagsOf");
        fails(check, "a.rs", "use nix::sys::wait::{WaitStatus, waitid};\n", 1, "rustix");
        // In tests, too.
        fails(check, "a/tests/b.rs", "use rustix::event::poll;\n", 1, "rustix");
    }
}
