//! The six commands. ADD fails only where there is no result to pass on; the rest never fails. Nothing here
//! may delay or prevent the start or the end of a pod.

use std::path::PathBuf;

use sandbox_record::netns::Netns;
use sandbox_record::{DEFAULT_RECORDS_DIR, Record, RecordErrorKind, RecordFolder, boot_id};
use serde::Serialize;

use crate::io::{CniIo, Output};
use crate::protocol::{CniCommand, CniError, Code, NEWEST_VERSION, SUPPORTED_VERSIONS};
use crate::request::{Attachment, Request};
use crate::sandbox::Call;
use crate::watchdog;

/// Serves one call of a runtime and returns the exit code.
pub fn run(mut io: CniIo<'_>) -> u8 {
    let output = match io.command() {
        Err(failure) => Output::Error(failure),
        Ok(command) => {
            let request = io.read_request();
            serve(command, request, &mut io)
        }
    };
    io.print_result(&output)
}

/// Runs a command with the request read from stdin.
fn serve(
    command: CniCommand,
    stdin: Result<&'static [u8], CniError>,
    io: &mut CniIo<'_>,
) -> Output {
    match command {
        CniCommand::Add => add(stdin, io).map_or_else(Output::Error, Output::Text),
        CniCommand::Version => version(stdin),
        _ => {
            // From here on a timeout exits with success.
            watchdog::hold(b"");
            if let Err(problem) = serve_lenient(command, stdin, io) {
                io.log(command, problem);
            }
            Output::None
        }
    }
}

/// CHECK, DEL and GC: they always succeed, because a failure would only block the runtime's cleanup.
fn serve_lenient(
    command: CniCommand,
    stdin: Result<&'static [u8], CniError>,
    io: &mut CniIo<'_>,
) -> Result<(), String> {
    let request = stdin
        .and_then(Request::parse)
        .map_err(|failure| failure.msg);
    match command {
        CniCommand::Check => check(&request?, io),
        CniCommand::Del => del(request, io),
        CniCommand::Gc => gc(&request?, io),
        _ => Ok(()),
    }
}

fn add(
    stdin: Result<&'static [u8], CniError>,
    io: &mut CniIo<'_>,
) -> Result<&'static str, CniError> {
    let request = Request::parse(stdin?)?;
    let result = request.prev_result()?;
    watchdog::hold(result.as_bytes());
    let context = format!(
        "ADD {:?}",
        io.variable("CNI_CONTAINERID").unwrap_or_default()
    );
    if let Some(remark) = request.version_remark(result) {
        io.log(&context, format_args!("{remark}: passed on as it came"));
    }
    let written = Call::read(io)
        .map_err(|failure| failure.msg)
        .and_then(|call| write_record(&call, &request, result, io));
    if let Err(problem) = written {
        io.log(
            &context,
            format_args!("the pod starts without a record: {problem}"),
        );
    }
    Ok(result)
}

fn write_record(
    call: &Call,
    request: &Request<'_>,
    result: &str,
    io: &mut CniIo<'_>,
) -> Result<(), String> {
    let folder = folder(request)?;
    // A name that would escape the folder is refused before any file is opened.
    folder
        .file_name(&call.container_id, &call.ifname)
        .map_err(|error| error.to_string())?;
    let mut remarks = Vec::new();
    let record = call.record(request, result, &mut remarks)?;
    for remark in remarks {
        io.log(format_args!("{:?}", call.container_id), remark);
    }
    folder.write(&record).map_err(|error| error.to_string())?;
    Ok(())
}

/// Rewrites the record if it is missing, invalid, or describes another namespace.
fn check(request: &Request<'_>, io: &mut CniIo<'_>) -> Result<(), String> {
    let call = Call::read(io).map_err(|failure| failure.msg)?;
    let folder = folder(request)?;
    let name = folder
        .file_name(&call.container_id, &call.ifname)
        .map_err(|error| error.to_string())?;
    if folder
        .read(&name)
        .is_ok_and(|record| is_current(&record, &call))
    {
        return Ok(());
    }
    let result = request.prev_result().unwrap_or("{}");
    write_record(&call, request, result, io)
}

fn is_current(record: &Record, call: &Call) -> bool {
    record.netns == call.netns && netns_status(record) == NetnsStatus::Alive
}

