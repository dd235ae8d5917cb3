//! Credentials that may connect, and the errors for those that may not.

use std::time::Duration;

use bus_nats::{ConnectError, ConnectErrorKind, Credentials, Nats, Options};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use testkit::{NatsServer, within};

use crate::support::{LONG, call, echo, options, request, serve};

const PASSWORD: &str = "s3cret-Pass";

async fn connect(options: Options) -> Result<Nats, ConnectError> {
    within(LONG, "a connection or its refusal", Nats::connect(options)).await
}

/// Checks that a body with these options can serve and call.
async fn gets_in(options: Options) {
    let nats = connect(options).await.unwrap();
    let _serving = serve(&nats, echo("demo.echo")).await;
    assert_eq!(call(&nats, request("demo.echo", "1")).await.unwrap().payload, "1");
}

/// Checks that the options are refused: the error is one line, and has no secret.
async fn is_refused(options: Options) -> ConnectError {
    let error = connect(options).await.err().unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Refused, "{error}");
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("s3cret") && !text.contains("wr0ng") && !error.to_string().contains('\n'),
        "{text}"
    );
    error
}

fn with_url(server: &NatsServer, credentials: &str) -> Options {
    let url = server.url().replace("://", &format!("://{credentials}@"));
    Options { url, ..options(server, "body-1") }
}

fn with(server: &NatsServer, credentials: Credentials) -> Options {
    Options { credentials, ..options(server, "body-1") }
}

#[tokio::test]
async fn user_and_password_are_taken_from_the_address_or_from_the_options() {
    let server = NatsServer::with_config(&format!(
        "authorization {{ user: ada, password: \"{PASSWORD}\" }}\n"
    ))
    .await;
    let given = |user: &str, password: &str| {
        let (user, password) = (Some(user.to_owned()), Some(password.to_owned()));
        with(&server, Credentials { user, password, ..Credentials::default() })
    };
    gets_in(with_url(&server, &format!("ada:{PASSWORD}"))).await;
    gets_in(given("ada", PASSWORD)).await;
    // The options win over the address.
    gets_in(Options {
        credentials: given("ada", PASSWORD).credentials,
        ..with_url(&server, "ada:wr0ng")
    })
    .await;
    is_refused(with_url(&server, "ada:wr0ng-s3cret")).await;
    is_refused(given("ada", "wr0ng")).await;
    let error = is_refused(options(&server, "body-1")).await;
    assert_eq!(
        error.to_string(),
        format!(
            "the NATS server at nats://127.0.0.1:{} refuses the credentials; check user, password, token or creds file",
            server.port()
        )
    );
    let half = Credentials { password: Some(PASSWORD.to_owned()), ..Credentials::default() };
    let error = connect(with(&server, half)).await.err().unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Files, "{error}");
}

#[tokio::test]
async fn a_password_with_signs_of_an_address_is_written_percent_encoded() {
    let server =
        NatsServer::with_config("authorization { user: ada, password: \"a/b@c:d\" }\n").await;
    gets_in(with_url(&server, "ada:a%2Fb%40c%3Ad")).await;
}

#[tokio::test]
async fn a_token_is_taken_from_the_address_or_from_the_options() {
    let server = NatsServer::with_config("authorization { token: \"s3cret-token\" }\n").await;
    let given = |token: &str| {
        with(&server, Credentials { token: Some(token.to_owned()), ..Credentials::default() })
    };
    gets_in(with_url(&server, "s3cret-token")).await;
    gets_in(given("s3cret-token")).await;
    is_refused(given("wr0ng")).await;
    is_refused(with_url(&server, "wr0ng")).await;
}

#[tokio::test]
async fn an_nkey_seed_is_taken_as_it_is_or_from_a_file() {
    let user = KeyPair::new_user();
    let other = KeyPair::new_user();
    let server = NatsServer::with_config(&format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}\n",
        user.public_key()
    ))
    .await;
    let given =
        |nkey: String| with(&server, Credentials { nkey: Some(nkey), ..Credentials::default() });
    gets_in(given(user.seed().unwrap())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("user.nk");
    std::fs::write(&file, format!("{}\n", user.seed().unwrap())).unwrap();
    gets_in(given(file.to_str().unwrap().to_owned())).await;
    let error = is_refused(given(other.seed().unwrap())).await;
    assert!(!format!("{error:?}").contains(&other.seed().unwrap()));
    let error = connect(given("/nowhere/user.nk".to_owned())).await.err().unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Files, "{error}");
    assert!(error.to_string().contains("/nowhere/user.nk"), "{error}");
}

