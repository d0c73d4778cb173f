//! The page of flags.

use clap::{Arg, ArgAction, Command};
use nix::sys::utsname::uname;
use reconfd::cli::Cli;

use crate::{code, row, table};

pub fn page() -> String {
    let mut page = "# Flags\n\n".to_owned();
    page += "Every flag of `reconfd` has an environment variable where the table names one; the flag takes precedence.\n\n";
    let daemon = Cli::command();
    page += &section("reconfd", &daemon);
    for command in daemon.get_subcommands() {
        if command.get_name() != "help" {
            page += &section(&format!("reconfd {}", command.get_name()), command);
        }
    }
    for verb in ["install", "uninstall"] {
        let help = podconfig_install::help(verb).unwrap();
        page += &format!(
            "## podconfig-install {verb}\n\n```\n{}\n```\n\n",
            help.trim()
        );
    }
    page.trim_end().to_owned() + "\n"
}

fn section(name: &str, command: &Command) -> String {
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = format!("## {name}\n\n{}.\n\n", about.trim_end_matches('.'));
    text += &table(&["flag", "environment", "default", "description"]);
    // The order of --help; an argument that is changed after it was added comes last otherwise.
    let mut arguments: Vec<&Arg> = command.get_arguments().collect();
    arguments.sort_by_key(|arg| arg.get_display_order());
    for arg in arguments {
        let long = arg.get_long().unwrap_or_default();
        if !["", "help", "version"].contains(&long) {
            text += &row(&[
                &code(&usage(long, arg)),
                &code(&environment(arg)),
                &default(arg),
                &description(arg),
            ]);
        }
    }
    text + "\n"
}

fn usage(long: &str, arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    match (takes_value(arg), names.first()) {
        (true, Some(name)) => format!("--{long} {name}"),
        _ => format!("--{long}"),
    }
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn environment(arg: &Arg) -> String {
    let name = arg.get_env().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A default that is this machine's own is none to print.
fn default(arg: &Arg) -> String {
    let values = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy());
    let values = values.collect::<Vec<_>>().join(",");
    let host = uname().unwrap().nodename().to_string_lossy().into_owned();
    match () {
        () if arg.is_required_set() => "required".to_owned(),
        () if !takes_value(arg) => "off".to_owned(),
        () if arg.get_id() == "node_name" && values == host => "the host name".to_owned(),
        () => code(&values),
    }
}

fn description(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values = arg
        .get_possible_values()
        .iter()
        .map(|value| code(value.get_name()))
        .collect::<Vec<_>>();
    let values = match takes_value(arg) && !values.is_empty() {
        true => format!(" One of {}.", values.join(", ")),
        false => String::new(),
    };
    format!("{}.{values}", help.trim_end_matches('.'))
}
