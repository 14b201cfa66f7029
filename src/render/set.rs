//! Sets, maps and verdict maps with their elements, in the order and with the line breaks of nft.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use crate::model::{
    DataType, Element, ElementData, Field, Interval, Key, Selector, Set, SetData, SetFlags, SetPolicy, SetRef,
    Statement, Value,
};

use super::order::{Neighbours, after_all_others, as_given, ascending, backwards, is_concat};
use super::value::{Bits, hexadecimal, numeric, time};
use super::{Style, Text, joined, quoted};

/// Prints the set as in a table, with its elements.
impl Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        block(f, self, None, &Notes::new(Style::Loadable))
    }
}

/// What the running system knows of a set, and how the set was declared.
pub(crate) struct Notes<'a> {
    pub(crate) style: Style<'a>,
    /// `type ...` or `typeof ...`, if the declaration is known.
    pub(crate) declaration: Option<String>,
    /// Whether the set is optimised for memory.
    pub(crate) in_memory: bool,
    /// The statements that every element carries, `counter`.
    pub(crate) carries: Vec<String>,
    pub(crate) elements: BTreeMap<&'a Key, Note>,
    /// Printed after the elements: the catch-all element, and elements that this crate does not
    /// know.
    pub(crate) others: Vec<String>,
}

impl<'a> Notes<'a> {
    pub(crate) fn new(style: Style<'a>) -> Self {
        Notes {
            style,
            declaration: None,
            in_memory: false,
            carries: Vec::new(),
            elements: BTreeMap::new(),
            others: Vec::new(),
        }
    }
}

pub(super) fn keyword(set: &Set) -> &'static str {
    match set.data {
        SetData::None => "set",
        SetData::Concat(_) | SetData::Interval(_) => "map",
        SetData::Object(_) | SetData::Value(_) | SetData::Verdict => "map",
    }
}

/// Writes the lines of a set in a table, with its handle when it is known.
pub(super) fn block(f: &mut fmt::Formatter<'_>, set: &Set, handle: Option<u64>, notes: &Notes<'_>) -> fmt::Result {
    writeln!(f, "\t{} {} {{{}", keyword(set), set.name, super::table::handle(handle))?;
    for property in noted(set, notes) {
        writeln!(f, "\t\t{property}")?;
    }
    if !set.elements.is_empty() || !notes.others.is_empty() {
        let (sorted, (place, others)) = in_order(set, notes);
        writeln!(
            f,
            "\t\telements = {}",
            braced(&sorted, (place, &others), Some(per_line(&set.key)), |f, element| {
                noted_element(element, notes).fmt(f)
            })
        )?;
    }
    f.write_str("\t}\n")
}

/// Returns the elements in nft's order, and what else is listed at which index.
fn in_order<'s>(set: &'s Set, notes: &'s Notes<'_>) -> (Vec<Cow<'s, Element>>, (usize, Vec<String>)) {
    let is_listed = matches!(notes.style, Style::Listed(_));
    let intervals = set.flags.contains(SetFlags::INTERVAL);
    let sorted = match (is_listed, intervals) {
        (true, true) if is_concat(&set.elements) => as_given(&set.elements),
        (_, true) => {
            let merged = set.flags.contains(SetFlags::AUTO_MERGE);
            ascending(&set.elements, if merged { Neighbours::Merged } else { Neighbours::Apart })
        }
        (_, false) => backwards(&set.elements, &set.key, is_listed),
    };
    // The element for every other key is placed as in a listing.
    let (all_others, sorted): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|element| element.key.parts().is_empty());
    let tail = if intervals { 0 } else { after_all_others(&sorted, &set.key) };
    let place = sorted.len() - tail;
    let all_others = all_others.iter().map(|element| noted_element(element, notes).to_string());
    (sorted, (place, all_others.chain(notes.others.iter().cloned()).collect()))
}

