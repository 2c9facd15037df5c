//! Frames between a tap and a socket: each behind its length.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// More than a frame can hold.
const FRAME_MAX: usize = 1 << 16;

/// Carries frames from the socket to the tap, until the other end hangs up.
pub(crate) fn carry_to_tap(mut wire: UnixStream, mut tap: File) -> io::Result<()> {
    while let Some(frame) = read_frame(&mut wire)? {
        match tap.write(&frame) {
            // A full queue is a lost frame, as on any wire.
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => (),
        }
    }
    Ok(())
}

/// Carries frames from the tap to the socket, until the other end hangs up.
pub(crate) fn carry_from_tap(mut tap: &File, mut wire: UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; FRAME_MAX];
    loop {
        let mut ready = [
            PollFd::new(tap.as_fd(), PollFlags::POLLIN),
            // That the other end hangs up is told unasked.
            PollFd::new(wire.as_fd(), PollFlags::empty()),
        ];
        poll(&mut ready, PollTimeout::NONE)?;
        if ready[1].any().unwrap_or(true) {
            return Ok(());
        }
        match tap.read(&mut buffer) {
            Ok(length) => write_frame(&mut wire, &buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
}

fn write_frame(wire: &mut UnixStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    wire.write_all(&[&length.to_le_bytes(), frame].concat())
}

/// Reads the next frame; `None` when the other end has hung up.
fn read_frame(wire: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match wire.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > FRAME_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    wire.read_exact(&mut frame)?;
    Ok(Some(frame))
}
