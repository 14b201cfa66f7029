//! The JSON of nft(8), as libnftables-json(5) describes it and nft 1.0.6 prints it.
//!
//! JSON is a second spelling of nft's text: each statement, field and constant of the text has one
//! form in JSON. So what is listed is decided once, for the text (`render`), and this room only
//! translates the words of each statement and element. A field or type that the model and the text
//! have needs nothing more here.
//!
//! [`Listing`] and [`Snapshot`] are what `nft -j list ruleset` prints, equal as JSON values:
//!
//! ```
//! use nftmesh::json::ToJson;
//! use nftmesh::Snapshot;
//!
//! let listed = Snapshot::default().to_json();
//! assert_eq!(listed["nftables"][0]["metainfo"]["json_schema_version"], 1);
//! ```
//!
//! [`transaction`] and [`ruleset`](fn@ruleset) read what programs send to `nft -j -f -`, and what
//! nft lists; [`Reader`](crate::text::Reader) has the options of reading. A [`Ruleset`] is written
//! as commands.
//!
//! ```
//! use nftmesh::json::{self, ToJson};
//! use nftmesh::prelude::*;
//!
//! let json = r#"{ "nftables": [
//!     { "add": { "table": { "family": "inet", "name": "t" } } },
//!     { "add": { "chain": { "family": "inet", "table": "t", "name": "c" } } },
//!     { "add": { "rule": { "family": "inet", "table": "t", "chain": "c", "expr": [
//!         { "match": { "op": "==", "left": { "payload": { "protocol": "tcp", "field": "dport" } }, "right": 22 } },
//!         { "accept": null }
//!     ] } } }
//! ] }"#;
//! let transaction: Transaction = json::transaction(json)?;
//! assert_eq!(transaction.operations().len(), 3);
//!
//! let ruleset: Ruleset = json::ruleset(json)?;
//! assert_eq!(ruleset.tables[0].chains[0].rules[0].to_string(), "tcp dport 22 accept");
//! assert_eq!(ruleset.to_json()["nftables"][3]["add"]["rule"]["expr"][1], serde_json::json!({ "accept": null }));
//! # Ok::<(), Error>(())
//! ```
//!
//! What nft has no form for is the text of the statement, in nft and here: `jump { ... }`, and an
//! update of a map. A part that this crate does not know is an object with that as its name,
//! `{"<unknown fib>": null}`. nft refuses either, so a listing is loaded again in full or not at
//! all. Where nft 1.0.6 prints a random letter for the flags of a table, their names are here.

mod expression;
mod listing;
mod object;
mod read;
mod ruleset;
mod statement;
mod words;

pub use read::{JsonError, ruleset, transaction};

pub use serde_json;
use serde_json::{Value, json};

use crate::model::Ruleset;
use crate::state::{Listing, Snapshot};

/// What has a form in nft's JSON.
pub trait ToJson {
    /// Returns the form.
    fn to_json(&self) -> Value;
}

/// Returns the commands that add it, for `nft -j -f -`.
impl ToJson for Ruleset {
    fn to_json(&self) -> Value {
        json!({ "nftables": ruleset::commands(self) })
    }
}

/// Returns what `nft -j list ruleset` prints.
impl ToJson for Listing<'_> {
    fn to_json(&self) -> Value {
        json!({ "nftables": listing::objects(self) })
    }
}

/// Returns what `nft -j list ruleset` prints, without the names of interfaces.
impl ToJson for Snapshot {
    fn to_json(&self) -> Value {
        Listing::new(self).to_json()
    }
}
