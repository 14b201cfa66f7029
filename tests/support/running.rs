//! An example that runs beside the test, and its output.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::patience::patience;
use super::{command, example, succeed};

/// How long to wait on an ordinary busy machine; tests wait `patience(PATIENCE)`.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running example; it ends with this value.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    pub child: Child,
    /// The lines of its standard output.
    pub printed: Receiver<String>,
}

impl Running {
    /// Starts an example in this thread's namespace.
    pub fn start(name: &'static str, words: &[&str], stderr: Stdio) -> Running {
        let mut command = command(&example(name).to_string_lossy());
        let mut child = command.args(words).stdout(Stdio::piped()).stderr(stderr).spawn().expect("the example runs");
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (send, printed) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Running { name, child, printed }
    }

    /// Returns its output up to the line with this beginning.
    #[track_caller]
    pub fn until(&self, start: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| !line.starts_with(start)) {
            match self.printed.recv_timeout(patience(PATIENCE)) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("{} said nothing that begins with {start:?}: {error}: {lines:#?}", self.name),
            }
        }
        lines
    }

    #[track_caller]
    pub fn silent_for(&self, time: Duration) {
        assert_eq!(self.printed.recv_timeout(patience(time)), Err(RecvTimeoutError::Timeout));
    }

    pub fn signal(&self, name: &str) {
        succeed("kill", &format!("-{name} {}", self.child.id()), "");
    }

    /// Ends it with a signal, and returns its exit code and remaining output.
    #[track_caller]
    pub fn end(&mut self, signal: &str) -> (Option<i32>, Vec<String>) {
        self.signal(signal);
        let code = self.child.wait().expect("it is our child").code();
        (code, self.printed.iter().collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing fails if it has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
