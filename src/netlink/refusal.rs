//! Maps the kernel's answer to the operation it concerns, with a remedy.

use std::collections::{BTreeSet, HashSet};

use super::encode::{Encoded, KnownSets, MessagePart, Origin};
use super::expr::kernel_option;
use super::reply::Ack;
use crate::attr::nfta::{
    NFTA_CHAIN_TABLE, NFTA_OBJ_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_TABLE,
    NFTA_SET_ELEM_LIST_ELEMENTS,
};
use crate::attr::{Attribute, Attributes};
use crate::bytecode::{Expr, LookupSet, element_at};
use crate::error::{Error, Kind, Refusal, Shown};
use crate::model::{CtHelper, Name, Object, ObjectContent, Rule, Set, Statement, TableFlags};
use crate::plan::{Operation, State, Transaction};

/// Returns the error for a transaction that the kernel refused, with every operation it named.
pub(crate) fn refused(
    transaction: &Transaction,
    known: &KnownSets,
    encoded: &Encoded,
    acks: &[Ack],
    (lost, clashes): (Lost, &BTreeSet<usize>),
) -> Error {
    let context = Context { transaction, known, encoded, clashes };
    let mut kinds = Vec::new();
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut seen = HashSet::new();
    for ack in acks {
        let (kind, refusal) = context.refusal(ack);
        // The kernel reports every element of an overlap, and every message of an operation; one
        // report is enough.
        if seen.insert(refusal.clone()) {
            kinds.push(kind);
            refusals.push(refusal);
        }
    }
    let kind = SEVERITY.into_iter().find(|kind| kinds.contains(kind)).unwrap_or(Kind::Other);
    Error::refused(kind, summary(&refusals, transaction.operations().len(), lost), refusals)
}

/// Whether the kernel's answer exceeded the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// No refusal is missing.
    Nothing,
    /// Some refusals are missing.
    Some,
}

/// The kind of the whole error when operations were refused for different reasons, the first that
/// occurs.
const SEVERITY: [Kind; 5] = [Kind::Permission, Kind::Unsupported, Kind::NotFound, Kind::Conflict, Kind::Other];

/// The number of refusals spelled out in the message; all of them are in [`Error::refusals`].
const SHOWN: usize = 4;

fn summary(refusals: &[Refusal], operations: usize, lost: Lost) -> String {
    let one = |refusal: &Refusal| match refusal.operation {
        Some(index) => format!("op {} of {operations}, {refusal}", index + 1),
        None => refusal.to_string(),
    };
    let mut text = refusals.iter().take(SHOWN).map(one).collect::<Vec<_>>().join("; ");
    if refusals.len() > SHOWN {
        text.push_str(&format!("; and {} more", refusals.len() - SHOWN));
    }
    if lost == Lost::Some {
        text.push_str("; more refusals did not fit the receive buffer (net.core.rmem_max)");
    }
    text
}

struct Context<'a> {
    transaction: &'a Transaction,
    known: &'a KnownSets,
    encoded: &'a Encoded,
    /// Operations that add something that exists with another declaration.
    clashes: &'a BTreeSet<usize>,
}

/// What an attribute offset refers to.
enum Spot<'a> {
    /// An element of a set.
    Element(String),
    /// An expression of a rule's program.
    Expr(Expr),
    /// Some other attribute of the message.
    Other(Attribute<'a>),
}

