// SPDX-License-Identifier: Apache-2.0

//! An operator that uses files. The payload of a message says what to do, a command a
//! line; what comes of each is a line of the payload that it returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

use exports::wasm_graph::processor::map::{self, DataModel, Guest, ModuleConfiguration};
use wasm_graph::processor::types::BufferOrBytes;

wit_bindgen::generate!({ path: "../../../../wit/processor", world: "map-impl" });

struct Files;

export!(Files);

impl Guest for Files {
    fn init(_: ModuleConfiguration) -> bool {
        true
    }

    fn process(data: DataModel) -> Result<DataModel, map::Error> {
        let DataModel::Message(mut message) = data else {
            return Err(map::Error { message: "Unexpected input type.".into() });
        };
        if let BufferOrBytes::Bytes(payload) = &mut message.payload {
            let script = String::from_utf8_lossy(payload).into_owned();
            let results = script.lines().map(|line| match run(line) {
                Ok(text) => text,
                Err(e) => format!("error: {e}"),
            });
            *payload = results.collect::<Vec<_>>().join("\n").into_bytes();
        }
        Ok(DataModel::Message(message))
    }
}

fn run(line: &str) -> io::Result<String> {
    let mut words = line.splitn(3, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (command, path, rest) = (next(), next(), next());
    let done = |_| "ok".to_string();
    match command {
        "write" => fs::write(path, rest).map(done),
        "read" => fs::read_to_string(path),
        "append" => OpenOptions::new().append(true).open(path)?.write_all(rest.as_bytes()).map(done),
        "create" => File::create_new(path).map(|_| "ok".to_string()),
        "copy" => fs::copy(path, rest).map(|n| n.to_string()),
        "large" => large(path),
        "patch" => patch(path, rest.as_bytes()),
        "mkdir" => fs::create_dir_all(path).map(done),
        "rmdir" => fs::remove_dir(path).map(done),
        "remove" => fs::remove_file(path).map(done),
        "remove-all" => fs::remove_dir_all(path).map(done),
        "rename" => fs::rename(path, rest).map(done),
        "link" => fs::hard_link(path, rest).map(done),
        "list" => list(path),
        "stat" => fs::metadata(path).map(|m| describe(&m)),
        "lstat" => fs::symlink_metadata(path).map(|m| describe(&m)),
        "touch" => {
            let when = SystemTime::UNIX_EPOCH + Duration::from_secs(rest.parse().map_err(|_| ErrorKind::InvalidInput)?);
            OpenOptions::new().write(true).open(path)?.set_modified(when)?;
            let age = fs::metadata(path)?.modified()?.duration_since(SystemTime::UNIX_EPOCH);
            Ok(age.map_err(Error::other)?.as_secs().to_string())
        }
        "env" => std::env::var(path).map_err(Error::other),
        _ => Err(ErrorKind::Unsupported.into()),
    }
}

fn describe(m: &fs::Metadata) -> String {
    let kind = match m.file_type() {
        t if t.is_dir() => "directory",
        t if t.is_symlink() => "link",
        t if t.is_file() => "file",
        _ => "other",
    };
    if m.is_file() { format!("{kind} {}", m.len()) } else { kind.into() }
}

fn list(path: &str) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

/// Writes a megabyte in pieces and reads it back.
fn large(path: &str) -> io::Result<String> {
    let piece: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
    for _ in 0..100 {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut back = Vec::new();
    file.read_to_end(&mut back)?;
    let equal = back.chunks(piece.len()).all(|c| c == piece);
    Ok(format!("{} {equal}", back.len()))
}

/// Writes over the middle of a file and cuts it off after that.
fn patch(path: &str, text: &[u8]) -> io::Result<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(2))?;
    file.write_all(text)?;
    let end = file.stream_position()?;
    file.set_len(end)?;
    fs::read_to_string(path)
}
