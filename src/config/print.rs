//! Texts made from the keys: the configuration in force, the table for the documentation, and the
//! example file.

use std::fmt::Write as _;

use super::source::Setting;

/// The longest line of a comment in the example file.
const WIDTH: usize = 100;

/// The head of the example file.
const HEAD: &str = "\
# The configuration of followme: every key, with its default.
#
# A line that starts with `#` and a key shows an example of a key that has no default.
#
# A flag overrides an environment variable, and that overrides this file. Every key but those of
# callers has a variable: FOLLOWME_ and the key in upper case, with `_` for its dots, such as
# FOLLOWME_UPSTREAM_READ_TIMEOUT; that of upstream.license_file is FOLLOWME_LICENSE_FILE. Strings
# need no quotes in a variable; other values are written as here: FOLLOWME_READ_ONLY=true.
#
# `followme config check` reports all errors; `followme config print` prints the configuration in
# force. Durations are strings with units, up to a day: \"500ms\", \"2s\", \"1m 30s\", \"1h\".
#
# Reloaded every second, without a restart: keys marked (reloaded), and the contents of tokens_file,
# of each license_file and of the files of [tls]. A file that cannot be read leaves its last good
# content in force, and is reported in the log; so are changes that require a restart.
";

/// Groups keys by section, in the order in which the sections appear first.
fn sections(settings: &[Setting]) -> Vec<(&str, Vec<(&str, &Setting)>)> {
    let mut sections: Vec<(&str, Vec<_>)> = Vec::new();
    for setting in settings {
        let (section, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        match sections.iter_mut().find(|(known, _)| *known == section) {
            Some((_, keys)) => keys.push((name, setting)),
            None => sections.push((section, vec![(name, setting)])),
        }
    }
    sections
}

/// Renders the values in force as TOML that can be read back. A key without a value is a comment.
pub(super) fn in_force(settings: &[Setting], license_from_variable: bool) -> String {
    let mut text = String::new();
    if license_from_variable {
        text.push_str("# The License is that of FOLLOWME_LICENSE.\n");
    }
    for (section, keys) in sections(settings) {
        if !section.is_empty() {
            let _ = write!(text, "\n[{section}]\n");
        }
        for (name, setting) in keys {
            // Writing to a String does not fail.
            let _ = match &setting.value {
                Some(value) => writeln!(text, "{name} = {value}"),
                None => writeln!(text, "# {name} is not set"),
            };
        }
    }
    text
}

/// Renders the example file: each key with its meaning and its default, or an example.
pub(super) fn example(settings: &[Setting]) -> String {
    let mut text = HEAD.to_owned();
    for (section, keys) in sections(settings) {
        let is_caller = section.starts_with("callers.");
        let _ = match section {
            "" => writeln!(text),
            _ if is_caller => write!(
                text,
                "\n# A caller: one table each, under a name of letters, digits, - and _. All of it \
                 is reloaded.\n#[{section}]\n"
            ),
            _ => write!(text, "\n[{section}]\n"),
        };
        for (name, setting) in keys {
            let reloaded = setting.reloaded && !is_caller;
            let mark = if reloaded { " (reloaded)" } else { "" };
            comment(&mut text, &format!("{}{mark}", setting.meaning));
            let _ = match (&setting.default, &setting.example) {
                (Some(value), None) if !is_caller => writeln!(text, "{name} = {value}"),
                (value, None) | (_, value @ Some(_)) => match value {
                    Some(value) => writeln!(text, "#{name} = {value}"),
                    None => writeln!(text, "#{name} ="),
                },
            };
        }
    }
    text
}

/// Writes a comment in lines of at most [`WIDTH`] characters.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Renders the keys as Markdown: a table for each section.
pub(super) fn reference(settings: &[Setting]) -> String {
    let mut text = String::new();
    for (section, keys) in sections(settings) {
        let title = match section {
            "" => "Top of the file".to_owned(),
            _ => format!("`[{section}]`"),
        };
        let _ = write!(
            text,
            "{}### {title}\n\n\
             | Key | Type | Default | Variable, flag | Meaning |\n|---|---|---|---|---|\n",
            if text.is_empty() { "" } else { "\n" },
        );
        for (name, setting) in keys {
            let code = |text: &str| format!("`{text}`");
            let default = setting.default.as_ref().map(ToString::to_string);
            let names = [setting.variable.as_deref(), setting.flag];
            let names: Vec<_> = names.into_iter().flatten().map(code).collect();
            let _ = writeln!(
                text,
                "| `{name}` | {} | {} | {} | {}{} |",
                setting.kind,
                default.as_deref().map(code).unwrap_or_default(),
                names.join(", "),
                setting.meaning,
                if setting.reloaded { " *Reloaded.*" } else { "" },
            );
        }
    }
    text
}