impl Context<'_> {
    fn refusal(&self, ack: &Ack) -> (Kind, Refusal) {
        let errno = ack.errno;
        let origin = self.encoded.origin(ack.sequence).copied();
        let operation = origin.and_then(|origin| self.transaction.operations().get(origin.operation));
        let (Some(origin), Some(operation)) = (origin, operation) else {
            let (kind, remedy) = self.whole(errno);
            return (kind, Refusal { operation: None, what: "the transaction".into(), errno, remedy });
        };
        let spot = ack.offset.and_then(|offset| self.spot(&origin, operation, offset));
        let at_commit = spot.is_none() && Some(&origin) == self.encoded.origins.first();
        if origin.part == MessagePart::Anchor || at_commit && errno == libc::EMLINK {
            let (kind, remedy) = self.whole(errno);
            return (kind, Refusal { operation: None, what: "the transaction".into(), errno, remedy });
        }
        let title = operation.title();
        let what = match &spot {
            Some(Spot::Element(element)) => format!("{title}, element {}", Shown(element)),
            Some(Spot::Expr(expr)) => match self.statement(&origin, operation, expr) {
                Some((number, statement)) => format!("{title}, statement {number} ({})", Shown(&statement)),
                None => title,
            },
            Some(Spot::Other(_)) | None => title,
        };
        let (kind, mut remedy) = if self.clashes.contains(&origin.operation) {
            (Kind::Conflict, format!("{EXISTS} ({})", errno_name(errno)))
        } else {
            explain(operation, spot.as_ref(), errno)
        };
        if let Some(text) = &ack.text {
            remedy = format!("{remedy} [kernel: {}]", text.escape_debug());
        }
        (kind, Refusal { operation: Some(origin.operation), what, errno, remedy })
    }

    /// Returns the explanation of an error that does not concern a single operation.
    fn whole(&self, errno: i32) -> (Kind, String) {
        let name = errno_name(errno);
        match errno {
            libc::EPERM | libc::EACCES => (
                Kind::Permission,
                format!("CAP_NET_ADMIN is missing in the user namespace that owns this network namespace ({name})"),
            ),
            libc::ERESTART => match self.transaction.generation() {
                Some(generation) => (
                    Kind::Conflict,
                    format!("somebody else committed after generation {}; read again and retry ({name})", generation.0),
                ),
                None => (Kind::Conflict, format!("somebody else is changing the rule sets; retry ({name})")),
            },
            libc::EMLINK => (Kind::Other, format!("jumps form a loop or go more than 16 chains deep ({name})")),
            errno => (
                Kind::of_errno(errno),
                format!("refused as a whole when it was to take effect: {} ({name})", words(errno)),
            ),
        }
    }

    /// Returns what is at `offset` in the message.
    fn spot(&self, origin: &Origin, operation: &Operation, offset: usize) -> Option<Spot<'_>> {
        let bytes = self.encoded.messages.as_bytes().get(origin.start..)?;
        let length = usize::try_from(crate::attr::u32_at(bytes, 0)?).ok()?;
        let inside = offset.checked_sub(HEADERS)?;
        let attribute = holding(Attributes::new(bytes.get(HEADERS..length)?), inside)?;
        // Nested attributes start after the attribute's own header.
        let nested = || {
            let inside = inside.checked_sub(attribute.at + 4)?;
            attribute
                .nested()
                .map_while(Result::ok)
                .position(|nested| nested.at <= inside && inside < nested.at + 4 + nested.value.len())
        };
        match (operation, origin.part, attribute.kind) {
            (
                Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. },
                MessagePart::Itself,
                NFTA_RULE_EXPRESSIONS,
            ) => {
                let index = nested()?;
                let program = self.known.lower(rule, operation.table()?).ok()?;
                Some(Spot::Expr(program.exprs.into_iter().nth(index)?))
            }
            (Operation::Restore { state, .. }, MessagePart::Itself, NFTA_RULE_EXPRESSIONS) => match &**state {
                State::Rule { rule, .. } => Some(Spot::Expr(rule.exprs.get(nested()?)?.clone())),
                _ => Some(Spot::Other(attribute)),
            },
            (Operation::Restore { .. }, MessagePart::Elements { first }, NFTA_SET_ELEM_LIST_ELEMENTS) => {
                Some(Spot::Element(format!("number {}", first + nested()? + 1)))
            }
            (
                Operation::AddSet { set, .. }
                | Operation::AddElements { set, .. }
                | Operation::DeleteElements { set, .. }
                | Operation::DestroyElements { set, .. },
                MessagePart::Elements { first },
                NFTA_SET_ELEM_LIST_ELEMENTS,
            ) => Some(Spot::Element(self.element(set, first + nested()?)?)),
            _ => Some(Spot::Other(attribute)),
        }
    }

    fn element(&self, set: &Set, code: usize) -> Option<String> {
        element_at(set, code).map(|element| element.to_string())
    }

    /// Returns the statement of the rule that an expression came from: its number from 1 and its
    /// text.
    fn statement(&self, origin: &Origin, operation: &Operation, expr: &Expr) -> Option<(usize, String)> {
        let (Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. }) = operation else { return None };
        let program = self.known.lower(rule, operation.table()?).ok()?;
        let index = match origin.part {
            MessagePart::Lookup { expr } => expr,
            _ => program.exprs.iter().position(|other| other == expr)?,
        };
        let statement = *program.statements.get(index)?;
        Some((statement + 1, rule.statements.get(statement)?.to_string()))
    }
}

