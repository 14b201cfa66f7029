//! Constants of the transport layer.

use super::{Number, numbers};

numbers! {
    /// Type of a DCCP packet (RFC 4340, section 5.1).
    DccpType(u8) {
        /// Request.
        REQUEST = 0 "request",
        /// Response.
        RESPONSE = 1 "response",
        /// Data.
        DATA = 2 "data",
        /// Acknowledgement.
        ACK = 3 "ack",
        /// Data and acknowledgement.
        DATAACK = 4 "dataack",
        /// Asks to close.
        CLOSEREQ = 5 "closereq",
        /// Closes.
        CLOSE = 6 "close",
        /// Resets.
        RESET = 7 "reset",
        /// Synchronises.
        SYNC = 8 "sync",
        /// Answers a synchronisation.
        SYNCACK = 9 "syncack",
    }
}

bitflags::bitflags! {
    /// TCP flags (RFC 9293, section 3.1).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct TcpFlags: u8 {
        /// No more data.
        const FIN = 1;
        /// Synchronise sequence numbers.
        const SYN = 2;
        /// Reset.
        const RST = 4;
        /// Push.
        const PSH = 8;
        /// Acknowledgement is valid.
        const ACK = 16;
        /// Urgent pointer is valid.
        const URG = 32;
        /// Congestion was experienced.
        const ECN = 64;
        /// Congestion window reduced.
        const CWR = 128;
    }
}
