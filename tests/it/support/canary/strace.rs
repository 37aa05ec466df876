//! Every system call with which a process can write, as `strace` tells it.
//!
//! The agent is started under `strace` by a small script ([`wrapper`]), so that
//! nothing it writes from its first instruction on is missed. Calls that move
//! bytes without showing them (`sendfile`, `splice`, `copy_file_range`) and
//! shared writable maps of files cannot be searched: they are told, and only
//! SQLite's `-shm` is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const CALLS: &str = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,splice,vmsplice,copy_file_range,mmap,io_uring_setup,connect";
const UNSEEN: [&str; 5] = ["sendfile", "splice", "vmsplice", "copy_file_range", "io_uring_setup"];

/// What a process wrote, by where it went.
#[derive(Debug, Default)]
pub struct Written {
    /// By file; what goes to one file in the order of the calls.
    pub files: BTreeMap<String, Vec<u8>>,
    /// To sockets, by socket.
    pub sockets: BTreeMap<String, Vec<u8>>,
    /// Into the kernel's own objects (event counters, pipes between threads).
    pub inside: Vec<u8>,
    /// What cannot be searched and is not allowed.
    pub unseen: BTreeSet<String>,
    /// Internet addresses that were called and are not this machine's.
    pub called: BTreeSet<String>,
    /// Calls read.
    pub calls: usize,
}

/// Writes a script that starts `program` under `strace`, with variables set.
pub fn wrapper(dir: &Path, program: &Path, trace: &Path, variables: &[(&str, &str)]) -> io::Result<PathBuf> {
    let set: String = variables.iter().map(|(k, v)| format!("export {k}='{v}'\n")).collect();
    let text = format!(
        // The program itself must keep the inference library silent.
        "#!/bin/sh\nunset ORT_DISABLE_TELEMETRY\n{set}exec strace -D -f --seccomp-bpf -y -xx -s 16777216 -e signal=none -e trace={CALLS} -o '{}' '{}' \"$@\"\n",
        trace.display(),
        program.display()
    );
    let path = dir.join("traced");
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

impl Written {
    /// Reads what `strace` wrote.
    pub fn read(trace: &Path) -> io::Result<Self> {
        let mut out = Self::default();
        for line in io::BufReader::new(fs::File::open(trace)?).lines() {
            out.line(&line?)?;
        }
        Ok(out)
    }

    /// Bytes that went to files.
    pub fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        // `PID name(fd<where>, "\x..", n) = n`; the end of an interrupted call repeats nothing.
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let Some((name, arguments)) = call.split_once('(') else { return Ok(()) };
        if call.starts_with("<...") || !CALLS.split(',').any(|c| c == name) {
            return Ok(());
        }
        self.calls += 1;
        if UNSEEN.contains(&name) {
            self.unseen
                .insert(format!("a call of {name}: {}", arguments.chars().take(200).collect::<String>()));
            return Ok(());
        }
        if name == "connect" {
            self.called.extend(stranger(arguments));
            return Ok(());
        }
        let place = place(arguments);
        if name == "mmap" {
            let shared = arguments.contains("PROT_WRITE") && arguments.contains("MAP_SHARED");
            if shared && place.as_deref().is_some_and(|p| !p.ends_with("-shm")) {
                self.unseen.insert(format!("a shared writable map of {}", place.unwrap_or_default()));
            }
            return Ok(());
        }
        let place = place.unwrap_or_else(|| "?".into());
        let bytes = payload(arguments).ok_or_else(|| {
            io::Error::other(format!("a line of strace is not understood: {name} to {place}"))
        })?;
        let socket = place.starts_with("socket:") || place.contains("TCP") || place.contains("UNIX");
        if place.starts_with('/') {
            self.files.entry(place).or_default().extend(bytes);
        } else if socket {
            self.sockets.entry(place).or_default().extend(bytes);
        } else {
            self.inside.extend(bytes);
        }
        Ok(())
    }
}

/// The address of a call, if it is an internet one beyond loopback.
fn stranger(arguments: &str) -> Option<String> {
    if !arguments.contains("AF_INET") {
        return None;
    }
    let quoted = arguments.split('"').nth(1)?;
    let address = String::from_utf8_lossy(&unescape(quoted)).into_owned();
    let ours = address.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback());
    (!ours).then_some(address)
}

/// What stands in the first `<…>`: where a descriptor leads.
fn place(arguments: &str) -> Option<String> {
    let (_, rest) = arguments.split_once('<')?;
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0
    })?;
    Some(String::from_utf8_lossy(&unescape(rest.get(..end)?)).into_owned())
}

/// All quoted bytes of a call, behind its descriptor. `None` if one was cut short.
fn payload(arguments: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = arguments;
    while let Some((_, quoted)) = rest.split_once('"') {
        let (text, after) = quoted.split_once('"')?;
        if after.starts_with("...") {
            return None;
        }
        out.extend(unescape(text));
        rest = after;
    }
    Some(out)
}

/// `\x41` as the byte, anything else as it is.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.strip_prefix(b"x").and_then(|d| d.first_chunk::<2>());
        let byte = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        match (first, byte) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &after[3..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_with_place_and_bytes() {
        let mut w = Written::default();
        for line in [
            r#"12 write(3</tmp/a>, "\x68\x69", 2) = 2"#,
            r#"13 pwrite64(3<\x2f\x74\x6d\x70\x2f\x61>, "\x21", 1, 4096) = 1"#,
            r#"12 writev(9<socket:[77]>, [{iov_base="\xff\xd8", iov_len=2}, {iov_base="\xff", iov_len=1}], 2) = 3"#,
            r#"12 sendto(9<socket:[77]>, "\x01", 1, MSG_NOSIGNAL, NULL, 0 <unfinished ...>"#,
            r#"12 <... sendto resumed>) = 1"#,
            r#"12 write(5<anon_inode:[eventfd]>, "\x01\x00", 2) = 2"#,
            r#"12 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 7</tmp/agent.db-shm>, 0) = 0x7f"#,
            r#"12 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 7</tmp/other>, 0) = 0x7f"#,
            r#"12 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f"#,
            r#"12 sendfile(4<socket:[7]>, 5</tmp/a>, NULL, 9) = 9"#,
            r#"12 connect(9<socket:[1]>, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("\x31\x32\x37.0.0.1")}, 16) = 0"#,
            r#"12 connect(9<socket:[1]>, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("\x39.9.9.9")}, 16) = 0"#,
            r#"12 connect(9<socket:[1]>, {sa_family=AF_INET6, sin6_port=htons(1), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = 0"#,
            r#"12 connect(9<socket:[1]>, {sa_family=AF_UNIX, sun_path="\x2f\x61"}, 16) = 0"#,
            "12 +++ exited with 0 +++",
        ] {
            w.line(line).unwrap();
        }
        assert_eq!(w.files, BTreeMap::from([("/tmp/a".to_owned(), b"hi!".to_vec())]));
        assert_eq!(w.sockets, BTreeMap::from([("socket:[77]".to_owned(), vec![0xff, 0xd8, 0xff, 1])]));
        assert_eq!(w.inside, [1, 0]);
        assert_eq!(w.called.iter().collect::<Vec<_>>(), ["2001:db8::1", "9.9.9.9"]);
        assert_eq!(w.unseen.len(), 2, "{:?}", w.unseen);
        assert!(w.line(r#"12 write(3</tmp/a>, "\x68"..., 99) = 99"#).is_err());
    }
}
