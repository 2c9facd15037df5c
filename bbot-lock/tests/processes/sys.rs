//! The one call of the tests that needs unsafe code.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Installs a handler that interrupts system calls (without `SA_RESTART`).
pub(crate) fn handle_without_restart(signal: Signal, handler: extern "C" fn(libc::c_int)) {
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::empty(), SigSet::empty());
    // SAFETY: the callers' handlers only add to an atomic, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }.expect("the signal can be handled");
}