/// Returns the attribute that contains `offset`, counted from the start of the first.
fn holding(attributes: Attributes<'_>, offset: usize) -> Option<Attribute<'_>> {
    attributes
        .map_while(Result::ok)
        .find(|attribute| attribute.at <= offset && offset < attribute.at + 4 + attribute.value.len())
}

/// Returns the kind and the explanation of an errno for an operation, with the remedy.
fn explain(operation: &Operation, spot: Option<&Spot<'_>>, errno: i32) -> (Kind, String) {
    let name = errno_name(errno);
    if let Some(Spot::Expr(expr)) = spot {
        return explain_expr(expr, errno);
    }
    let kind = Kind::of_errno(errno);
    let text = match (operation, errno) {
        (_, libc::EPERM | libc::EACCES) => match operation.table() {
            Some(table) => format!("table {table} belongs to another program, or CAP_NET_ADMIN is missing ({name})"),
            None => format!("CAP_NET_ADMIN is missing ({name})"),
        },
        (Operation::AddChain { .. }, libc::ENOENT) => match spot {
            Some(Spot::Other(attribute)) if attribute.kind == NFTA_CHAIN_TABLE => {
                format!("no such table; add it first ({name})")
            }
            _ => format!("no such table, or this kernel has no such chain type (CONFIG_NFT_NAT for nat) ({name})"),
        },
        (Operation::AddChain { .. }, libc::EOPNOTSUPP) => {
            format!("this kernel takes no such chain type at that hook and priority ({name})")
        }
        (Operation::AddTable { flags, .. }, libc::EINVAL | libc::EOPNOTSUPP) if flags.contains(TableFlags::OWNER) => {
            let missing = if flags.contains(TableFlags::PERSIST) {
                "tables that stay when their owner goes (Linux 6.9)"
            } else {
                "tables that go with their owner (Linux 5.12)"
            };
            return (Kind::Unsupported, format!("this kernel has no {missing} ({name})"));
        }
        (Operation::AddObject { object, .. }, errno) => return refused_object(object, spot, errno),
        (Operation::AddChain { .. } | Operation::AddSet { .. } | Operation::AddTable { .. }, libc::EEXIST) => {
            format!("{EXISTS} ({name})")
        }
        (
            Operation::DestroyChain(_)
            | Operation::DestroyObject { .. }
            | Operation::DestroyRule { .. }
            | Operation::DestroySet { .. },
            libc::ENOENT,
        ) => format!("no such table; what is in it may be absent, the table may not ({name})"),
        (Operation::AddRule { .. } | Operation::ReplaceRule { .. } | Operation::DeleteRule { .. }, libc::ENOENT) => {
            match spot {
                Some(Spot::Other(attribute)) if attribute.kind == NFTA_RULE_TABLE => format!("no such table ({name})"),
                Some(Spot::Other(attribute)) if attribute.kind == NFTA_RULE_CHAIN => {
                    format!("no such chain; add it in the same transaction or check its name ({name})")
                }
                _ => format!("no such chain or rule handle ({name})"),
            }
        }
        (Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. }, libc::EOPNOTSUPP) => {
            let since = match rule.statements.last() {
                Some(Statement::Reject(_)) => "; at prerouting it is since Linux 5.9",
                _ => "",
            };
            format!("{} is not taken in a chain of this type and hook{since} ({name})", last_statement(rule))
        }
        (Operation::AddRule { .. } | Operation::ReplaceRule { .. }, libc::EMLINK) => {
            format!("its jump makes a loop or goes more than 16 chains deep ({name})")
        }
        (Operation::AddRule { .. } | Operation::ReplaceRule { .. }, libc::EINVAL) => {
            format!("too many expressions (more than 128), or a value this kernel does not take ({name})")
        }
        (Operation::AddElements { .. } | Operation::AddSet { .. }, libc::EEXIST | libc::ENOTEMPTY) => {
            format!("it overlaps or contradicts an element of the set ({name})")
        }
        (Operation::AddElements { .. } | Operation::AddSet { .. }, libc::ENFILE) => {
            format!("the set is full; declare it with a larger size ({name})")
        }
        (_, libc::ENOENT) => format!("there is no such table, chain, set or element ({name})"),
        (_, libc::EBUSY) => {
            format!("it is still in use; delete the rules that use it in the same transaction ({name})")
        }
        (_, errno) => format!("{} ({name})", words(errno)),
    };
    (kind, text)
}

