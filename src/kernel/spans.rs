//! Spans and events for the crate `tracing`, with the feature of that name; without it, nothing.
//!
//! Their target is `nftmesh`, their level debug, and their fields are numbers: no text of a rule
//! set is made for them. `docs/features.md` lists them.

/// Enters a span until the end of the enclosing block.
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)* $(,)?) => {
        #[cfg(feature = "tracing")]
        let _entered = ::tracing::debug_span!(target: "nftmesh", $name $(, $field = $value)*).entered();
    };
}

/// Reports an event.
macro_rules! event {
    ($name:literal $(, $field:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        ::tracing::event!(name: $name, target: "nftmesh", ::tracing::Level::DEBUG, $($field = $value,)* $name);
    }};
}

pub(super) use {event, span};