/// Returns an element with what is known of it.
fn noted_element<'a>(element: &'a Element, notes: &'a Notes<'_>) -> impl Display + 'a {
    static BARE: Note = Note { carries: Vec::new(), expires: None };
    listed(element, notes.elements.get(&element.key).unwrap_or(&BARE), notes.style)
}

/// Returns each element in nft's order, as nft lists it.
#[cfg(feature = "json")]
pub(super) fn elements(set: &Set, notes: &Notes<'_>) -> Vec<String> {
    let (sorted, (place, others)) = in_order(set, notes);
    let mut texts: Vec<String> = sorted.iter().map(|element| noted_element(element, notes).to_string()).collect();
    texts.splice(place..place, others);
    texts
}

/// Returns the properties of a set, which precede its elements, in the order of nft.
pub(super) fn properties(set: &Set) -> Vec<String> {
    noted(set, &Notes::new(Style::Loadable))
}

pub(super) fn noted(set: &Set, notes: &Notes<'_>) -> Vec<String> {
    let Set { name: _, key, data, flags, timeout, gc_interval, size, policy, statements, comment, .. } = set;
    // nft stores times in milliseconds, and omits a time of zero.
    let some_time = |duration: &Duration| duration.as_millis() > 0;
    if let Some(opaque) = &set.opaque {
        return vec![format!("opaque {}", opaque.name())];
    }
    let mut lines = vec![notes.declaration.clone().unwrap_or_else(|| declaration(key, data))];
    if (notes.in_memory || *policy == SetPolicy::Memory) && !flags.contains(SetFlags::CONSTANT) {
        lines.push("policy memory".to_owned());
    }
    if let Some(size) = size.filter(|_| !flags.contains(SetFlags::CONSTANT)) {
        lines.push(format!("size {size}"));
    }
    let timeout = timeout.filter(some_time);
    let listed = SetFlags::CONSTANT | SetFlags::DYNAMIC | SetFlags::INTERVAL;
    if flags.intersects(listed) || flags.contains(SetFlags::TIMEOUT) && timeout.is_none() {
        lines.push(format!("flags {flags}"));
    }
    lines.extend(statements.iter().map(|statement| match statement {
        Statement::Counter { .. } => "counter".to_owned(),
        statement => statement.to_string(),
    }));
    lines.extend(notes.carries.iter().cloned());
    if flags.contains(SetFlags::AUTO_MERGE) {
        lines.push("auto-merge".to_owned());
    }
    if let Some(timeout) = timeout {
        lines.push(format!("timeout {}", time(timeout)));
    }
    if let Some(interval) = gc_interval.filter(some_time) {
        lines.push(format!("gc-interval {}", time(interval)));
    }
    if let Some(comment) = comment {
        lines.push(format!("comment {}", quoted(comment)));
    }
    lines
}

/// Returns `type ...`, or `typeof ...` with a field of each type, because nft has no syntax for
/// the width of an integer.
fn declaration(key: &[DataType], data: &SetData) -> String {
    let data_types = types_of(data);
    // `type time` is a time span.
    let nameless =
        |data: &DataType| matches!(data, DataType::Date | DataType::Integer { .. } | DataType::NetworkInteger { .. });
    let by_field = key.iter().chain(data_types).any(nameless);
    let name = |data: &DataType| if by_field { field(*data) } else { data.name().into() };
    let names = |types: &[DataType]| types.iter().map(name).collect::<Vec<_>>().join(" . ");
    let key = names(key);
    let word = if by_field { "typeof" } else { "type" };
    match data {
        SetData::None => format!("{word} {key}"),
        SetData::Concat(_) | SetData::Value(_) => format!("{word} {key} : {}", names(data_types)),
        SetData::Interval(_) => format!("{word} {key} : interval {}", names(data_types)),
        SetData::Object(kind) => format!("{word} {key} : {}", kind.name()),
        SetData::Verdict => format!("{word} {key} : verdict"),
    }
}

