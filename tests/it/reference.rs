//! The tables of the docs, and the example configuration, are made from the code.
//! `UPDATE_DOCS=1 cargo test --test it reference` rewrites them; otherwise a test fails where one
//! differs.
//!
//! A table is in a page between `<!-- generated: NAME -->` and `<!-- end of NAME -->`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Returns the tables, by their name in a page.
fn tables() -> Vec<(&'static str, String)> {
    vec![
        ("config", followme::config::reference()),
        ("errors", followme::grpc::error_reference()),
        (
            "control-pages",
            followme::simulator::control_pages_reference(),
        ),
        ("faults", followme::simulator::faults_reference()),
        ("knobs", followme::simulator::knobs_reference()),
        ("mapping", followme::upstream::mapping_reference()),
        ("metrics", followme::telemetry::metrics_reference()),
    ]
}

#[test]
fn the_tables_of_the_docs_are_those_of_the_code() {
    let tables = tables();
    let mut names = BTreeSet::new();
    for page in pages() {
        let text = read(&page);
        let mut expected = text.clone();
        for (name, table) in &tables {
            if let Some(changed) = with_table(&expected, name, table) {
                expected = changed;
                names.insert((*name).to_owned());
            }
        }
        names.extend(names_in(&text));
        compare(&page, &text, &expected);
    }
    let known: BTreeSet<_> = tables.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        names, known,
        "each table is in a page, and each block has a table"
    );
}

#[test]
fn the_example_configuration_is_made_from_the_keys() {
    let path = root().join("deploy/followme.example.toml");
    compare(&path, &read(&path), &followme::config::example());
}

/// Writes what a file must hold, or fails where it holds something else.
fn compare(path: &Path, text: &str, expected: &str) {
    if text == expected {
        return;
    }
    if updating() {
        fs::write(path, expected).expect("the page can be written");
        return;
    }
    let line = text
        .lines()
        .zip(expected.lines())
        .find(|(is, must)| is != must);
    let (is, must) = line.unwrap_or(("(its end)", "(more or fewer lines)"));
    panic!(
        "{} differs from the code; UPDATE_DOCS=1 cargo test --test it reference rewrites it\n\
         it has:      {is}\n\
         it must be:  {must}",
        path.display()
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a test rewrites pages is no configuration of the facade"
)]
fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// Returns a page with the table of this name in its block, or `None` if the page has no such block.
fn with_table(page: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (
        format!("<!-- generated: {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = page.split_once(&start)?;
    let (_, after) = rest.split_once(&end).expect("a block has an end");
    // Blank lines on both sides: some renderers need them around a table.
    Some(format!("{before}{start}\n{}\n\n{end}{after}", table.trim()))
}

fn names_in(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter_map(|line| {
        let name = line
            .strip_prefix("<!-- generated: ")?
            .strip_suffix(" -->")?;
        Some(name.to_owned())
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the page can be read")
}

/// Returns every page below `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("it has an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 10, "the pages are found");
    pages
}

#[test]
fn a_table_that_differs_from_the_code_is_replaced() {
    let page = "a\n<!-- generated: t -->\n| old |\n<!-- end of t -->\nb\n";
    let new = with_table(page, "t", "| new |\n").expect("the page has the block");
    assert_eq!(
        new,
        "a\n<!-- generated: t -->\n\n| new |\n\n<!-- end of t -->\nb\n"
    );
    assert_eq!(with_table(&new, "t", "| new |"), Some(new.clone()));
    assert_eq!(with_table(page, "another", "| new |"), None);
}

#[test]
#[should_panic(expected = "it has:      | old |")]
fn a_page_that_differs_from_the_code_fails() {
    if updating() {
        panic!("it has:      | old | (not compared while pages are rewritten)");
    }
    compare(Path::new("page.md"), "a\n| old |\n", "a\n| new |\n");
}
