use std::collections::BTreeSet;

use clap::CommandFactory as _;
use clap::Parser as _;

use crate::cli::{Cli, grouped};
use crate::commands::{grouped_names, start_failure_code};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_in_one_group_of_the_help() {
    let names: Vec<&str> = grouped_names();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "no command twice");
    let command = Cli::command();
    let commands: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(unique, commands);
}

#[test]
fn help_shows_groups_and_examples() {
    let help = grouped().render_help().to_string();
    for part in [
        "Containers:\n  run         Create and run a new container from an image\n",
        "Projects:\n",
        "Examples:\n",
        "--host",
    ] {
        assert!(help.contains(part), "{part:?} is missing in\n{help}");
    }
}

#[track_caller]
fn parses(line: &str) {
    if let Err(error) = Cli::try_parse_from(line.split(' ')) {
        panic!("{line}: {error}");
    }
}

#[test]
fn dockers_spellings_are_understood() {
    for line in [
        "drua -H unix:///x ps",
        "drua ps -aqn3",
        "drua ps -n 3 --no-trunc",
        "drua stop -t 5 a b",
        "drua stop --time=5 a",
        "drua kill -s HUP a",
        "drua rm -fv a",
        "drua logs -ft --tail=10 a",
        "drua history -H=false x",
        "drua attach --sig-proxy=false --no-stdin a",
        "drua run --sig-proxy=false --net host x",
        "drua run -itd --stop-timeout -1 --memory-swap -1 --pids-limit -1 x",
        "drua top a -o pid,cmd",
        "drua container ls -a",
        "drua container list",
        "drua container rm -f a",
        "drua container run -it x sh",
        "drua image ls",
        "drua image rm x",
        "drua system df",
        "drua system prune -af --volumes",
        "drua network create -d bridge --subnet 10.0.0.0/24 n",
        "drua network rm a b",
        "drua volume create -o type=tmpfs v",
        "drua volume rm -f v",
        "drua compose -f a.yaml -p p up -d --force-recreate web",
        "drua compose down -v --rmi all --remove-orphans -t 1",
        "drua compose logs -f --tail 5 web",
        "drua completion zsh",
        "drua import -c CMD=x - a:b",
        "drua port a 53/udp",
    ] {
        parses(line);
    }
}

#[test]
fn failures_to_start_have_dockers_codes() {
    for (message, code) in [
        ("exec: \"nope\": executable file not found in $PATH", 127),
        ("exec: \"/x\": stat /x: no such file or directory", 127),
        ("exec: \"/x\": permission denied", 126),
        ("exec: \"/\": is a directory", 126),
        ("driver failed programming external connectivity: address already in use", 125),
    ] {
        assert_eq!(start_failure_code(message), code, "{message}");
    }
}
