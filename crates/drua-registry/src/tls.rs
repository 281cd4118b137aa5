//! Whom we trust, for each server: the system's certificates, those of `certs.d`, or everybody.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::origin::Origin;
use crate::settings::Settings;

/// Certificates could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("cannot read the certificates of `{}`: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("`{}` has no key `{}` beside it", certificate.display(), key.display())]
    NoKey { certificate: PathBuf, key: PathBuf },
    #[error("cannot use the certificates of `{server}`")]
    Config {
        server: String,
        #[source]
        source: rustls::Error,
    },
}

type Fingerprint = Vec<(PathBuf, Option<SystemTime>)>;

/// TLS configurations, made once for each server and again when its certificates change.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    roots: OnceLock<RootCertStore>,
    configs: Mutex<HashMap<String, (Fingerprint, Arc<ClientConfig>)>>,
}

impl Trust {
    /// The configuration for a server. Reads small files.
    pub(crate) fn config(&self, settings: &Settings, origin: &Origin) -> Result<Arc<ClientConfig>, CertificateError> {
        let files = files(settings, origin);
        let fingerprint: Fingerprint = files
            .iter()
            .map(|path| (path.clone(), std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()))
            .collect();
        let key = origin.host_and_port();
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, config)) = configs.get(&key)
            && *known == fingerprint
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.build(settings.is_insecure(origin), &files, origin)?);
        configs.insert(key, (fingerprint, Arc::clone(&config)));
        Ok(config)
    }

    fn build(&self, insecure: bool, files: &[PathBuf], origin: &Origin) -> Result<ClientConfig, CertificateError> {
        let refused = |source| CertificateError::Config { server: origin.to_string(), source };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
        let builder = if insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustEverybody(provider)))
        } else {
            let mut roots = self.roots.get_or_init(native_roots).clone();
            for path in with_extension(files, "crt") {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(refused)?;
                }
            }
            builder.with_root_certificates(roots)
        };
        // The first certificate that has a key; several would be for several servers.
        match with_extension(files, "cert").next() {
            None => Ok(builder.with_no_client_auth()),
            Some(path) => {
                let key = path.with_extension("key");
                if !key.exists() {
                    return Err(CertificateError::NoKey { certificate: path.to_owned(), key });
                }
                let private = PrivateKeyDer::from_pem_file(&key)
                    .map_err(|error| CertificateError::File { path: key, reason: error.to_string() })?;
                builder.with_client_auth_cert(certificates(path)?, private).map_err(refused)
            }
        }
    }
}

fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some of the system's certificates cannot be read");
    }
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "the system's certificates");
    roots
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unreadable = |error: rustls::pki_types::pem::Error| CertificateError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}

fn with_extension<'f>(files: &'f [PathBuf], extension: &'static str) -> impl Iterator<Item = &'f Path> {
    files.iter().map(PathBuf::as_path).filter(move |path| path.extension().is_some_and(|found| found == extension))
}

/// The certificates and keys that the operator put down for a server, sorted.
fn files(settings: &Settings, origin: &Origin) -> Vec<PathBuf> {
    let mut names = vec![origin.authority(), origin.host_and_port()];
    names.dedup();
    let dirs = settings.certificate_dirs.iter().flat_map(|dir| names.iter().map(|name| dir.join(name)));
    let mut found = Vec::new();
    for dir in dirs {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        let known = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension == "crt" || extension == "cert" || extension == "key")
        };
        found.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(known));
    }
    found.sort();
    found
}

/// For registries that the operator declared insecure.
#[derive(Debug)]
struct TrustEverybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
