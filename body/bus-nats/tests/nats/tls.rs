//! Encrypted connections, with certificates made for each test.

use std::path::PathBuf;

use bus_nats::{ConnectError, ConnectErrorKind, Nats, Options, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use testkit::{NatsServer, within};

use crate::support::{LONG, call, echo, options, request, serve};

/// A certificate authority in a folder, which signs certificates on request.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes `<name>.pem` and `<name>.key`, for 127.0.0.1.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    async fn server(&self, more: &str) -> NatsServer {
        self.sign("server");
        let path = |file: &str| self.path(file).to_str().unwrap().to_owned();
        let cert = path("server.pem");
        let key = path("server.key");
        let ca = path("ca.pem");
        let tls = format!(
            "tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\" {more} }}\n"
        );
        NatsServer::with_config(&tls).await
    }

    fn tls(&self) -> Tls {
        Tls { ca: Some(self.path("ca.pem")), ..Tls::default() }
    }
}

async fn connect(server: &NatsServer, tls: Tls) -> Result<Nats, ConnectError> {
    let options = Options { tls, ..options(server, "body-1") };
    within(LONG, "a connection or its refusal", Nats::connect(options)).await
}

async fn works(nats: &Nats) {
    let _serving = serve(nats, echo("demo.echo")).await;
    assert_eq!(call(nats, request("demo.echo", "1")).await.unwrap().payload, "1");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_given_authority_is_trusted_and_no_other() {
    let authority = Authority::new();
    let server = authority.server("").await;
    works(&connect(&server, authority.tls()).await.unwrap()).await;
    let other = Authority::new();
    for tls in [Tls::default(), other.tls()] {
        let error = connect(&server, tls).await.err().unwrap();
        assert_eq!(error.kind, ConnectErrorKind::Protocol, "{error}");
        assert!(error.hint.contains("CA") && !error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_gets_one() {
    let authority = Authority::new();
    let server = authority.server(", verify: true").await;
    authority.sign("client");
    let cert = Some(authority.path("client.pem"));
    let key = Some(authority.path("client.key"));
    works(&connect(&server, Tls { cert: cert.clone(), key, ..authority.tls() }).await.unwrap())
        .await;
    let error = connect(&server, authority.tls()).await.err().unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Protocol, "{error}");
    assert!(error.to_string().contains("TLS") && error.hint.contains("certificate"), "{error}");
    let error = connect(&server, Tls { cert, ..authority.tls() }).await.err().unwrap();
    assert_eq!((error.kind, error.hint.as_str()), (ConnectErrorKind::Files, "give both"));
    let error = connect(&server, Tls { ca: Some("/nowhere/ca.pem".into()), ..Tls::default() })
        .await
        .err()
        .unwrap();
    assert!(
        error.kind == ConnectErrorKind::Files && error.to_string().contains("/nowhere/ca.pem"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_told() {
    let authority = Authority::new();
    let server = authority.server("").await;
    std::fs::write(authority.path("empty.pem"), "nothing").unwrap();
    let error = connect(&server, Tls { ca: Some(authority.path("empty.pem")), ..Tls::default() })
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Files, "{error}");
    assert!(error.to_string().contains("empty.pem holds no PEM"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = NatsServer::start().await;
    let error = connect(&server, Tls { required: true, ..Tls::default() }).await.err().unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Protocol, "{error}");
    assert!(error.to_string().contains("TLS") && !error.to_string().contains('\n'), "{error}");
}
