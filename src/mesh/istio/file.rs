//! Reads a small text file of the machine. Only a regular file is read, so reading neither blocks
//! on a pipe nor continues without end on a device.

use std::fs::{FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use crate::Result;
use crate::error::{Error, Kind};

/// Returns the text of a file of at most `most` bytes, or an empty text if there is none. Bytes
/// that are not UTF-8 are replaced.
pub(super) fn text(path: &str, most: u64) -> Result<String> {
    // Does not wait for a writer if it is a pipe.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        // open(2) fails so for a socket, and for a device without a driver.
        Err(cause) if cause.raw_os_error() == Some(libc::ENXIO) => {
            return Err(not_regular(path, "a socket or a device"));
        }
        Err(cause) => return Err(Error::io(format_args!("read {path}"), cause)),
    };
    let failed = |cause| Error::io(format_args!("read {path}"), cause);
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() {
        return Err(not_regular(path, named(kind)));
    }
    let mut bytes = Vec::new();
    // A file that grows while it is read must not exceed the limit.
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        let why = format!("read {path}: larger than {most} bytes; give it the size of a configuration file");
        return Err(Error::new(Kind::Invalid, why));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn named(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe (FIFO)",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "a special file",
    }
}

fn not_regular(path: &str, what: &str) -> Error {
    Error::new(Kind::Invalid, format!("read {path}: it is {what}; put a regular file there"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_regular_file_within_the_size_limit_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        fs::write(path("small"), b"nameserver \xff\n").expect("written");
        assert_eq!(text(&path("small"), 13).expect("it is that small"), "nameserver \u{fffd}\n");
        assert_eq!(text(&path("none"), 13).expect("none is empty"), "");
        let socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
        for (path, most, expected) in [
            (path("small"), 12, "larger than 12 bytes"),
            (dir.path().to_string_lossy().into_owned(), 12, "a directory"),
            (path("socket"), 12, "a socket or a device"),
            ("/dev/zero".to_owned(), 12, "a device"),
            (format!("{}/x", path("small")), 12, "Not a directory"),
        ] {
            let error = text(&path, most).expect_err("is refused").to_string();
            assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        }
        drop(socket);
    }
}
