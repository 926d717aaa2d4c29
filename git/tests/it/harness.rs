//! A small HTTP server around `cloud_code_git::server`, and a few words for making repositories with the git program.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use cloud_code_git::mirror::{Mirror, MirrorKey, Mirrors};
use cloud_code_git::server::{RefUpdate, ServeError, Service, info_refs, receive_pack, upload_pack};
use cloud_code_git::workspace::{self, WorkspaceSpec};
use cloud_code_git::{Oid, Remote};

/// What the server does besides serving; changed by tests while it runs.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// `user:password` that every request must carry.
    pub(crate) basic: Option<String>,
    /// References that a push may not touch.
    pub(crate) protected: Vec<String>,
    /// Refuse every push that is not a fast-forward.
    pub(crate) fast_forward_only: bool,
    /// Answer each request with this status instead.
    pub(crate) status: Option<u16>,
    /// Answer a GET with a redirect to this address, path and query appended.
    pub(crate) redirect: Option<String>,
    /// A path that a GET redirects from, and where to.
    pub(crate) moved: Option<(String, String)>,
    /// Cut the answers of upload-pack after so many bytes.
    pub(crate) cut: Option<usize>,
}

/// A server of every repository under a folder.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    /// `METHOD path?query` of each request, in order.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    pub(crate) updates: Arc<Mutex<Vec<RefUpdate>>>,
}

