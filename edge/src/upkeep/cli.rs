//! The command line: what may be asked of the binary.
//!
//! The flags of `serve` are made from the option cards ([`Flags`]); the rest is written here. What
//! is not built is no command.
//!
//! ```text
//! selvedge serve --origin http://127.0.0.1:8000
//! selvedge check edge.toml
//! ```

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::config::{Flags, reference, schema};
use super::explain_command::ExplainArgs;
use super::purge_command::PurgeArgs;

/// A caching CDN edge node.
#[derive(Clone, Debug, Parser)]
#[command(name = "selvedge", version, propagate_version = true, arg_required_else_help = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Runs a node.
    ///
    /// Priority: flags, then environment, then file.
    Serve(Serve),
    /// Runs a node in front of a small built-in origin, with a guided tour.
    Demo(DemoArgs),
    /// Checks a configuration file: all problems with line and column; exit code 1.
    Check(Check),
    /// Shows every option.
    Config {
        /// In which form.
        #[arg(value_enum)]
        form: Form,
    },
    /// Takes stored responses out: asks a running node through its admin plane.
    Purge(PurgeArgs),
    /// Says why a request would be answered as it would: asks a running node through its admin
    /// plane. No origin is asked and nothing is changed.
    Explain(ExplainArgs),
}

/// `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Configuration file in TOML.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Options of the file, said on the command line.
    #[command(flatten)]
    pub flags: Flags,
}

/// `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Where the demo node listens; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Where its admin plane answers.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub admin: String,
    /// Ends after the tour instead of staying up.
    #[arg(long)]
    pub exit: bool,
}

/// `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Configuration file in TOML.
    pub file: PathBuf,
}

/// How options are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A file with every option, its default and its meaning.
    Defaults,
    /// The JSON Schema of the file.
    Schema,
    /// The environment variables.
    Env,
    /// The manual page, in Markdown.
    Manual,
}

impl Form {
    /// The text to print.
    pub fn text(self) -> String {
        match self {
            Self::Defaults => reference::defaults(),
            Self::Schema => format!("{:#}\n", schema::schema()),
            Self::Env => reference::variables_text(),
            Self::Manual => reference::manual(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::upkeep::config::options;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        CommandLine::try_parse_from(line.split(' ')).map(|parsed| parsed.command)
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serve_takes_every_flag_of_the_contract() {
        let line = "selvedge serve --config e.toml --listen 127.0.0.1:0 --listen [::]:0 --origin http://a \
                    --origin http://b --tls-listen 127.0.0.1:0 --cert c --key k --admin 127.0.0.1:0 \
                    --memory 64MiB --disk d --disk-size 1GiB --workers 2 --access-log";
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let Ok(Command::Serve(serve)) = parse(&line) else { panic!("{line}") };
        let said = |card| serve.flags.get(card).expect("it was said").join(" ");
        assert_eq!(said(&options::NODE_LISTEN), "127.0.0.1:0 [::]:0");
        assert_eq!(said(&options::SITE_ORIGINS), "http://a http://b");
        assert_eq!(said(&options::NODE_ACCESS_LOG), "stdout");
        assert_eq!(said(&options::DISK_SIZE), "1GiB");
        assert_eq!(serve.config, Some(PathBuf::from("e.toml")));
    }

    #[test]
    fn an_access_log_flag_does_not_swallow_the_next_word() {
        let Ok(Command::Serve(serve)) = parse("selvedge serve --access-log --workers 2") else {
            panic!()
        };
        assert_eq!(serve.flags.get(&options::NODE_ACCESS_LOG), Some(&["stdout".to_owned()][..]));
        let Ok(Command::Serve(serve)) = parse("selvedge serve --access-log=./a.log") else {
            panic!()
        };
        assert_eq!(serve.flags.get(&options::NODE_ACCESS_LOG), Some(&["./a.log".to_owned()][..]));
    }

    #[test]
    fn a_purge_has_one_selector_which_a_site_may_narrow() {
        assert!(parse("selvedge purge").is_err());
        assert!(parse("selvedge purge --url http://a/ --host a").is_err());
        assert!(parse("selvedge purge --url http://a/ --everything").is_err());
        for line in [
            "--url http://a/",
            "--tag a --tag b --soft",
            "--site s",
            "--tag a --site s --dry-run",
            "--everything",
        ] {
            let Ok(Command::Purge(purge)) = parse(&format!("selvedge purge {line}")) else {
                panic!("{line}")
            };
            assert_eq!(purge.plane.admin, "127.0.0.1:9901");
        }
    }

    #[test]
    fn a_question_has_a_url_and_any_number_of_fields() {
        assert!(parse("selvedge explain").is_err());
        let line =
            ["selvedge", "explain", "http://a/", "-H", "Accept: x", "-H", "Cookie: a=b", "--json"];
        let Ok(Command::Explain(asked)) = CommandLine::try_parse_from(line).map(|l| l.command)
        else {
            panic!()
        };
        assert_eq!((asked.url.as_str(), asked.header.len(), asked.json), ("http://a/", 2, true));
        assert_eq!((asked.plane.admin.as_str(), asked.method.as_str()), ("127.0.0.1:9901", "GET"));
    }

    #[test]
    fn what_is_not_built_is_no_command() {
        for line in ["selvedge top", "selvedge serve --upgrade"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
