//! Configurations that are refused at start because they would expose the service.

use std::net::SocketAddr;

use followme::{
    app::App,
    config::{Config, Flags},
};

use super::support::{Directory, token_line};
use crate::{config::variables, support::certificates::Authority, support::config};

const TLS: &str =
    "[tls]\ncertificate_file = \"{dir}/server.pem\"\nkey_file = \"{dir}/server.key\"\n";
const CALLERS: &str = "[callers.portal]\nmethods = [\"List\"]\n";

/// Loads a configuration for an address that others reach.
fn load(toml: &str, insecure: bool) -> Result<Config, Vec<String>> {
    let dir = Directory::new();
    dir.identity("server", &Authority::new().sign("localhost"));
    dir.write("tokens", &token_line("portal", "good", ""));
    dir.configure(toml);
    let flags = Flags {
        config: Some(dir.path("followme.toml")),
        upstream_url: Some("http://127.0.0.1:9".to_owned()),
        listen: Some("0.0.0.0:0".to_owned()),
        insecure,
        ..Flags::default()
    };
    Config::load(&flags, &variables([("FOLLOWME_LICENSE", "KEY")]))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn listening_beyond_loopback_requires_tls_and_callers_or_a_flag() {
    let tokens = "tokens_file = \"{dir}/tokens\"\n";
    for (toml, insecure, taken) in [
        (String::new(), false, false),
        (TLS.to_owned(), false, false),
        (format!("{tokens}{CALLERS}"), false, false),
        (format!("{tokens}{TLS}{CALLERS}"), false, true),
        (String::new(), true, true),
        ("insecure = true\n".to_owned(), false, true),
    ] {
        match load(&toml, insecure) {
            Ok(config) => {
                assert!(taken, "{toml}");
                App::build(config).await.expect("a free port");
            }
            Err(errors) => {
                assert!(!taken, "{toml} {errors:?}");
                assert_eq!(
                    errors,
                    [
                        "--listen: is not a loopback address; such addresses require TLS \
                      (tls.certificate_file, tls.key_file) and at least one caller \
                      (callers.NAME), or --insecure"
                    ]
                );
            }
        }
    }
}

#[tokio::test]
async fn a_configuration_made_in_code_has_the_same_requirements() {
    let mut config = config(SocketAddr::from(([127, 0, 0, 1], 9)));
    config.listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let Err(error) = App::build(config.clone()).await else {
        panic!("it listens to everybody");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    config.insecure = true;
    App::build(config).await.expect("a free port");
}

#[test]
fn config_errors_about_callers_and_certificates_have_their_location() {
    let dir = Directory::new();
    dir.write("tokens", &token_line("unknown", "good", ""));
    dir.write("broken.pem", "-----BEGIN CERTIFICATE-----\nx\n");
    dir.configure(
        "tokens_file = \"{dir}/tokens\"\n\
         [tls]\n\
         certificate_file = \"{dir}/broken.pem\"\n\
         key_file = \"{dir}/broken.pem\"\n\
         require_client_certificate = true\n\
         [callers.portal]\n\
         certificate_names = [\"*.example.com\", \"https://example.com\"]\n\
         accounts = [0]\n\
         methods = [\"List\", \"list\"]\n\
         denied_destinations = [\"1900\", \"+\"]\n\
         writes_per_minute = 0\n\
         license_file = \"{dir}/none\"\n\
         colour = \"red\"\n\
         [callers.\"a b\"]\n\
         [callers.batch]\n\
         methods = \"List\"\n",
    );
    let errors = dir.load(SocketAddr::from(([127, 0, 0, 1], 9)));
    let file = dir.path("followme.toml").display().to_string();
    let found: Vec<(String, String)> = errors
        .expect_err("errors")
        .into_iter()
        .map(|error| {
            let location = error.location.unwrap_or_default();
            (error.key, location.replace(&file, ""))
        })
        .collect();
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(key, location)| (key.as_str(), location.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("tls.require_client_certificate", ":5"),
            ("callers.a b", ""),
            ("callers.a b.methods", ""),
            ("callers.batch.methods", ":16"),
            ("callers.portal.certificate_names", ":7"),
            ("callers.portal.certificate_names", ":7"),
            ("callers.portal.methods", ":9"),
            ("callers.portal.accounts", ":8"),
            ("callers.portal.denied_destinations", ":10"),
            ("callers.portal.writes_per_minute", ":11"),
            ("callers.portal.certificate_names", ":7"),
            ("callers.portal.colour", ":13"),
            ("tls.certificate_file", ":3"),
            ("callers.portal.license_file", ":12"),
            ("tokens_file", ":1"),
        ]
    );
}

#[test]
fn a_caller_without_credentials_and_shared_names_are_config_errors() {
    let dir = Directory::new();
    dir.write("ca.pem", &Authority::new().pem);
    dir.identity("server", &Authority::new().sign("localhost"));
    dir.configure(&format!(
        "{TLS}client_ca_file = \"{{dir}}/ca.pem\"\n\
         [callers.a]\nmethods = [\"*\"]\n\
         [callers.b]\nmethods = [\"*\"]\ncertificate_names = [\"x.example.com\"]\n\
         [callers.c]\nmethods = [\"*\"]\ncertificate_names = [\"X.example.com\"]\n"
    ));
    let errors = dir.load(SocketAddr::from(([127, 0, 0, 1], 9)));
    let errors: Vec<String> = errors
        .expect_err("errors")
        .into_iter()
        .map(|error| format!("{}: {}", error.key, error.problem))
        .collect();
    assert_eq!(
        errors,
        [
            "callers.a.certificate_names: is missing, and so is tokens_file: the caller has no \
             credential",
            "callers.c.certificate_names: \"X.example.com\" is also a name of another caller",
        ]
    );
}

#[test]
fn an_unknown_variable_is_a_config_error_unless_kubernetes_sets_it() {
    let known = [
        ("FOLLOWME_LICENSE", "KEY"),
        ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:9"),
        ("FOLLOWME_CALLS_MAX_NUMBERS", "7"),
        ("FOLLOWME_CALLS_STRICT_FIELDS", "[\"name\"]"),
        ("FOLLOWME_READ_ONLY", "true"),
        ("FOLLOWME_PORT", "tcp://127.0.0.1:1"),
        ("FOLLOWME_PORT_50051_TCP_ADDR", "127.0.0.1"),
        ("FOLLOWME_SERVICE_HOST", "127.0.0.1"),
        ("FOLLOWME_SERVICE_PORT_GRPC", "50051"),
        ("PATH", "/bin"),
    ];
    let config = Config::load(&Flags::default(), &variables(known)).expect("complete");
    assert_eq!(config.operations.max_numbers, 7);
    assert!(config.security.policy.read_only);
    assert!(config.redacted().contains("strict_fields = [\"name\"]\n"));
    let unknown = known
        .into_iter()
        .chain([("FOLLOWME_UPSTREAM_TIMEOUT", "1s")]);
    let errors = Config::load(&Flags::default(), &variables(unknown)).expect_err("a error");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].key, "FOLLOWME_UPSTREAM_TIMEOUT");
}