/// Returns the kind and the explanation of an errno for an object that is added.
fn refused_object(object: &Object, spot: Option<&Spot<'_>>, errno: i32) -> (Kind, String) {
    let name = errno_name(errno);
    let kind = object.kind();
    if matches!(spot, Some(Spot::Other(attribute)) if attribute.kind == NFTA_OBJ_TABLE) && errno == libc::ENOENT {
        return (Kind::NotFound, format!("no such table; add it first ({name})"));
    }
    let text = match (&object.content, errno) {
        (ObjectContent::CtHelper(CtHelper { helper, .. }), libc::ENOENT) => format!(
            "this kernel has no helper {}, or none for this protocol and family; load its module (nf_conntrack_{helper}) ({name})",
            Shown(helper)
        ),
        (ObjectContent::Flowtable(_), libc::ENOENT) => {
            format!("there is no such device, or this kernel has no flowtables (CONFIG_NF_FLOW_TABLE) ({name})")
        }
        (ObjectContent::Secmark(_), libc::ENOENT) => {
            format!("this kernel has no secmark, or its security module has no such context ({name})")
        }
        (_, libc::ENOENT) => format!("this kernel has no {kind} objects ({name})"),
        (_, libc::EBUSY | libc::EEXIST) => format!("it exists already and is not the same; delete it first ({name})"),
        (_, errno) => format!("the {kind}: {} ({name})", words(errno)),
    };
    (if errno == libc::ENOENT { Kind::Unsupported } else { Kind::of_errno(errno) }, text)
}

fn explain_expr(expr: &Expr, errno: i32) -> (Kind, String) {
    let name = errno_name(errno);
    let (expression, option) = (expr.name().escape_debug(), kernel_option(expr));
    match (expr, errno) {
        (Expr::Lookup { set: LookupSet::Named(set), .. }, libc::ENOENT) => {
            (Kind::NotFound, format!("there is no set {set} in this table; add it in the same transaction ({name})"))
        }
        (Expr::Verdict(verdict), libc::ENOENT) if verdict.target().is_some() => {
            (Kind::NotFound, format!("there is no such chain in this table; add it in the same transaction ({name})"))
        }
        (Expr::Objref(_) | Expr::FlowOffload(_), libc::ENOENT) if expr.object().is_some() => {
            let object = Shown(expr.object().map_or("", Name::as_str));
            (
                Kind::NotFound,
                format!(
                    "there is no object {object} of that kind in this table; add it in the same transaction ({name})"
                ),
            )
        }
        (_, libc::ENOENT) => {
            (Kind::Unsupported, format!("this kernel has no {expression} expression; it needs {option} ({name})"))
        }
        (_, libc::EOPNOTSUPP) => (
            Kind::Unsupported,
            format!(
                "this kernel does not take the {expression} expression in a chain of this type and hook, or not with these options ({name})"
            ),
        ),
        (_, errno) => (Kind::of_errno(errno), format!("{expression} expression: {} ({name})", words(errno))),
    }
}

fn last_statement(rule: &Rule) -> String {
    rule.statements.last().map_or_else(|| "it".into(), ToString::to_string)
}

fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
    text.to_lowercase()
}

/// Returns the symbol of an errno that nf_tables answers with.
fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EACCES => "EACCES",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::EINVAL => "EINVAL",
        libc::EMLINK => "EMLINK",
        libc::ENFILE => "ENFILE",
        libc::ENOENT => "ENOENT",
        libc::ENOMEM => "ENOMEM",
        libc::ENOTEMPTY => "ENOTEMPTY",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EPERM => "EPERM",
        libc::EPROTO => "EPROTO",
        libc::ERANGE => "ERANGE",
        libc::ERESTART => "ERESTART",
        _ => return format!("errno {errno}"),
    };
    name.into()
}

/// The remedy for an object that exists with another declaration.
const EXISTS: &str = "it exists already and is not the same; delete it in the same transaction";
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Table};

    #[test]
    fn a_kernel_without_owned_tables_is_named_with_the_required_version() {
        let owned = TableFlags::OWNER;
        for (flags, errno, kind, remedy) in [
            (
                owned,
                libc::EINVAL,
                Kind::Unsupported,
                "this kernel has no tables that go with their owner (Linux 5.12) (EINVAL)",
            ),
            (
                owned | TableFlags::PERSIST,
                libc::EOPNOTSUPP,
                Kind::Unsupported,
                "this kernel has no tables that stay when their owner goes (Linux 6.9) (EOPNOTSUPP)",
            ),
            (TableFlags::DORMANT, libc::EINVAL, Kind::Other, "invalid argument (EINVAL)"),
        ] {
            let operation = Operation::add_table(&Table::new(Family::Inet, "t").flags(flags));
            assert_eq!(explain(&operation, None, errno), (kind, remedy.to_owned()));
        }
    }
}