/// Removes the record, also if the request is unreadable: the environment variables name it.
fn del(request: Result<Request<'static>, String>, io: &mut CniIo<'_>) -> Result<(), String> {
    let folder = match request.and_then(|request| folder(&request)) {
        Ok(folder) => folder,
        Err(problem) => {
            io.log(
                "DEL",
                format_args!("{problem}: looking in {DEFAULT_RECORDS_DIR}"),
            );
            RecordFolder::new(DEFAULT_RECORDS_DIR)
        }
    };
    let text = |name: &str| {
        let value = io
            .variable(name)
            .ok_or_else(|| format!("{name} is not set"))?;
        value
            .into_string()
            .map_err(|value| format!("{name} is not UTF-8: {value:?}"))
    };
    folder
        .remove(&text("CNI_CONTAINERID")?, &text("CNI_IFNAME")?)
        .map_err(|error| error.to_string())
}

/// Removes records of this network that the runtime no longer lists and whose namespace is verifiably gone.
fn gc(request: &Request<'_>, io: &mut CniIo<'_>) -> Result<(), String> {
    let network = request.network()?;
    let folder = folder(request)?;
    match folder.sweep() {
        Err(error) if error.kind == RecordErrorKind::Missing => return Ok(()),
        swept => swept.map_err(|error| error.to_string())?,
    };
    let Some(valid) = request.valid_attachments()? else {
        return Ok(());
    };
    let known = |record: &Record| {
        valid.iter().any(
            |Attachment {
                 container_id,
                 ifname,
             }| { *container_id == record.container_id && *ifname == record.ifname },
        )
    };
    for (name, entry) in folder.list().map_err(|error| error.to_string())? {
        match entry {
            Ok(record) if record.network != network || known(&record) => {}
            Ok(record) if netns_status(&record) != NetnsStatus::Gone => {
                io.log(
                    "GC",
                    format_args!("keeping {name:?}: its namespace still exists"),
                );
            }
            Ok(record) => folder
                .remove(&record.container_id, &record.ifname)
                .map_err(|error| error.to_string())?,
            Err(error) => io.log("GC", error),
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum NetnsStatus {
    Alive,
    Gone,
    Unknown,
}

/// Whether the recorded namespace is still at its path, as far as this can be verified.
fn netns_status(record: &Record) -> NetnsStatus {
    match boot_id() {
        Ok(boot) if boot != record.boot_id => return NetnsStatus::Gone,
        Ok(_) => {}
        Err(_) => return NetnsStatus::Unknown,
    }
    match Netns::at_runtime_path(&record.netns) {
        Ok(netns) if netns.identity() == record.identity() => NetnsStatus::Alive,
        Ok(_) => NetnsStatus::Gone,
        Err(error) if error.is_gone() => NetnsStatus::Gone,
        Err(_) => NetnsStatus::Unknown,
    }
}

fn folder(request: &Request<'_>) -> Result<RecordFolder, String> {
    let path = match request.records_dir()? {
        Some(path) => PathBuf::from(path.into_owned()),
        None => PathBuf::from(DEFAULT_RECORDS_DIR),
    };
    if sandbox_record::is_plain_path(&path) {
        return Ok(RecordFolder::new(path));
    }
    Err(format!(
        "recordsDir {path:?} is not an absolute path without \"..\""
    ))
}

/// Reports the supported versions. An unreadable request gets the same output: runtimes send VERSION to
/// probe.
fn version(stdin: Result<&'static [u8], CniError>) -> Output {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Versions<'a> {
        cni_version: &'a str,
        supported_versions: [&'static str; 5],
    }
    let stated = stdin
        .and_then(Request::parse)
        .and_then(|request| request.stated_version());
    let stated = stated.ok().filter(|text| is_version(text));
    let versions = Versions {
        cni_version: stated.as_deref().unwrap_or(NEWEST_VERSION),
        supported_versions: SUPPORTED_VERSIONS,
    };
    match serde_json::to_string(&versions) {
        Ok(text) => {
            let text = text.leak();
            watchdog::hold(text.as_bytes());
            Output::Text(text)
        }
        Err(error) => Output::Error(CniError::new(Code::Io, error.to_string())),
    }
}

fn is_version(text: &str) -> bool {
    let number = |part: &str| part.parse::<u16>().is_ok();
    text.split('.').count() == 3 && text.split('.').all(number)
}