/// Returns the types of what elements map to.
pub(super) fn types_of(data: &SetData) -> &[DataType] {
    match data {
        SetData::Concat(types) | SetData::Interval(types) => types,
        SetData::Value(data) => std::slice::from_ref(data),
        SetData::None | SetData::Object(_) | SetData::Verdict => &[],
    }
}

/// Returns a field of that type, for `typeof`; bytes of a header if there is none.
fn field(data: DataType) -> Cow<'static, str> {
    let usual = match data {
        DataType::Date => Some("meta time"),
        DataType::Ifindex => Some("iif"),
        DataType::Ifname => Some("iifname"),
        DataType::Ipv4 => Some("ip saddr"),
        DataType::Ipv6 => Some("ip6 saddr"),
        DataType::Nfproto => Some("meta nfproto"),
        DataType::Port => Some("tcp dport"),
        DataType::Protocol => Some("meta l4proto"),
        DataType::Integer { bytes: 1 } => Some("socket transparent"),
        DataType::Integer { bytes: 2 } => Some("ct zone"),
        DataType::Integer { bytes: 4 } => Some("meta length"),
        DataType::NetworkInteger { bytes: 1 } => Some("ip ttl"),
        DataType::NetworkInteger { bytes: 2 } => Some("ip length"),
        DataType::NetworkInteger { bytes: 4 } => Some("tcp sequence"),
        _ => None,
    };
    let any = || Field::ALL.iter().find(|field| field.data_type() == data).map(|field| field.name());
    usual.or_else(any).map_or_else(|| format!("@nh,0,{}", 8 * data.bytes()).into(), Cow::Borrowed)
}

/// Prints the flags that nft knows, in its order; `auto-merge` is on a separate line.
impl Display for SetFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            (SetFlags::CONSTANT, "constant"),
            (SetFlags::DYNAMIC, "dynamic"),
            (SetFlags::INTERVAL, "interval"),
            (SetFlags::TIMEOUT, "timeout"),
        ];
        joined(f, named.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name), ",")
    }
}

/// Prints `@name`, or all elements on one line.
impl Display for SetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        set_ref(self, Style::Loadable).fmt(f)
    }
}

pub(super) fn set_ref<'a>(set: &'a SetRef, style: Style<'a>) -> impl Display + 'a {
    looked_up(set, (Vec::new(), Vec::new()), style)
}

/// Returns a set whose key is compared with these fields: bytes by their place are compared with
/// numbers in hexadecimal.
pub(super) fn set_of<'a>(selector: &Selector, set: &'a SetRef, style: Style<'a>) -> impl Display + 'a {
    let raw = match selector {
        // nft takes what is computed for plain numbers.
        Selector::Bits(_) => Vec::new(),
        _ => selector.parts().iter().map(is_raw).collect(),
    };
    looked_up(set, (raw, selector.key().collect()), style)
}

/// Returns a map that is asked for these fields: bytes by their place are hexadecimal only among
/// others.
pub(super) fn map_of<'a>(selector: &Selector, map: &'a SetRef, style: Style<'a>) -> impl Display + 'a {
    let raw = match selector {
        Selector::Concat(parts) => parts.iter().map(is_raw).collect(),
        Selector::Bits(_) | Selector::Field(_) | Selector::Hash(_) => Vec::new(),
    };
    looked_up(map, (raw, selector.key().collect()), style)
}

/// Returns whether it is bytes by their place, or computed from these.
pub(super) fn is_raw(selector: &Selector) -> bool {
    match selector {
        Selector::Bits(bits) => is_raw(&bits.of),
        Selector::Field(field) => matches!(field, Field::Payload(_)),
        Selector::Concat(_) | Selector::Hash(_) => false,
    }
}

