//! What the keys of `[journal]`, and `upstream.name`, do.

use std::{fs, path::Path};

use followme::{
    config::{Config, Environment, Flags},
    journal::{Journal, Location},
};

use super::{body, claim_new, directory, resolve_and_continue, write};
use crate::config::variables;

/// Loads a TOML file.
fn load(directory: &Path, toml: &str, environment: &Environment) -> Result<Config, String> {
    let path = directory.join("followme.toml");
    let head = "[upstream]\nurl = \"http://127.0.0.1:1/prefix\"\n";
    fs::write(&path, format!("{head}{toml}")).unwrap();
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    Config::load(&flags, environment).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })
}

fn from_file() -> Environment {
    variables([("FOLLOWME_JOURNAL_URL", ""), ("FOLLOWME_LICENSE", "KEY")])
}

#[tokio::test]
async fn the_journal_is_where_the_configuration_says() {
    let directory = directory();
    let path = directory.join("of/the/file");
    let toml = format!("[journal]\nurl = \"sqlite:{}\"\n", path.display());
    let config = load(&directory, &toml, &from_file()).unwrap();
    let journal = Journal::open(&config.journal).await.unwrap();
    assert!(path.exists() && path.with_file_name("file.lock").exists());
    drop(journal);
    // By default it is in the directory for state.
    let of = |names: &[(&'static str, &str)]| {
        let mut all = vec![("FOLLOWME_JOURNAL_URL", ""), ("FOLLOWME_LICENSE", "KEY")];
        all.extend(names);
        load(&directory, "", &variables(all)).map(|config| config.journal.location)
    };
    let home = ("HOME", "/h");
    let xdg = ("XDG_STATE_HOME", "/x");
    let systemd = ("STATE_DIRECTORY", "/s/one:/s/two");
    for (names, wanted) in [
        (&[home][..], "/h/.local/state/followme/followme.sqlite3"),
        (&[home, xdg], "/x/followme/followme.sqlite3"),
        (&[home, xdg, systemd], "/s/one/followme.sqlite3"),
    ] {
        assert_eq!(of(names), Ok(Location::File(wanted.into())));
    }
    let error = of(&[]).unwrap_err();
    assert!(error.starts_with("journal.url: is missing"), "{error}");
    let error = load(
        &directory,
        "[journal]\nurl = \"postgres:x\"\n",
        &from_file(),
    )
    .unwrap_err();
    assert!(error.contains("must be sqlite:PATH"), "{error}");
}

#[tokio::test]
async fn the_records_are_those_of_the_upstreams_name_or_of_its_url() {
    let directory = directory();
    let place = directory.join("journal");
    let toml = |name: &str| format!("{name}[journal]\nurl = \"sqlite:{}\"\n", place.display());
    let config = load(&directory, &toml(""), &from_file()).unwrap();
    assert_eq!(config.journal.upstream, "http://127.0.0.1:1/prefix");
    let journal = Journal::open(&config.journal).await.unwrap();
    let mut record = claim_new(&journal, &write("a")).await;
    record.begin(&body(1)).await.unwrap();
    drop((record, journal));
    // Another upstream has records of its own, and the first finds its again.
    let other = load(&directory, &toml("name = \"porta\"\n"), &from_file()).unwrap();
    assert_eq!(other.journal.upstream, "porta");
    let journal = Journal::open(&other.journal).await.unwrap();
    assert!(journal.all_open().is_empty());
    drop(claim_new(&journal, &write("a")).await);
    drop(journal);
    let journal = Journal::open(&config.journal).await.unwrap();
    resolve_and_continue(&journal, &write("a")).await;
}

#[tokio::test]
async fn the_keys_are_those_of_the_key_file() {
    let directory = directory();
    let keys = directory.join("keys");
    let toml = format!("[journal]\nkey_file = {keys:?}\n");
    let error = load(&directory, &toml, &from_file()).unwrap_err();
    assert!(error.contains("journal.key_file"), "{error}");
    fs::write(&keys, "c2hvcnQ=\n").unwrap();
    let error = load(&directory, &toml, &from_file()).unwrap_err();
    assert!(error.contains("line 1 must be 32 bytes"), "{error}");
    assert!(!error.contains("c2hvcnQ"), "{error}");
    fs::write(&keys, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    let environment = variables([("FOLLOWME_LICENSE", "KEY")]);
    let config = load(&directory, &toml, &environment).unwrap();
    assert!(config.journal.keys.is_some());
    Journal::open(&config.journal).await.unwrap();
}