#[tokio::test]
async fn a_seed_that_is_none_is_told_without_being_told() {
    let server = NatsServer::start().await;
    for slip in ["SUs3cretWr0ngLength", " SUs3cretWr0ngLength", "sus3cretSmall"] {
        let nkey = Some(slip.to_owned());
        let error = connect(with(&server, Credentials { nkey, ..Credentials::default() }))
            .await
            .err()
            .unwrap();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

/// A JWT as nats-server reads them: signed by `issuer` about `subject`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": nats,
    });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()).unwrap()))
}

#[tokio::test]
async fn a_creds_file_with_jwt_and_seed_gets_in_and_another_accounts_does_not() {
    let operator = KeyPair::new_operator();
    let account = KeyPair::new_account();
    let user = KeyPair::new_user();
    let operator_jwt = jwt(&operator, &operator, "O", &json!({ "type": "operator", "version": 2 }));
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 });
    let account_jwt = jwt(
        &operator,
        &account,
        "A",
        &json!({ "type": "account", "version": 2, "limits": limits }),
    );
    let server = NatsServer::with_config(&format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{ {}: {account_jwt} }}\n",
        account.public_key()
    ))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let creds = |issuer: &KeyPair, name: &str| {
        let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(issuer, &user, "U", &claims),
            user.seed().unwrap()
        );
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        with(&server, Credentials { creds: Some(path), ..Credentials::default() })
    };
    gets_in(creds(&account, "user.creds")).await;
    is_refused(creds(&KeyPair::new_account(), "other.creds")).await;

    let file = folder.path().join("empty.creds");
    std::fs::write(&file, "s3cret that is no creds file").unwrap();
    let error = connect(with(&server, Credentials { creds: Some(file), ..Credentials::default() }))
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Files, "{error}");
    assert!(
        error.to_string().contains("empty.creds") && !format!("{error:?}").contains("s3cret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable_and_says_what_to_do() {
    let mut server = NatsServer::start().await;
    server.kill().await;
    let error = connect(with_url(&server, &format!("ada:{PASSWORD}"))).await.err().unwrap();
    assert_eq!(error.kind, ConnectErrorKind::Unreachable, "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("no NATS server answers at {}", server.url())), "{text}");
    assert!(text.contains("--nats") && !text.contains("s3cret") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn an_address_that_is_none_is_told_without_its_secrets() {
    for url in [
        "nats://ada:s3cret@host:99999",
        "ftp://ada:s3cret@host",
        "nats://",
        "",
        "nats://a b",
        "nats://ada:s3cret",
        "ada:s3cret,2@host",
    ] {
        let error = connect(Options::new(url, "body-1".parse().unwrap())).await.err().unwrap();
        assert_eq!(error.kind, ConnectErrorKind::Address, "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn something_that_speaks_no_nats_is_not_waited_for_longer_than_the_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let connect_timeout = Duration::from_millis(200);
    let options =
        Options { connect_timeout, ..Options::new(url.clone(), "body-1".parse().unwrap()) };
    // No program accepts the connection: the kernel does, and nothing is ever sent.
    let started = std::time::Instant::now();
    let error = connect(options.clone()).await.err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(error.kind, ConnectErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn the_address_that_is_shown_has_no_credentials() {
    let server = NatsServer::with_config(&format!(
        "authorization {{ user: ada, password: \"{PASSWORD}\" }}\n"
    ))
    .await;
    let nats = connect(with_url(&server, &format!("ada:{PASSWORD}"))).await.unwrap();
    assert_eq!(nats.server().url, server.url());
    let given = Credentials {
        password: Some(PASSWORD.into()),
        token: Some("s3cret".into()),
        ..Credentials::default()
    };
    assert!(!format!("{given:?}").contains("s3cret"));
}
