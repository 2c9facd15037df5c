//! How connections are made, and what a connection does when its peer answers before it has read
//! the request.

use std::io;

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    TcpConnector, Transport,
};

/// Returns the connector of the HTTP client: TCP, through a CONNECT proxy if there is one, with TLS
/// on top for https.
pub(super) fn connector() -> impl Connector {
    ().chain(ConnectProxyConnector::default())
        .chain(TcpConnector::default())
        .chain(EarlyAnswers)
        .chain(RustlsConnector::default())
}

/// Makes each connection one that [reads early answers](EarlyAnswer).
#[derive(Debug)]
struct EarlyAnswers;

impl<In: Transport> Connector<In> for EarlyAnswers {
    type Out = EarlyAnswer<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| EarlyAnswer { inner, is_broken: false }))
    }
}

/// A connection whose peer may answer, and close it, before it has read the whole request (RFC
/// 9112, section 9.6), with 413 for example. The rest of the request is dropped then, and the
/// answer, which has arrived before the error, is read (W62).
#[derive(Debug)]
struct EarlyAnswer<T> {
    inner: T,
    /// The peer reads no more.
    is_broken: bool,
}

impl<T: Transport> Transport for EarlyAnswer<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.is_broken {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            Err(Error::Io(error)) if is_closed_by_peer(&error) => {
                self.is_broken = true;
                Ok(())
            }
            sent => sent,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.is_broken && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn is_closed_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
