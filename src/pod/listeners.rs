//! Whether anything listens in a pod.

use super::Pod;
use crate::error::Result;
use crate::kernel;

impl Pod {
    /// Returns whether a TCP socket of the pod listens on this port, on whatever address.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or its sockets cannot be read.
    pub fn listens(&self, port: u16) -> Result<bool> {
        self.namespace.run(|| kernel::listens(port))?
    }
}
