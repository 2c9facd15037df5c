//! Forwards frames between a tap and a socket; each is preceded by its length.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The greatest length of a frame, in bytes.
const FRAME_MAX: usize = 1 << 16;

/// Forwards frames from the socket to the tap, until the peer closes the connection.
pub(crate) fn relay_to_tap(mut socket: UnixStream, mut tap: File) -> io::Result<()> {
    while let Some(frame) = read_frame(&mut socket)? {
        match tap.write(&frame) {
            // A full queue loses a frame, as a real network does.
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => (),
        }
    }
    Ok(())
}

/// Forwards frames from the tap to the socket, until the peer closes the connection.
pub(crate) fn relay_from_tap(mut tap: &File, mut socket: UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; FRAME_MAX];
    loop {
        let mut ready = [
            PollFd::new(tap.as_fd(), PollFlags::POLLIN),
            // POLLHUP is always reported.
            PollFd::new(socket.as_fd(), PollFlags::empty()),
        ];
        poll(&mut ready, PollTimeout::NONE)?;
        if ready[1].any().unwrap_or(true) {
            return Ok(());
        }
        match tap.read(&mut buffer) {
            Ok(length) => write_frame(&mut socket, &buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
}

fn write_frame(socket: &mut UnixStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    socket.write_all(&[&length.to_le_bytes(), frame].concat())
}

/// Reads the next frame; `None` when the peer has closed the connection.
fn read_frame(socket: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match socket.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > FRAME_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    socket.read_exact(&mut frame)?;
    Ok(Some(frame))
}