fn looked_up<'a>(set: &'a SetRef, (raw, key): (Vec<bool>, Vec<DataType>), style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| match set {
        SetRef::Named(name) => write!(f, "@{name}"),
        SetRef::Anonymous(elements) => {
            let intervals = elements.iter().any(|element| element.key.is_interval());
            let sorted = match (style, intervals) {
                (Style::Listed(_), true) if is_concat(elements) => as_given(elements),
                (_, true) => {
                    let merged = ascending(elements, Neighbours::Merged);
                    // nft reads a set of one interval as that, and lists what was several so.
                    let is_one = merged.len() == 1 && elements.len() > 1 && !matches!(style, Style::Listed(_));
                    if is_one { as_given(elements) } else { merged }
                }
                (_, false) => backwards(elements, &key, matches!(style, Style::Listed(_))),
            };
            let one = |f: &mut fmt::Formatter<'_>, element: &Element| {
                listed_with(element, &raw, &Note::default(), style).fmt(f)
            };
            let (others, mut sorted): (Vec<_>, Vec<_>) =
                sorted.into_iter().partition(|element| element.key.parts().is_empty());
            let tail = if intervals { 0 } else { after_all_others(&sorted, &key) };
            let place = sorted.len() - tail;
            sorted.splice(place..place, others);
            braced(&sorted, (0, &[]), None, one).fmt(f)
        }
    })
}

/// Returns elements in braces, with others inserted at an index, and `per_line` on a line or all
/// on one.
pub(super) fn braced<'a>(
    elements: &'a [Cow<'a, Element>],
    (place, others): (usize, &'a [String]),
    per_line: Option<usize>,
    one: impl Fn(&mut fmt::Formatter<'_>, &Element) -> fmt::Result + 'a,
) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        f.write_str("{ ")?;
        let (before, after) = elements.split_at(place.min(elements.len()));
        let before = before.iter().map(|element| Ok(&**element));
        let after = after.iter().map(|element| Ok(&**element));
        for (index, item) in before.chain(others.iter().map(Err)).chain(after).enumerate() {
            match per_line {
                _ if index == 0 => {}
                Some(count) if index % count == 0 => f.write_str(",\n\t\t\t     ")?,
                Some(_) | None => f.write_str(", ")?,
            }
            match item {
                Ok(element) => one(f, element)?,
                Err(other) => f.write_str(other)?,
            }
        }
        f.write_str(" }")
    })
}

/// Returns how many elements nft writes on a line (`calculate_delim`, src/expression.c, v1.0.6).
fn per_line(key: &[DataType]) -> usize {
    use DataType::{
        AddrType, Boolean, Date, Day, Devgroup, Dscp, Duration, Ecn, EtherAddr, EtherType, Hour, IcmpCode, IcmpType,
        Icmpv6Code, Icmpv6Type, IfaceType, Ifname, IgmpType, Ipv6, Realm, Text,
    };
    match key {
        [DataType::CtState | DataType::CtStatus | DataType::Ipv4 | DataType::PktType] => 2,
        [AddrType | Boolean | Date | Day | Devgroup | Dscp | Duration | Ecn | EtherAddr | EtherType | Hour] => 1,
        [IcmpCode | IcmpType | Icmpv6Code | Icmpv6Type | IfaceType | Ifname | IgmpType | Ipv6 | Realm | Text] => 1,
        [_] => 5,
        [] | [_, _, ..] => 1,
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        listed(self, &Note::default(), Style::Loadable).fmt(f)
    }
}

/// What the running system knows of an element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    /// What it carries, such as `counter packets 1 bytes 2`.
    pub(crate) carries: Vec<String>,
    /// The time until it expires.
    pub(crate) expires: Option<Duration>,
}

impl Note {
    pub(crate) fn is_empty(&self) -> bool {
        let Note { carries, expires } = self;
        carries.is_empty() && expires.is_none()
    }
}

pub(super) fn listed<'a>(element: &'a Element, note: &'a Note, style: Style<'a>) -> impl Display + 'a {
    listed_with(element, &[], note, style)
}

