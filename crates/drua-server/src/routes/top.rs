//! `GET /containers/{}/top`: the host's `ps`, and of what it prints the container's processes.

use std::process::{Command, Stdio};

use drua_engine::{Engine, Error};
use jiff::Timestamp;
use serde_json::json;

use super::blocking;
use crate::http::{self, Call, Failure, Reply};

/// Options of `ps` may not be longer than this.
const MAX_ARGS_BYTES: usize = 4096;

pub(crate) async fn top(engine: &Engine, name: &str, call: &Call) -> Reply {
    let container = engine.container(name)?;
    if container.state.status == drua_engine::Status::Restarting {
        return Err(Error::AttachRestarting(container.id.clone()).into());
    }
    let args = call.query.get("ps_args").unwrap_or("-ef").to_owned();
    if args.len() > MAX_ARGS_BYTES {
        return Err(Failure::invalid("the options of ps are too long"));
    }
    let pids = engine.pids(name).await?;
    let (titles, rows) = blocking(move || table(&args, &pids)).await?;
    http::json(&json!({ "Titles": titles, "Processes": rows }))
}

type Table = (Vec<String>, Vec<Vec<String>>);

fn table(args: &str, pids: &[u32]) -> Result<Table, Failure> {
    let mut command = Command::new("ps");
    // Words, never a shell.
    command.args(args.split_ascii_whitespace()).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => parse(&String::from_utf8_lossy(&output.stdout), pids),
        Ok(output) => {
            let message = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
            Err(Failure::invalid(format!("ps: {message}")))
        }
        // A host without it still gets the default columns.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && args == "-ef" => Ok(own_table(pids)),
        Err(error) => {
            let message = format!("cannot run ps on the host: {error}; install the package procps");
            Err(Failure::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

/// Picks the rows whose `PID` column names one of the processes. The last column takes the rest of its line.
fn parse(text: &str, pids: &[u32]) -> Result<Table, Failure> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let Some(column) = titles.iter().position(|title| title == "PID") else {
        return Err(Failure::invalid("Couldn't find PID field in ps output"));
    };
    let mut rows = Vec::new();
    let mut last_matched = false;
    for line in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some(pid) = fields.get(column) else { continue };
        // Threads of `ps -T` and the like have `-` there, and belong to the process before.
        let matches = if *pid == "-" { last_matched } else { pid.parse().is_ok_and(|pid: u32| pids.contains(&pid)) };
        last_matched = matches;
        if matches {
            let head = fields.len().min(titles.len() - 1);
            let mut row: Vec<String> = fields[..head].iter().map(|&field| field.to_owned()).collect();
            row.push(fields[head..].join(" "));
            rows.push(row);
        }
    }
    Ok((titles, rows))
}

/// The columns of `ps -ef`, from /proc.
fn own_table(pids: &[u32]) -> Table {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
    (titles, pids.iter().filter_map(|pid| process(*pid)).map(Vec::from).collect())
}

/// One row; `None` when the process has ended meanwhile.
fn process(pid: u32) -> Option<[String; 8]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold anything (`proc_pid_stat(5)`).
    let (head, tail) = stat.rsplit_once(')')?;
    let command_name = head.split_once('(')?.1;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let ticks = rustix::param::clock_ticks_per_second();
    let cpu_seconds = (number(11) + number(12)) / ticks;
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let started = Timestamp::from_second(boot + i64::try_from(number(19) / ticks).ok()?).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.to_owned();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = String::from_utf8_lossy(&arguments).trim_end_matches('\0').replace('\0', " ");
    let command = if arguments.is_empty() { format!("[{command_name}]") } else { arguments };
    let time = format!("{:02}:{:02}:{:02}", cpu_seconds / 3600, cpu_seconds / 60 % 60, cpu_seconds % 60);
    let started = started.strftime("%H:%M").to_string();
    Some([uid, pid.to_string(), number(1).to_string(), "0".to_owned(), started, "?".to_owned(), time, command])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_container_are_picked() {
        let text = "  PID TTY   CMD\n    1 ?     init\n   22 pts/0 sh -c  echo  x\n  222 ?     no\n";
        let (titles, rows) = parse(text, &[22]).expect("a table");
        assert_eq!(titles, ["PID", "TTY", "CMD"]);
        assert_eq!(rows, [["22", "pts/0", "sh -c echo x"]]);
        assert!(parse("USER CMD\nroot init\n", &[1]).is_err());
        assert!(parse("", &[1]).is_err());
    }
}
