//! The writer of messages: libnftnl, or this crate.

use std::io;
use std::iter::Peekable;

use super::body::{Body, Elem, ElementsBody};
use super::own;
use crate::bytecode::Unlowerable;
#[cfg(feature = "nftnl")]
use crate::netlink::libnftnl::Libnftnl;
use crate::netlink::write::{Header, Messages};

/// The writer of messages. Both produce the same bytes.
#[derive(Debug)]
#[cfg_attr(not(feature = "nftnl"), derive(Default))]
pub(crate) enum Backend {
    /// This crate.
    #[cfg_attr(
        all(feature = "nftnl", not(any(test, fuzzing))),
        expect(dead_code, reason = "with another at hand, only tests choose it")
    )]
    #[cfg_attr(not(feature = "nftnl"), default)]
    Own,
    /// libnftnl where it can express the whole message, this crate otherwise.
    #[cfg(feature = "nftnl")]
    Libnftnl(Libnftnl),
}

#[cfg(feature = "nftnl")]
impl Default for Backend {
    fn default() -> Self {
        Backend::Libnftnl(Libnftnl::default())
    }
}

impl Backend {
    /// Appends one message.
    pub(super) fn write(&mut self, messages: &mut Messages, header: Header, body: &Body<'_>) -> io::Result<()> {
        match self {
            Backend::Own => own::write(messages, header, body),
            #[cfg(feature = "nftnl")]
            Backend::Libnftnl(libnftnl) => match libnftnl.write(messages, header, body)? {
                Some(()) => Ok(()),
                None => own::write(messages, header, body),
            },
        }
    }

    /// Appends one message with as many elements of a set as it can hold. Returns their number,
    /// and why the next has no code.
    pub(super) fn elements<'e>(
        &mut self,
        messages: &mut Messages,
        header: Header,
        to: &ElementsBody<'_>,
        elements: &mut Peekable<impl Iterator<Item = Elem<'e>>>,
    ) -> io::Result<(usize, Option<Unlowerable>)> {
        match self {
            Backend::Own => own::elements(messages, header, to, elements),
            #[cfg(feature = "nftnl")]
            Backend::Libnftnl(libnftnl) => match libnftnl.elements(messages, header, to, elements)? {
                Some(written) => Ok(written),
                None => own::elements(messages, header, to, elements),
            },
        }
    }
}