/// Returns an element; the parts of its key for which `raw` holds are in hexadecimal.
fn listed_with<'a>(element: &'a Element, raw: &'a [bool], note: &'a Note, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let Element { key, data, timeout, .. } = element;
        match key.parts() {
            [] => f.write_str("*")?,
            parts => {
                let is_raw = |index: usize| raw.get(index).copied().unwrap_or_default();
                let part = |(index, part): (usize, &'a Interval)| {
                    Text(move |f: &mut fmt::Formatter<'_>| match (is_raw(index), part) {
                        (true, Interval { low, high }) if low == high => hexadecimal(low).fmt(f),
                        (true, Interval { low, high }) => write!(f, "{}-{}", hexadecimal(low), hexadecimal(high)),
                        (false, part) => style.interval(part).fmt(f),
                    })
                };
                joined(f, parts.iter().enumerate().map(part), " . ")?;
            }
        }
        element.statements().iter().try_for_each(|carried| write!(f, " {carried}"))?;
        note.carries.iter().try_for_each(|carried| write!(f, " {carried}"))?;
        if let Some(timeout) = timeout.filter(|timeout| timeout.as_millis() > 0) {
            write!(f, " timeout {}", time(timeout))?;
        }
        if let Some(expires) = note.expires {
            write!(f, " expires {}", time(expires))?;
        }
        if let Some(comment) = element.get_comment() {
            write!(f, " comment {}", quoted(comment))?;
        }
        match data.as_deref() {
            Some(ElementData::Object(name)) => write!(f, " : {}", quoted(name.as_str())),
            Some(ElementData::Several(key)) => write!(f, " : {key}"),
            // nft joins the names of several bits in keys alone.
            Some(ElementData::Value(value))
                if matches!(style, Style::Listed(_))
                    && Bits::of(value).is_some_and(|bits| bits.value.count_ones() != 1) =>
            {
                write!(f, " : {:#x}", Bits::of(value).map_or(0, |bits| bits.value))
            }
            Some(ElementData::Value(value)) => write!(f, " : {}", style.interval(&Interval::point(value.clone()))),
            Some(ElementData::Verdict(verdict)) => write!(f, " : {verdict}"),
            None => Ok(()),
        }
    })
}

impl Style<'_> {
    /// Replaces an interface index with its name, where known and wanted.
    pub(super) fn named<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        match (self, value) {
            (Style::Listed(known), Value::Ifindex(index)) => match known.interfaces.get(index) {
                Some(name) => Cow::Owned(Value::Ifname(name.as_str().into())),
                None => Cow::Borrowed(value),
            },
            (Style::InTable(_) | Style::Loadable | Style::Listed(_), value) => Cow::Borrowed(value),
        }
    }

    /// Returns the interval as an element; for names in sets, nft does not mark which asterisk is
    /// a wildcard.
    fn interval<'v>(&self, interval: &'v Interval) -> Cow<'v, Interval> {
        if let (Style::Listed(_), Value::Ifname(name)) = (self, &interval.low) {
            let shown = || Interval::point(Value::Ifname(name.compared().into_owned().into()));
            return if name.prefix().is_some() { Cow::Borrowed(interval) } else { Cow::Owned(shown()) };
        }
        match (self.named(&interval.low), self.named(&interval.high)) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(interval),
            (low, high) => Cow::Owned(Interval { low: low.into_owned(), high: high.into_owned() }),
        }
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, self.parts(), " . ")
    }
}

/// Returns the prefix length of an interval of marks, as for addresses.
fn mark_prefix(interval: &Interval) -> Option<u8> {
    let address = |value: &Value| match value {
        Value::Mark(mark) => Some(Value::Ipv4((*mark).into())),
        _ => None,
    };
    Interval { low: address(&interval.low)?, high: address(&interval.high)? }.prefix_len()
}

/// Prints one value, a prefix where possible, or a range.
impl Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval { low, high } = self;
        match self.prefix_len().or_else(|| mark_prefix(self)) {
            _ if low == high => low.fmt(f),
            Some(length) => write!(f, "{low}/{length}"),
            None => write!(f, "{}-{}", numeric(low), numeric(high)),
        }
    }
}
