//! The kinds of faults, with the data that describes them. Messages are one line whatever the
//! input: foreign text is escaped by `Shown`.

use std::fmt;

use super::location::List;
use super::place::Target;
use crate::error::Shown;
use crate::model::{ChainType, DataType, DeviceHook, Family, Field, Hook, IfName, Name};

/// What is wrong, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A statement after one that always ends the rule.
    #[error("never runs, because it follows {terminal}, which ends the rule; move it before that")]
    AfterTerminal {
        /// The statement that ends the rule.
        terminal: &'static str,
    },
    /// An address and a family that exclude each other.
    #[error("its address or family is {found}, but packets here are {wanted}")]
    AddressFamily {
        /// The family of the packets.
        wanted: &'static str,
        /// The family of the statement.
        found: &'static str,
    },
    /// A request to merge intervals in a set that has none, or cannot merge them.
    #[error("{fault}")]
    AutoMerge {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A character that nft(8) cannot read back.
    #[error("the {text} holds {character:?}, which nft cannot read back; leave it out")]
    BadCharacter {
        /// Comment or log prefix.
        text: &'static str,
        /// The character.
        character: char,
    },
    /// An interface name that no interface can have.
    #[error("interface name {} {fault}", Shown(.name.as_str()))]
    BadIfName {
        /// The name.
        name: IfName,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A name that nft(8) or the kernel would not accept.
    #[error("the name {fault}")]
    BadName {
        /// The name.
        name: Name,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A prefix longer than the address.
    #[error("prefix length {length} is more than the {width} bits of the address")]
    BadPrefix {
        /// The length given.
        length: u8,
        /// The number of bits in the address.
        width: u8,
    },
    /// A time that the kernel cannot keep.
    #[error("the {what} must be between 1 millisecond and {max}")]
    BadTime {
        /// Timeout or interval.
        what: &'static str,
        /// The longest one allowed.
        max: &'static str,
    },
    /// A chain type at a hook where it does not exist.
    #[error("type {} cannot hook {} ({} hooks: {})", .chain_type.name(), .hook.name(), .chain_type.name(), Hooks(.chain_type.hooks(), ", "))]
    ChainTypeAtHook {
        /// The type.
        chain_type: ChainType,
        /// The hook.
        hook: Hook,
    },
    /// One key with different data.
    #[error("has the key of element {} and other data; keep one of them", .with + 1)]
    DataConflict {
        /// The index of the other element.
        with: usize,
    },
    /// An element of a map without data.
    #[error("has no data, but the elements of a map need {wanted}")]
    DataMissing {
        /// The data it should have.
        wanted: &'static str,
    },
    /// Data of the wrong type, or data in a set.
    #[error("has {found} as data, but should have {wanted}")]
    DataUnexpected {
        /// The data it should have.
        wanted: &'static str,
        /// The data it has.
        found: &'static str,
    },
    /// A name that is already taken.
    #[error("is defined twice; rename one or merge them")]
    Duplicate,
    /// An anonymous set without elements, which can never get any.
    #[error("the anonymous set is empty, so nothing can be in it; leave the match out or use a named set")]
    EmptySet,
    /// A chain of devices without any.
    #[error("it names no device, so that it sees no packet; name one, as nft needs it")]
    NoDevice,
    /// A chain with the same device twice.
    #[error("device {} is named twice; keep one of them", Shown(.device))]
    DeviceTwice {
        /// Its name.
        device: String,
    },
    /// A base chain at a hook that tables of its family do not have, or of a type that is not
    /// there.
    #[error("no chain of type {} hooks {} of family {family} ({})", .chain_type.name(), .hook, HooksOf(*.family))]
    HookNotInFamily {
        /// The type.
        chain_type: ChainType,
        /// The name of the hook.
        hook: &'static str,
        /// The family.
        family: Family,
    },
    /// A field that packets of this family do not have.
    #[error("no packet of an {family} table has {}; use an inet table or another field", .field.name())]
    FieldNotInFamily {
        /// The field.
        field: Field,
        /// Family of the table.
        family: Family,
    },
    /// An interface that is not known where the rule runs.
    #[error("no packet has one at {}{}; {} is known at {}", .hook.name(), Through(.through), .field.name(), Hooks(.known, ", "))]
    InterfaceUnknown {
        /// The field.
        field: Field,
        /// The hook where the rule runs.
        hook: Hook,
        /// The chains from the base chain to this one.
        through: Vec<Name>,
        /// The hooks where it is known.
        known: &'static [Hook],
    },
    /// More than one value in a set of single values.
    #[error("is more than one value, but the set has no intervals; add .interval()")]
    IntervalNotAllowed,
    /// A jump to a base chain, which only the kernel calls.
    #[error("chain {} is a base chain, which only the kernel calls; jump to a regular chain", Shown(.name.as_str()))]
    JumpToBase {
        /// The chain.
        name: Name,
    },
    /// A key of another type than the set's.
    #[error("looks up {found}, but the key of the set is {wanted}")]
    KeyMismatch {
        /// The key of the set.
        wanted: String,
        /// The key that is looked up.
        found: String,
    },
    /// A key with more or fewer parts than the set's.
    #[error("has {found} parts, but the key of the set has {wanted}")]
    KeyParts {
        /// Parts of the set's key.
        wanted: usize,
        /// Parts of this key.
        found: usize,
    },
    /// A key that does not fit in the registers.
    #[error("a key has 1 to 64 bytes, each part padded to 4; this one has {bytes}")]
    KeyWidth {
        /// The bytes.
        bytes: usize,
    },
    /// A rate that the kernel cannot count.
    #[error("{fault}")]
    Limit {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// Log options that exclude each other.
    #[error("{fault}")]
    Log {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// Chains that call each other in a loop.
    #[error("jumps in a circle: {}; remove one of the jumps", List(.cycle))]
    Loop {
        /// The chains of the loop, ending with the first one again.
        cycle: Vec<Name>,
    },
    /// An address translation that is empty or impossible.
    #[error("{fault}")]
    Nat {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A named set of plain numbers.
    #[error("nft has no type for plain numbers in a named set; use an anonymous set in the rule")]
    NamelessType,
    /// An address translation before connection tracking.
    #[error(
        "priority {priority} is not after connection tracking (-200), as type nat requires; use -100 (dstnat) or 100 (srcnat)"
    )]
    NatPriority {
        /// The priority.
        priority: i32,
    },
    /// Ports without a protocol that has ports.
    #[error(
        "ports need a match on a transport protocol before them in the same rule; add .l4proto(Protocol::TCP) first"
    )]
    NeedsTransport,
    /// A match that no packet passes, or that every packet passes.
    #[error("{fault}")]
    NeverMatches {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A lookup of a verdict or a value in a set that has none.
    #[error("set {} has {found} as data, but {wanted} is looked up", Shown(.set.as_str()))]
    NotThatMap {
        /// The set.
        set: Name,
        /// The data that is looked up.
        wanted: &'static str,
        /// The data it has.
        found: &'static str,
    },
    /// Something that tables of this family do not have.
    #[error("{what} does not exist in family {family}; use a table of family {wanted}")]
    NotInFamily {
        /// The keyword, as nft spells it.
        what: &'static str,
        /// Family of the table.
        family: Family,
        /// The families that have it.
        wanted: &'static str,
    },
    /// An object that the kernel does not take.
    #[error("{fault}")]
    Object {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A range or an order of values that have none.
    #[error("{} has no order; compare with a value or a set", .of.name())]
    NotOrderable {
        /// The type.
        of: DataType,
    },
    /// An operand that this operator, field or selector does not accept.
    #[error("{fault}")]
    Operand {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// Two intervals that overlap.
    #[error("overlaps element {}; merge them{}", .with + 1, if *.mergeable { " or use .auto_merge()" } else { "" })]
    Overlap {
        /// The index of the other element.
        with: usize,
        /// Whether the set could merge them.
        mergeable: bool,
    },
    /// Two protocols that no packet has at once.
    #[error("no packet has both {first} and {second}; split the rule")]
    ProtocolConflict {
        /// The protocol that the rule matched earlier.
        first: &'static str,
        /// The protocol that it matches here.
        second: &'static str,
    },
    /// Queue numbers that are impossible.
    #[error("{fault}")]
    Queue {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A raw expression that is none.
    #[error("the raw expression {fault}")]
    RawExpr {
        /// What is wrong, and the remedy.
        fault: String,
    },
    /// A reject reason that cannot be sent for the packets here.
    #[error("{fault}")]
    Reject {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A range that ends before it starts.
    #[error("the range ends before it starts; swap its ends")]
    Reversed,
    /// Flags or times that exclude each other.
    #[error("{fault}")]
    SetFlags {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// More elements than the set can hold.
    #[error("has {elements} elements, but its size is {size}")]
    SizeTooSmall {
        /// Size of the set.
        size: u32,
        /// Different elements.
        elements: usize,
    },
    /// A target in a chain where the kernel does not accept it.
    #[error("{}", NotAllowed(*.target, *.chain_type, *.hook, .through))]
    TargetNotAllowed {
        /// The target.
        target: Target,
        /// Type of a base chain that reaches it.
        chain_type: ChainType,
        /// Hook of that base chain.
        hook: Hook,
        /// The chains on the way, from the base chain to before this one; empty if this is the base
        /// chain.
        through: Vec<Name>,
    },
    /// An element with a timeout in a set without timeouts.
    #[error("has a timeout, but the elements of the set never expire; add .timeout() to the set")]
    TimeoutNotAllowed,
    /// Chains nested deeper than the kernel follows.
    #[error("jumps {} chains deep, and the kernel follows 15: {}", .through.len().saturating_sub(1), List(.through))]
    TooDeep {
        /// The chains, the base chain first.
        through: Vec<Name>,
    },
    /// Text longer than nft(8) accepts.
    #[error("the {text} has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// Comment or log prefix.
        text: &'static str,
        /// Its length.
        bytes: usize,
        /// The maximum length.
        max: usize,
    },
    /// More expressions than a rule can hold.
    #[error("needs {expressions} expressions; a rule holds 128, split it")]
    TooManyExpressions {
        /// The number of expressions it needs.
        expressions: usize,
    },
    /// A transparent proxy without the data it needs.
    #[error("{fault}")]
    Tproxy {
        /// What is wrong, and the remedy.
        fault: &'static str,
    },
    /// A jump to a chain that does not exist.
    #[error("there is no chain {} in the table; define it or correct the name", Shown(.name.as_str()))]
    UnknownChain {
        /// The name.
        name: Name,
    },
    /// The use of an object that does not exist.
    #[error("there is no {kind} {} in the table; define it or correct the name", Shown(.name.as_str()))]
    UnknownObject {
        /// Its kind, as nft spells it.
        kind: &'static str,
        /// The name.
        name: Name,
    },
    /// A lookup in a set that does not exist.
    #[error("there is no set {} in the table; define it or correct the name", Shown(.name.as_str()))]
    UnknownSet {
        /// The name.
        name: Name,
    },
    /// A chain to be recreated some of whose rules could not be read.
    #[error("{rules} of its rules could not be read, so it cannot be made again")]
    Unread {
        /// The number of those rules.
        rules: u32,
    },
    /// A number too large for a field that is part of its bytes.
    #[error("{number} does not fit {bits} bits")]
    TooManyBits {
        /// The number.
        number: u128,
        /// Width of the field.
        bits: u32,
    },
    /// A number too large for its field.
    #[error("{value} does not fit {bytes} bytes")]
    ValueTooLarge {
        /// The number.
        value: u32,
        /// Width of the field.
        bytes: u8,
    },
    /// A value of the wrong type.
    #[error("expected a value of type {}, found {found}", .wanted.name())]
    WrongType {
        /// The type of the field or the key.
        wanted: DataType,
        /// The type of the value.
        found: &'static str,
    },
}

/// The hooks of a family, for an error.
struct HooksOf(Family);

impl fmt::Display for HooksOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices = [DeviceHook::Ingress, DeviceHook::Egress].into_iter();
        let devices = devices.filter(|hook| hook.number(self.0).is_some()).map(DeviceHook::name);
        let names: Vec<&str> = Hook::of(self.0).iter().map(|hook| hook.name()).chain(devices).collect();
        write!(f, "type filter hooks: {}", names.join(", "))
    }
}

struct Hooks(&'static [Hook], &'static str);

impl fmt::Display for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hook) in self.0.iter().enumerate() {
            let between = match index {
                0 => "",
                _ if index + 1 == self.0.len() => self.1,
                _ => ", ",
            };
            write!(f, "{between}{}", hook.name())?;
        }
        Ok(())
    }
}

struct Through<'a>(&'a [Name]);

impl fmt::Display for Through<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            chains => write!(f, " (reached through {})", List(chains)),
        }
    }
}

struct NotAllowed<'a>(Target, ChainType, Hook, &'a [Name]);

impl fmt::Display for NotAllowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotAllowed(target, chain_type, hook, through) = self;
        f.write_str("works only ")?;
        if let [one] = target.chain_types() {
            write!(f, "in type {} ", one.name())?;
        }
        let subject = if through.is_empty() { "this is" } else { "it runs in" };
        write!(f, "at {}, {subject} type {} at {}", Hooks(target.hooks(), " or "), chain_type.name(), hook.name())?;
        Through(through).fmt(f)
    }
}
