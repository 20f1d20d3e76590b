//! `followme journal`.

use std::error::Error as _;

use followme::{
    config::Environment,
    domain::NumberId,
    journal::{
        Action,
        command::{self, CommandError},
    },
    telemetry::audit::Audit,
};

use crate::{
    Failure, announce,
    cli::{JournalCommand, Operator},
    load,
};

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let source = error.source().map(|source| format!(": {source}"));
        Self(vec![format!("{error}{}", source.unwrap_or_default())], 1)
    }
}

pub(crate) fn run(command: JournalCommand, log_format: Option<String>) -> Result<(), Failure> {
    let (JournalCommand::List { flags, .. }
    | JournalCommand::Show { flags, .. }
    | JournalCommand::Resolve { flags, .. }
    | JournalCommand::Resume { flags, .. }
    | JournalCommand::Reset { flags, .. }
    | JournalCommand::AllowUpdateAll { flags, .. }
    | JournalCommand::Backup { flags, .. }) = &command;
    let config = load(flags.clone(), log_format)?;
    let (journal, audit) = (config.journal, Audit::new(config.audit)?);
    let text = match command {
        JournalCommand::List { all, personal, .. } => command::list(&journal, all, personal),
        JournalCommand::Show { id, personal, .. } => command::show(&journal, id, personal),
        JournalCommand::Resolve {
            id,
            applied,
            operator,
            ..
        } => {
            let action = match applied {
                None => Action::NotApplied,
                Some(None) => Action::Applied(None),
                Some(Some(number)) => {
                    let number = NumberId::new(number);
                    let problem = || vec!["--applied: must be a positive id".to_owned()];
                    Action::Applied(Some(number.ok_or_else(|| Failure(problem(), 64))?))
                }
            };
            command::resolve(&journal, id, action, &name_of(operator), &audit)
        }
        JournalCommand::Resume { id, operator, .. } => {
            command::resolve(&journal, id, Action::Resume, &name_of(operator), &audit)
        }
        JournalCommand::Reset {
            forget_open,
            operator,
            ..
        } => command::reset(&journal, forget_open, &name_of(operator), &audit),
        JournalCommand::AllowUpdateAll { operator, .. } => {
            command::allow_update_all(&journal, &name_of(operator), &audit)
        }
        JournalCommand::Backup { file, .. } => command::backup(&journal, &file),
    };
    Ok(announce(text?.trim_end())?)
}

/// Returns the name of the operator, for the audit log.
fn name_of(operator: Operator) -> String {
    let environment = Environment::of_process();
    let variable = |name| environment.variable(name);
    operator
        .operator
        .or_else(|| variable("SUDO_USER"))
        .or_else(|| variable("USER"))
        .unwrap_or_else(|| "unknown".to_owned())
}