impl Server {
    pub(crate) fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behaviour: Arc::default(),
            requests: Arc::default(),
            updates: Arc::default(),
        };
        let shared = (
            root.to_owned(),
            Arc::clone(&server.behaviour),
            Arc::clone(&server.requests),
            Arc::clone(&server.updates),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (root, behaviour, requests, updates) = shared.clone();
                std::thread::spawn(move || {
                    let mut connection = BufReader::new(stream.unwrap());
                    while let Some(request) = Request::read(&mut connection) {
                        requests.lock().unwrap().push(format!("{} {}", request.method, request.target));
                        let answer = request.answer(&root, &behaviour, &updates);
                        if answer.write(connection.get_mut()).is_none() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub(crate) fn taken_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

struct Request {
    method: String,
    target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

impl Answer {
    fn write(self, to: &mut TcpStream) -> Option<()> {
        let mut head = format!("HTTP/1.1 {} Test\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        to.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if let Some(cut) = self.cut.filter(|cut| *cut < self.body.len()) {
            to.write_all(&self.body[..cut]).ok()?;
            to.shutdown(std::net::Shutdown::Both).ok()?;
            return None;
        }
        to.write_all(&self.body).ok()
    }
}

impl Request {
    fn read(connection: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        connection.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            connection.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        if headers.get("expect").is_some_and(|value| value == "100-continue") {
            connection.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let mut body = Vec::new();
        if let Some(length) = headers.get("content-length") {
            body.resize(length.parse().ok()?, 0);
            connection.read_exact(&mut body).ok()?;
        } else if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
            loop {
                let mut size = String::new();
                connection.read_line(&mut size).ok()?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                connection.read_exact(&mut chunk).ok()?;
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        }
        if headers.get("content-encoding").is_some_and(|value| value == "gzip") {
            body = cloud_code_git::server::gunzip(&body, 1 << 30).unwrap();
        }
        Some(Self { method, target, headers, body })
    }

    fn answer(&self, root: &Path, behaviour: &Mutex<Behaviour>, updates: &Mutex<Vec<RefUpdate>>) -> Answer {
        let plain = |status: u16, text: &str| Answer {
            status,
            headers: vec![("Content-Type".into(), "text/plain".into())],
            body: text.into(),
            cut: None,
        };
        let behaviour = behaviour.lock().unwrap();
        if let Some(status) = behaviour.status {
            return plain(status, "as the test asked");
        }
        if let Some(to) = behaviour.redirect.as_ref().filter(|_| self.method == "GET") {
            let mut answer = plain(301, "");
            answer.headers.push(("Location".into(), format!("{to}{}", self.target)));
            return answer;
        }
        if let Some((from, to)) =
            behaviour.moved.as_ref().filter(|(from, _)| self.target.starts_with(from.as_str()))
        {
            let mut answer = plain(301, "");
            answer.headers.push(("Location".into(), self.target.replace(from.as_str(), to)));
            return answer;
        }
        if let Some(basic) = &behaviour.basic
            && self.headers.get("authorization") != Some(&format!("Basic {}", base64(basic.as_bytes())))
        {
            let mut answer = plain(401, "who are you?");
            answer.headers.push(("WWW-Authenticate".into(), "Basic realm=\"test\"".into()));
            return answer;
        }
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let (kind, served) = if let Some(repository) = path.strip_suffix("/info/refs") {
            let service = query.strip_prefix("service=").and_then(Service::from_name).unwrap();
            (format!("{}-advertisement", service.name()), info_refs(&root.join(&repository[1..]), service))
        } else if let Some(repository) = path.strip_suffix("/git-upload-pack") {
            ("git-upload-pack-result".into(), upload_pack(&root.join(&repository[1..]), &self.body))
        } else if let Some(repository) = path.strip_suffix("/git-receive-pack") {
            let allow = |update: &RefUpdate| {
                if behaviour.protected.contains(&update.refname) {
                    return Err("protected branch hook declined".to_owned());
                }
                if behaviour.fast_forward_only && !update.fast_forward {
                    return Err("non-fast-forward".to_owned());
                }
                Ok(())
            };
            let received = receive_pack(&root.join(&repository[1..]), &self.body, &allow);
            let body = received.map(|received| {
                updates.lock().unwrap().extend(received.updates);
                received.body
            });
            ("git-receive-pack-result".into(), body)
        } else {
            return plain(404, "no such path");
        };
        match served {
            Ok(body) => Answer {
                status: 200,
                headers: vec![
                    ("Content-Type".into(), format!("application/x-{kind}")),
                    ("Cache-Control".into(), "no-cache".into()),
                ],
                body,
                cut: behaviour.cut.filter(|_| path.ends_with("/git-upload-pack")),
            },
            Err(ServeError::NotFound) => plain(404, "no such repository"),
            Err(ServeError::Request(problem)) => plain(400, &problem),
            Err(ServeError::Repository(error)) => plain(500, error.message()),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain([&0, &0]).take(3).fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

/// Runs the git program in a folder, with no configuration but its own, and gives back what it printed.
pub(crate) fn git(dir: &Path, arguments: &[&str]) -> String {
    let (ok, out) = try_git(dir, arguments);
    assert!(ok, "git {arguments:?} in {}: {out}", dir.display());
    out
}

/// The same where failure is what the test wants to see.
pub(crate) fn try_git(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(["-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false", "-c", "protocol.version=0"])
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let joined =
        if text[1].is_empty() || output.status.success() { text[0].clone() } else { text.join("\n") };
    (output.status.success(), joined)
}

/// A folder of bare repositories, a work tree to fill them from, and a server of them.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) server: Server,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let forge = dir.path().join("forge");
        std::fs::create_dir_all(&forge).unwrap();
        let server = Server::start(&forge);
        Self { dir, server }
    }

    /// `acme/shop.git` with two commits on `main`, and its work tree in `work/`.
    pub(crate) fn with_shop() -> Self {
        let world = Self::new();
        let bare = world.forge("acme/shop.git");
        std::fs::create_dir_all(&bare).unwrap();
        git(&bare, &["init", "--bare", "-q"]);
        let work = world.work();
        std::fs::create_dir_all(&work).unwrap();
        git(&work, &["init", "-q"]);
        std::fs::write(work.join("README.md"), "# Shop\n").unwrap();
        world.commit("first");
        std::fs::create_dir_all(work.join("src")).unwrap();
        std::fs::write(work.join("src/lib.rs"), "pub fn price() -> u32 {\n    1\n}\n").unwrap();
        world.commit("second");
        git(&work, &["remote", "add", "origin", bare.to_str().unwrap()]);
        git(&work, &["push", "-q", "origin", "main"]);
        world
    }

    pub(crate) fn forge(&self, name: &str) -> PathBuf {
        self.dir.path().join("forge").join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/acme/shop.git", self.server.url)
    }

    /// Commits everything in the work tree; gives back the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        git(&self.work(), &["add", "-A"]);
        git(&self.work(), &["commit", "-q", "--allow-empty", "-m", message]);
        git(&self.work(), &["rev-parse", "HEAD"])
    }
}

/// The crate's own words for a world.
impl World {
    pub(crate) fn key(&self) -> MirrorKey {
        MirrorKey::new("127.0.0.1", "acme", "shop").unwrap()
    }

    pub(crate) fn mirrors(&self) -> Mirrors {
        Mirrors::new(self.path("mirrors"))
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::new(self.url()).unwrap()
    }

    pub(crate) fn fetch(&self) -> Mirror {
        self.mirrors().fetch(&self.key(), &self.remote()).unwrap()
    }

    /// A workspace on branch `cloud-code/issue-1` at `main`.
    pub(crate) fn workspace(&self, mirror: &Mirror, name: &str) -> (PathBuf, Oid) {
        let dir = self.path(name);
        let base = mirror.resolve("main").unwrap().unwrap();
        workspace::create(&spec(mirror, base, &dir)).unwrap();
        (dir, base)
    }
}

pub(crate) const REFNAME: &str = "refs/heads/cloud-code/issue-1";

pub(crate) fn spec<'a>(mirror: &'a Mirror, base: Oid, dir: &'a Path) -> WorkspaceSpec<'a> {
    WorkspaceSpec {
        mirror,
        base,
        branch: "cloud-code/issue-1",
        dir,
        objects_at: None,
        remote_url: "https://example.com/acme/shop.git",
        owner: None,
    }
}

pub(crate) fn oid(text: &str) -> Oid {
    Oid::from_str(text).unwrap()
}

/// Every file below a folder with its content, for before-and-after comparisons.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}
