//! A hub of a few small files on the loopback device, with bad habits on request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::content::Hashing;

/// What the hub serves and what it has seen.
#[derive(Debug, Default)]
pub struct State {
    /// Files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The commit that every revision leads to.
    pub commit: String,
    /// Close the connection after so many bytes of this file, once.
    pub cut: Option<(String, usize)>,
    /// Send whole files to those who ask for the rest.
    pub ignore_range: bool,
    /// Say this instead of the file's SHA-256.
    pub etag: Option<String>,
    /// `FILE RANGE` of every request for a file.
    pub requests: Vec<String>,
}

/// A running hub; it stops with the test process.
pub struct Stub {
    /// Base URL.
    pub url: String,
    /// Open to changes at any time.
    pub state: Arc<Mutex<State>>,
}

impl Stub {
    /// Serves `files` of the repository `o/n`.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let files = files.iter().map(|&(name, text)| (name.into(), text.into()));
        let state = Arc::new(Mutex::new(State {
            files: files.collect(),
            commit: "c0ffee".into(),
            ..State::default()
        }));
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up is the client's affair.
                let _ = answer(&mut stream.unwrap(), &mut shared.lock().unwrap());
            }
        });
        Self { url, state }
    }

    /// The ranges that were asked of `file`.
    pub fn ranges(&self, file: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let prefix = format!("{file} ");
        let seen = state.requests.iter();
        seen.filter_map(|request| request.strip_prefix(&prefix).map(Into::into))
            .collect()
    }
}

fn answer(stream: &mut TcpStream, state: &mut State) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap()?;
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let mut range = String::new();
    for line in lines {
        let line = line?.to_ascii_lowercase();
        match line.strip_prefix("range: bytes=") {
            Some(value) => range = value.into(),
            None if line.is_empty() => break,
            None => {}
        }
    }
    if path.starts_with("/api/models/o/n/revision/") {
        let names = state.files.keys();
        let siblings: Vec<_> = names
            .map(|name| serde_json::json!({ "rfilename": name }))
            .collect();
        let info = serde_json::json!({ "sha": state.commit, "siblings": siblings });
        return reply(stream, "200 OK", "", info.to_string().as_bytes(), None);
    }
    let resolve = format!("/o/n/resolve/{}/", state.commit);
    let name = path.strip_prefix(&resolve).unwrap_or_default();
    let Some(content) = state.files.get(name) else {
        return reply(stream, "404 Not Found", "", b"", None);
    };
    state.requests.push(format!("{name} {range}"));
    let (start, end) = range.split_once('-').unwrap_or(("0", ""));
    let whole = state.ignore_range && end.is_empty();
    let start: usize = if whole { 0 } else { start.parse().unwrap() };
    let end = end.parse().map_or(content.len(), |last: usize| last + 1);
    if start >= content.len() {
        return reply(stream, "416 Range Not Satisfiable", "", b"", None);
    }
    let mut hash = Hashing::new(std::io::sink());
    hash.write_all(content)?;
    let headers = format!(
        "x-repo-commit: {}\r\netag: \"{}\"\r\ncontent-range: bytes {start}-{}/{}\r\n",
        state.commit,
        state.etag.clone().unwrap_or(hash.finish().sha256),
        end - 1,
        content.len()
    );
    // The first byte alone is the question for the metadata.
    let cut = match state.cut.take() {
        Some((file, after)) if file == name && end == content.len() => Some(after),
        other => {
            state.cut = other;
            None
        }
    };
    reply(
        stream,
        "206 Partial Content",
        &headers,
        &content[start..end],
        cut,
    )
}

fn reply(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
    cut: Option<usize>,
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(&body[..cut.unwrap_or(body.len())])
}
