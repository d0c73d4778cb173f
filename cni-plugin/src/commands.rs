//! The six commands. ADD fails only where there is no result to pass on; the rest never fails.
//! Nothing here may stand between a pod and its start or its end.

use std::path::PathBuf;

use serde::Serialize;

use crate::netns::Netns;
use crate::protocol::{Code, Command, Failure, NEWEST_VERSION, SUPPORTED_VERSIONS};
use crate::record::{DEFAULT_RECORDS_DIR, Record, RecordErrorKind, RecordFolder, boot_id};
use crate::request::{Attachment, Request};
use crate::sandbox::Call;
use crate::watchdog;
use crate::world::World;

/// What goes to stdout.
pub enum Answer {
    Nothing,
    Text(&'static str),
    Failure(Failure),
}

/// Serves a command with what stdin held.
pub fn serve(
    command: Command,
    stdin: Result<&'static [u8], Failure>,
    world: &mut World<'_>,
) -> Answer {
    match command {
        Command::Add => add(stdin, world).map_or_else(Answer::Failure, Answer::Text),
        Command::Version => version(stdin),
        _ => {
            // From here on even a full second of waiting ends well.
            watchdog::hold(b"");
            if let Err(problem) = forgiven(command, stdin, world) {
                world.say(command, problem);
            }
            Answer::Nothing
        }
    }
}

/// The commands whose failure would only keep others from cleaning up.
fn forgiven(
    command: Command,
    stdin: Result<&'static [u8], Failure>,
    world: &mut World<'_>,
) -> Result<(), String> {
    let request = stdin
        .and_then(Request::parse)
        .map_err(|failure| failure.msg);
    match command {
        Command::Check => check(&request?, world),
        Command::Del => del(request, world),
        Command::Gc => gc(&request?, world),
        _ => Ok(()),
    }
}

fn add(
    stdin: Result<&'static [u8], Failure>,
    world: &mut World<'_>,
) -> Result<&'static str, Failure> {
    let request = Request::parse(stdin?)?;
    let result = request.prev_result()?;
    watchdog::hold(result.as_bytes());
    let about = format!(
        "ADD {:?}",
        world.variable("CNI_CONTAINERID").unwrap_or_default()
    );
    if let Some(remark) = request.version_remark(result) {
        world.say(&about, format_args!("{remark}: passed on as it came"));
    }
    let written = Call::read(world)
        .map_err(|failure| failure.msg)
        .and_then(|call| write_down(&call, &request, result, world));
    if let Err(problem) = written {
        world.say(
            &about,
            format_args!("the pod starts without a record: {problem}"),
        );
    }
    Ok(result)
}

fn write_down(
    call: &Call,
    request: &Request<'_>,
    result: &str,
    world: &mut World<'_>,
) -> Result<(), String> {
    let folder = folder(request)?;
    // A name that leaves the folder is refused before anything is opened on its behalf.
    folder
        .file_name(&call.container_id, &call.ifname)
        .map_err(|error| error.to_string())?;
    let mut remarks = Vec::new();
    let record = call.record(request, result, &mut remarks)?;
    for remark in remarks {
        world.say(format_args!("{:?}", call.container_id), remark);
    }
    folder.write(&record).map_err(|error| error.to_string())?;
    Ok(())
}

/// Writes the record again when it is lost, broken, or about another namespace.
fn check(request: &Request<'_>, world: &mut World<'_>) -> Result<(), String> {
    let call = Call::read(world).map_err(|failure| failure.msg)?;
    let folder = folder(request)?;
    let name = folder
        .file_name(&call.container_id, &call.ifname)
        .map_err(|error| error.to_string())?;
    if folder
        .read(&name)
        .is_ok_and(|record| stands(&record, &call))
    {
        return Ok(());
    }
    let result = request.prev_result().unwrap_or("{}");
    write_down(&call, request, result, world)
}

fn stands(record: &Record, call: &Call) -> bool {
    record.netns == call.netns && life_of(record) == Life::Alive
}

/// Takes the record away, also when the request cannot be read: the variables name it.
fn del(request: Result<Request<'static>, String>, world: &mut World<'_>) -> Result<(), String> {
    let folder = match request.and_then(|request| folder(&request)) {
        Ok(folder) => folder,
        Err(problem) => {
            world.say(
                "DEL",
                format_args!("{problem}: looking in {DEFAULT_RECORDS_DIR}"),
            );
            RecordFolder::new(DEFAULT_RECORDS_DIR)
        }
    };
    let text = |name: &str| {
        let value = world
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

/// Takes away records of this network that the runtime knows no more and whose namespace is proved gone.
fn gc(request: &Request<'_>, world: &mut World<'_>) -> Result<(), String> {
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
            Ok(record) if life_of(&record) != Life::Gone => {
                world.say("GC", format_args!("{name:?} stays: its namespace is there"));
            }
            Ok(record) => folder
                .remove(&record.container_id, &record.ifname)
                .map_err(|error| error.to_string())?,
            Err(error) => world.say("GC", error),
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Life {
    Alive,
    Gone,
    Unknown,
}

/// Whether the recorded namespace is still at its path, as far as that can be proved.
fn life_of(record: &Record) -> Life {
    match boot_id() {
        Ok(boot) if boot != record.boot_id => return Life::Gone,
        Ok(_) => {}
        Err(_) => return Life::Unknown,
    }
    match Netns::as_told(&record.netns) {
        Ok(netns) if netns.identity() == record.identity() => Life::Alive,
        Ok(_) => Life::Gone,
        Err(error) if error.is_gone() => Life::Gone,
        Err(_) => Life::Unknown,
    }
}

fn folder(request: &Request<'_>) -> Result<RecordFolder, String> {
    let path = match request.records_dir()? {
        Some(path) => PathBuf::from(path.into_owned()),
        None => PathBuf::from(DEFAULT_RECORDS_DIR),
    };
    if crate::record::is_plain_path(&path) {
        return Ok(RecordFolder::new(path));
    }
    Err(format!(
        "recordsDir {path:?} is not an absolute path without \"..\""
    ))
}

/// Says what we speak. A request that cannot be read gets the same answer: a runtime asks this to find out.
fn version(stdin: Result<&'static [u8], Failure>) -> Answer {
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
            Answer::Text(text)
        }
        Err(error) => Answer::Failure(Failure::new(Code::Io, error.to_string())),
    }
}

fn is_version(text: &str) -> bool {
    let number = |part: &str| part.parse::<u16>().is_ok();
    text.split('.').count() == 3 && text.split('.').all(number)
}
