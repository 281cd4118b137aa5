//! TLS on TCP hosts: dockerd's `--tls`, `--tlsverify`, `--tlscacert`, `--tlscert` and `--tlskey`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Which files say who the daemon is and who may talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that a client's must be signed by; `None` lets everybody in.
    pub client_ca: Option<PathBuf>,
    /// The daemon's certificate, with its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, unreadable or has nothing of what it should.
    #[error("could not load {what} from `{}`: {reason}", path.display())]
    File {
        /// `certificate`, `key` or `CA certificate`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// They do not fit together.
    #[error("certificate and key cannot be used")]
    Config(#[from] rustls::Error),
    /// The clients' authority cannot be used.
    #[error("the CA certificate cannot be used: {0}")]
    Verifier(String),
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for cert in certificates("CA certificate", path)? {
                    roots.add(cert)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| TlsError::Verifier(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| TlsError::File {
            what: "key",
            path: self.key.clone(),
            reason: error.to_string(),
        })?;
        let mut config = builder.with_single_cert(certificates("certificate", &self.cert)?, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |reason: String| TlsError::File { what, path: path.to_owned(), reason };
    let certs = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    let certs: Vec<_> = certs.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    if certs.is_empty() { Err(failed("there is none in it".to_owned())) } else { Ok(certs) }
}
