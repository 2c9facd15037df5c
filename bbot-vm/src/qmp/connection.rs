//! A connection, split into the side that sends commands and the side that receives messages.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use super::client::Client;
use super::incoming::INCOMING_MAX;
use super::reader::Reader;

/// Splits a connection into the side that sends commands and the side that receives messages.
///
/// The [`Reader`] belongs to a thread that waits for the connection to be readable; the
/// [`Client`] gets its answers from there.
pub(crate) fn pair(stream: UnixStream) -> io::Result<(Client, Reader)> {
    let (sender, received) = mpsc::sync_channel(INCOMING_MAX);
    let client = Client::new(stream.try_clone()?, received);
    Ok((client, Reader::new(stream, sender)))
}
