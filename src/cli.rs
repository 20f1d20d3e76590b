//! The command line: commands, flags and their help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use followme::{config::Flags, journal::RecordId};

#[derive(Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Format of log lines: auto, text or json [env: FOLLOWME_LOG_FORMAT] [default: auto].
    #[arg(long, value_name = "FORMAT", global = true)]
    pub(crate) log_format: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serves gRPC in front of a PortaFollowMe service.
    Serve(Flags),
    /// Serves gRPC in front of a simulated PortaFollowMe service, and prints calls to try.
    #[cfg(feature = "simulator")]
    Demo(crate::demo::Demo),
    /// Serves only the simulated PortaFollowMe service.
    #[cfg(feature = "simulator")]
    Simulate(crate::demo::Simulate),
    /// Shows and resolves the records in the journal of `serve`.
    #[command(subcommand, disable_help_subcommand = true)]
    Journal(JournalCommand),
    /// Checks or prints the configuration that `serve` uses with the same flags.
    #[command(subcommand, disable_help_subcommand = true)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Reads the configuration and every file that it names, and reports all errors.
    Check(Flags),
    /// Prints the configuration in force, without secrets, as TOML that can be read back.
    Print(Flags),
}

#[derive(Subcommand)]
pub(crate) enum JournalCommand {
    /// Lists the open writes, and the stored facts about upstreams.
    List {
        /// Lists the settled writes too.
        #[arg(long)]
        all: bool,
        /// Shows callers, accounts and request ids.
        #[arg(long)]
        personal: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Shows a record.
    Show {
        /// The id of the record.
        id: RecordId,
        /// Shows all of its content: callers, accounts, numbers, names.
        #[arg(long)]
        personal: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Settles an open write with the outcome that an operator saw in PortaBilling.
    #[command(group = clap::ArgGroup::new("outcome").required(true))]
    Resolve {
        /// The id of the record.
        id: RecordId,
        /// It was applied; for an add, as the number with this id.
        #[arg(long, value_name = "NUMBER_ID", num_args = 0..=1, group = "outcome")]
        applied: Option<Option<i32>>,
        /// It was not applied, and will not be: its request id is free again.
        #[arg(long, group = "outcome")]
        not_applied: bool,
        #[command(flatten)]
        operator: Operator,
        #[command(flatten)]
        flags: Flags,
    },
    /// Resumes a ReplaceAll that stopped between two steps.
    Resume {
        /// The id of the record.
        id: RecordId,
        #[command(flatten)]
        operator: Operator,
        #[command(flatten)]
        flags: Flags,
    },
    /// Deletes every record, for example if the key of the journal is lost.
    Reset {
        /// How many records are open, as a check.
        #[arg(long, value_name = "N")]
        forget_open: usize,
        #[command(flatten)]
        operator: Operator,
        #[command(flatten)]
        flags: Flags,
    },
    /// Uses UpdateFollowmeAll again, which stopped because it had changed other numbers. Takes effect
    /// at the next start of `serve`, which must not run meanwhile.
    AllowUpdateAll {
        #[command(flatten)]
        operator: Operator,
        #[command(flatten)]
        flags: Flags,
    },
    /// Copies the journal into a new file, also while `serve` writes to it.
    Backup {
        /// The new file.
        file: PathBuf,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Args)]
pub(crate) struct Operator {
    /// Who does it, for the audit log [default: $SUDO_USER or $USER].
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
}
