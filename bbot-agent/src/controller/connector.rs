//! How connections are made: to a proxy if there is one, and what a connection does when its peer
//! answers before it has read the request.

use std::io;

use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    TcpConnector, Transport,
};

/// Returns the connector of the HTTP client: TCP, with TLS on top for https; through a proxy by
/// requests in absolute form for http, and by CONNECT for https (W64). `config`, which names no
/// proxy, is that of connections to proxies.
pub(super) fn connector(config: Config) -> impl Connector {
    ForwardProxy { config }
        .chain(ConnectProxyConnector::default())
        .chain(TcpConnector::default())
        .chain(EarlyAnswers)
        .chain(RustlsConnector::default())
}

/// Connects to the proxy of an http URL.
#[derive(Debug)]
struct ForwardProxy {
    config: Config,
}

impl Connector for ForwardProxy {
    type Out = AbsoluteForm;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<AbsoluteForm>, Error> {
        let is_http = details.uri.scheme_str() == Some("http");
        let Some(proxy) = details.config.proxy().filter(|_| is_http) else { return Ok(None) };
        let addrs = details.resolver.resolve(proxy.uri(), &self.config, details.timeout)?;
        let inner = (details.run_connector)(&ConnectionDetails {
            uri: proxy.uri(),
            addrs,
            config: &self.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        })?;
        let authority = details.uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Some(AbsoluteForm { inner, origin: Some(format!("http://{authority}")) }))
    }
}

/// A connection to a proxy, on which the target of the request is in absolute form (RFC 9112,
/// section 3.2.2).
#[derive(Debug)]
struct AbsoluteForm {
    inner: Box<dyn Transport>,
    /// What is inserted before the path; `None` once it is.
    origin: Option<String>,
}

impl Transport for AbsoluteForm {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Some(origin) = self.origin.take() else {
            return self.inner.transmit_output(amount, timeout);
        };
        let mut head = self.inner.buffers().output()[..amount].to_vec();
        // The first transmission begins with the request line: `POST /path HTTP/1.1`.
        let target = head.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
        head.splice(target..target, origin.into_bytes());
        let chunk_max = self.inner.buffers().output().len();
        for chunk in head.chunks(chunk_max) {
            self.inner.buffers().output()[..chunk.len()].copy_from_slice(chunk);
            self.inner.transmit_output(chunk.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
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
        match self.inner.await_input(timeout) {
            // What has arrived may be a whole answer, also if that was not what was waited for: 413
            // in the place of 100.
            Err(Error::Io(error))
                if is_closed_by_peer(&error) && !self.inner.buffers().input().is_empty() =>
            {
                Ok(false)
            }
            awaited => awaited,
        }
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
