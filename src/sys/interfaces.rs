//! Names of interfaces.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::ptr::NonNull;

/// Returns the names of all interfaces of the calling thread's network namespace, as
/// if_nameindex(3) lists them.
pub(crate) fn names_by_index() -> io::Result<BTreeMap<u32, String>> {
    // SAFETY: no argument, and the result is checked for null.
    let list = NonNull::new(unsafe { libc::if_nameindex() }).ok_or_else(io::Error::last_os_error)?;
    let list = List(list);
    let entries = (0..).map_while(|index| list.entry(index));
    Ok(entries.collect())
}

/// The list that if_nameindex(3) allocated.
struct List(NonNull<libc::if_nameindex>);

impl List {
    /// Returns the entry at an index that is at most one past the last; `None` at the end.
    fn entry(&self, index: usize) -> Option<(u32, String)> {
        // SAFETY: entries are read in turn, and the first with index 0 ends the list.
        let entry = unsafe { self.0.add(index) };
        // SAFETY: within the list, see above, which lives as long as `self`.
        let libc::if_nameindex { if_index, if_name } = unsafe { *entry.as_ref() };
        if if_index == 0 || if_name.is_null() {
            return None;
        }
        // SAFETY: a name of the list ends with a NUL and lives as long as the list.
        let name = unsafe { CStr::from_ptr(if_name) };
        Some((if_index, name.to_string_lossy().into_owned()))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: it came from if_nameindex and is freed once.
        unsafe { libc::if_freenameindex(self.0.as_ptr()) };
    }
}
