//! Named objects: counters, quotas, limits, objects of connection tracking, flowtables.

use std::fmt;
use std::time::Duration;

use crate::model::{
    CtExpectation, CtHelper, CtTimeout, Family, Flowtable, FlowtableFlags, Object, ObjectContent, Statement, Synproxy,
    SynproxyFlags,
};

use super::value::time;
use super::{Style, quoted, table, unknown};

/// Returns the lines of an object in a table of that family; one line, which nft refuses, if it has
/// no form here.
pub(crate) fn lines(family: Family, object: &Object, style: Style<'_>) -> Vec<String> {
    let Object { name: _, content, comment } = object;
    let comment = comment.as_ref().map(|comment| format!("comment {}", quoted(comment)));
    let content = match content {
        ObjectContent::Counter { packets, bytes } => vec![format!("packets {packets} bytes {bytes}")],
        ObjectContent::CtExpectation(expected) => expectation(expected),
        ObjectContent::CtHelper(CtHelper { helper, protocol, family }) => {
            vec![format!("type {} protocol {protocol}", quoted(helper)), format!("l3proto {family}")]
        }
        ObjectContent::CtTimeout(timeout) => timeout_lines(timeout, style),
        ObjectContent::Flowtable(flowtable) => flowtable_lines(family, flowtable),
        // The same words follow the keyword in a rule.
        ObjectContent::Limit(limit) => words("limit ", &Statement::Limit(*limit)),
        ObjectContent::Opaque(read) => vec![unknown(read.name()).to_string()],
        ObjectContent::Quota(quota) => words("quota ", &Statement::Quota(*quota)),
        ObjectContent::Secmark(context) => vec![quoted(context).to_string()],
        ObjectContent::Synproxy(synproxy) => synproxy_lines(synproxy, style),
    };
    comment.into_iter().chain(content).collect()
}

/// Writes an object as a part of a table.
pub(super) fn block(f: &mut fmt::Formatter<'_>, family: Family, object: &Object) -> fmt::Result {
    writeln!(f, "\t{} {} {{", object.kind(), object.name)?;
    lines(family, object, Style::Loadable).iter().try_for_each(|line| writeln!(f, "\t\t{line}"))?;
    f.write_str("\t}\n")
}

fn words(keyword: &str, statement: &Statement) -> Vec<String> {
    let text = statement.to_string();
    vec![text.strip_prefix(keyword).unwrap_or(&text).to_owned()]
}

fn expectation(expected: &CtExpectation) -> Vec<String> {
    let CtExpectation { protocol, dport, timeout, size, family } = expected;
    let timeout = time(Duration::from_millis((*timeout).into()));
    let first = vec![format!("protocol {protocol}"), format!("dport {dport}"), format!("timeout {timeout}")];
    first.into_iter().chain([format!("size {size}"), format!("l3proto {family}")]).collect()
}

fn timeout_lines(timeout: &CtTimeout, style: Style<'_>) -> Vec<String> {
    let CtTimeout { protocol, family, policy: _ } = timeout;
    let states = CtTimeout::states(*protocol).iter().zip(timeout.seconds());
    let changed = states.filter(|((_, usual), seconds)| usual != seconds);
    let policy: Vec<String> = changed.map(|((state, _), seconds)| format!("{state} : {seconds}")).collect();
    let mut lines = vec![format!("protocol {protocol}"), format!("l3proto {family}")];
    // nft lists that nothing is changed in a way that it cannot read.
    if !policy.is_empty() || matches!(style, Style::Listed(_)) {
        lines.push(format!("policy = {{ {} }}", policy.join(", ")));
    }
    lines
}

fn flowtable_lines(family: Family, flowtable: &Flowtable) -> Vec<String> {
    let Flowtable { priority, devices, flags } = flowtable;
    let mut lines = vec![format!("hook ingress priority {}", table::priority(family, "ingress", priority.0))];
    if !devices.is_empty() {
        lines.push(format!("devices = {{ {} }}", devices.join(", ")));
    }
    if flags.contains(FlowtableFlags::OFFLOAD) {
        lines.push("flags offload".to_owned());
    }
    if flags.contains(FlowtableFlags::COUNTER) {
        lines.push("counter".to_owned());
    }
    lines
}

fn synproxy_lines(synproxy: &Synproxy, style: Style<'_>) -> Vec<String> {
    let Synproxy { mss, wscale, flags } = synproxy;
    let named = [(SynproxyFlags::TIMESTAMP, "timestamp"), (SynproxyFlags::SACK_PERM, "sack-perm")];
    let options = named.map(|(flag, name)| if flags.contains(flag) { name } else { "" }).join(" ");
    // nft lists a blank between the two, also if one is missing.
    let options = if matches!(style, Style::Listed(_)) { &options } else { options.trim() };
    let mut lines = vec![format!("mss {}", mss.unwrap_or(0)), format!("wscale {}", wscale.unwrap_or(0))];
    if !flags.is_empty() {
        lines.push(options.to_owned());
    }
    lines
}