#[test]
fn the_printed_configuration_can_be_loaded_and_shows_no_secret() {
    let dir = Directory::new();
    let authority = Authority::new();
    dir.identity("server", &authority.sign("localhost"));
    dir.write("ca.pem", &authority.pem);
    dir.write("tokens", &token_line("portal", "good", ""));
    dir.configure(&format!(
        "read_only = true\ntokens_file = \"{{dir}}/tokens\"\n\
         [upstream]\nread_timeout = \"1500ms\"\ncaller_share = 0.25\n\
         {TLS}client_ca_file = \"{{dir}}/ca.pem\"\n\
         [callers.portal]\nmethods = [\"List\", \"Get\"]\naccounts = [1001]\n\
         certificate_names = [\"spiffe://example.com/portal\"]\ndenied_destinations = [\"1900\"]\n"
    ));
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    let printed = dir.load(upstream).expect("complete").redacted();
    for secret in ["DEMO-KEY", "BEGIN", "good"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    for line in [
        "read_only = true",
        "read_timeout = \"1s 500ms\"",
        "caller_share = 0.25",
        "[callers.portal]",
        "accounts = [1001]",
        "# writes_per_minute is not set",
    ] {
        assert!(
            printed.lines().any(|shown| shown == line),
            "{line}: {printed}"
        );
    }
    dir.configure(&printed);
    let flags = Flags {
        config: Some(dir.path("followme.toml")),
        ..Flags::default()
    };
    let again = Config::load(&flags, &variables([])).expect("it can be read back");
    assert_eq!(again.redacted(), printed);
}
