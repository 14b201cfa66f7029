//! Equality of programs except for what the kernel counts and rounds: decides whether two rules are
//! the same rule.

use std::hash::{Hash, Hasher};

use super::codes::{DynsetCode, LastCode, LookupSet, ObjrefMapCode, QuotaCode};
use super::elements::{ElementCode, ElementExtras};
use super::expr::Expr;
use super::kept::userdata_comment;
use super::set::{AnonymousSet, NFT_DATA_VERDICT, NFT_SET_ANONYMOUS, SetCode};
use crate::attr::nfta::{NFTA_LAST_MSECS, NFTA_LAST_SET, NFTA_QUOTA_CONSUMED};
use crate::attr::{Attribute, Attributes, Malformed};
use crate::model::Name;

/// The coarsest tick of a kernel in milliseconds (`CONFIG_HZ_100`); the kernel rounds timeouts to
/// ticks.
const TICK: u64 = 10;

/// Returns whether two programs do the same, regardless of their counters.
///
/// ```
/// use nftmesh::bytecode::{NoSets, lower, same_programs};
/// use nftmesh::model::{Family, Rule, Statement};
///
/// let program = |packets| {
///     let rule = Rule::new().tcp_dport(80).statement(Statement::Counter { packets, bytes: 0 }).accept();
///     lower(&rule, Family::Inet, &NoSets).map(|program| program.exprs)
/// };
/// assert!(same_programs(&program(0)?, &program(7)?));
/// # Ok::<(), nftmesh::bytecode::Unlowerable>(())
/// ```
#[must_use]
pub fn same_programs(a: &[Expr], b: &[Expr]) -> bool {
    all_same(a, b, Expr::same)
}

impl Expr {
    /// Returns whether this does the same as `other`, regardless of counters.
    #[must_use]
    pub fn same(&self, other: &Expr) -> bool {
        match (self, other) {
            (Expr::Counter { .. }, Expr::Counter { .. }) => true,
            (
                Expr::Lookup { sreg, dreg, set: LookupSet::Anonymous(set), inverted },
                Expr::Lookup { sreg: sreg2, dreg: dreg2, set: LookupSet::Anonymous(set2), inverted: inverted2 },
            ) => (sreg, dreg, inverted) == (sreg2, dreg2, inverted2) && set.same(set2),
            (Expr::Quota(a), Expr::Quota(b)) => {
                let QuotaCode { bytes, flags, consumed: _ } = a;
                (*bytes, *flags) == (b.bytes, b.flags)
            }
            (Expr::Last(LastCode { is_set: _, msecs: _ }), Expr::Last(_)) => true,
            (Expr::Dynset(a), Expr::Dynset(b)) => {
                let DynsetCode { set, anonymous, op, key, data, timeout, exprs, flags } = a;
                (set, op, key, data, flags) == (&b.set, &b.op, &b.key, &b.data, &b.flags)
                    && within_a_tick(*timeout, b.timeout)
                    && same_sets(anonymous.as_deref(), b.anonymous.as_deref())
                    && same_programs(exprs, &b.exprs)
            }
            (Expr::ObjrefMap(a), Expr::ObjrefMap(b)) => {
                let ObjrefMapCode { sreg, set, anonymous } = a;
                (sreg, set) == (&b.sreg, &b.set) && same_sets(anonymous.as_deref(), b.anonymous.as_deref())
            }
            (Expr::Opaque { name, data, set }, Expr::Opaque { name: name2, data: data2, set: set2 }) => {
                let sets = same_sets(set.as_deref(), set2.as_deref());
                name == name2 && sets && same_attributes(data, data2, counted(name))
            }
            _ => self == other,
        }
    }

    /// Hashes nothing in which two expressions that are the [same](Expr::same) may differ, and most
    /// of what distinguishes others.
    pub(crate) fn hash_same(&self, state: &mut impl Hasher) {
        match self {
            Expr::Counter { .. } | Expr::Last(_) => std::mem::discriminant(self).hash(state),
            Expr::Quota(QuotaCode { bytes, flags, consumed: _ }) => (bytes, flags).hash(state),
            Expr::Dynset(DynsetCode { set, anonymous, op, key, data, timeout: _, exprs, flags }) => {
                (set, op, key, data, flags).hash(state);
                exprs.iter().for_each(|expr| expr.hash_same(state));
                anonymous.iter().for_each(|set| set.hash_same(state));
            }
            Expr::ObjrefMap(ObjrefMapCode { sreg, set, anonymous }) => {
                (sreg, set).hash(state);
                anonymous.iter().for_each(|set| set.hash_same(state));
            }
            Expr::Lookup { sreg, dreg, set: LookupSet::Anonymous(set), inverted } => {
                (sreg, dreg, inverted).hash(state);
                set.hash_same(state);
            }
            Expr::Opaque { name, data, set } => {
                name.hash(state);
                attributes(data).filter(|(kind, _)| !counted(name).contains(kind)).for_each(|part| part.hash(state));
                set.iter().for_each(|set| set.hash_same(state));
            }
            _ => self.hash(state),
        }
    }
}

fn same_sets(a: Option<&AnonymousSet>, b: Option<&AnonymousSet>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Returns the attributes in which the kernel counts what packets did (`enum nft_quota_attributes`,
/// `enum nft_last_attributes`).
fn counted(expr: &str) -> &'static [u16] {
    match expr {
        "quota" => &[NFTA_QUOTA_CONSUMED],
        "last" => &[NFTA_LAST_SET, NFTA_LAST_MSECS],
        _ => &[],
    }
}

/// Returns whether two lists of attributes are the same except for these types.
pub(crate) fn same_attributes(a: &[u8], b: &[u8], but: &[u16]) -> bool {
    let meant = |bytes| attributes(bytes).filter(|(kind, _)| !but.contains(kind));
    a == b || !but.is_empty() && meant(a).eq(meant(b))
}

/// Returns type and bytes of every attribute; one that is cut short has type 0.
pub(crate) fn attributes(all: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    Attributes::new(all).map(|read| match read {
        Ok(Attribute { kind, value, .. }) => (kind, value),
        Err(Malformed { at }) => (0, all.get(at..).unwrap_or_default()),
    })
}

impl AnonymousSet {
    /// Returns whether both have the same contents, except for counters and rounded times.
    ///
    /// Types of key and data and userdata are only for nft(8) to print, and so is the size of a set
    /// that no rule fills. Elements that packets add are not compared.
    #[must_use]
    pub fn same(&self, other: &AnonymousSet) -> bool {
        let kinds = |code: &SetCode| code.flags & !(NFT_SET_ANONYMOUS | NFT_SET_CONSTANT);
        let width = |code: &SetCode| code.data.map(|(kind, width)| (kind == NFT_DATA_VERDICT, width));
        let learns = self.code.flags & NFT_SET_EVAL != 0;
        kinds(&self.code) == kinds(&other.code)
            && width(&self.code) == width(&other.code)
            && self.code.keeps_the_same(&other.code)
            && (!learns || self.code.most() == other.code.most())
            && (learns || all_same(&self.elements, &other.elements, ElementCode::same))
    }

    fn hash_same(&self, state: &mut impl Hasher) {
        if self.code.flags & NFT_SET_EVAL == 0 {
            self.elements.iter().for_each(|element| (&element.key, &element.key_end, &element.data).hash(state));
        }
    }
}

impl SetCode {
    /// Returns whether both declare the same set, with timeouts that may differ by a kernel's tick
    /// (at most 10 ms). Userdata, and attributes that this crate does not understand, are not
    /// compared.
    #[must_use]
    pub fn same(&self, other: &SetCode) -> bool {
        let SetCode { flags, key_type, key_len: _, data, fields: _, size: _, timeout: _, gc_interval: _, .. } = self;
        let SetCode { userdata: _, policy, object: _, exprs: _, opaque: _, .. } = self;
        (flags, key_type, data) == (&other.flags, &other.key_type, &other.data)
            && (self.most(), policy) == (other.most(), &other.policy)
            && self.keeps_the_same(other)
    }

    /// How many elements it may hold. One that rules fill gets a size from the kernel with the
    /// first such rule, when it has none (`nft_dynset_new`, net/netfilter/nft_dynset.c, v6.12).
    fn most(&self) -> Option<u32> {
        let learns = self.flags & NFT_SET_EVAL != 0;
        // nft gives a constant set the size that it has.
        if self.flags & NFT_SET_CONSTANT != 0 {
            return None;
        }
        self.size.or(learns.then_some(0xffff))
    }

    /// Returns whether elements of one set could be in the other, for as long.
    fn keeps_the_same(&self, other: &SetCode) -> bool {
        let SetCode { key_len, fields, timeout, gc_interval, object, exprs, .. } = self;
        (key_len, fields, gc_interval, object) == (&other.key_len, &other.fields, &other.gc_interval, &other.object)
            && within_a_tick(*timeout, other.timeout)
            && same_programs(exprs, &other.exprs)
    }
}

impl ElementCode {
    /// Returns whether both are the same element, with timeouts that may differ by a kernel's tick
    /// (at most 10 ms) and regardless of its counters. Only the comment of userdata is compared.
    #[must_use]
    pub fn same(&self, other: &ElementCode) -> bool {
        self.same_in(other, &[])
    }

    /// Like [`same`](Self::same), in a set that adds `carried` to every element.
    pub(crate) fn same_in(&self, other: &ElementCode, carried: &[Expr]) -> bool {
        let ElementCode { key, key_end, flags, data, timeout, userdata, extras } = self;
        let (mine, theirs) = (Extras::of(extras.as_deref(), carried), Extras::of(other.extras.as_deref(), carried));
        (key, key_end, flags, data) == (&other.key, &other.key_end, &other.flags, &other.data)
            && (*userdata == other.userdata || userdata_comment(userdata) == userdata_comment(&other.userdata))
            && within_a_tick(*timeout, other.timeout)
            && (mine.object, mine.opaque) == (theirs.object, theirs.opaque)
            && same_programs(mine.exprs, theirs.exprs)
    }
}

/// The parts of an element other than its key, including those that its set adds.
struct Extras<'a> {
    exprs: &'a [Expr],
    object: Option<&'a Name>,
    opaque: &'a [u8],
}

impl<'a> Extras<'a> {
    fn of(extras: Option<&'a ElementExtras>, carried: &'a [Expr]) -> Self {
        match extras {
            Some(ElementExtras { exprs, object, opaque }) => {
                let exprs = if exprs.is_empty() { carried } else { exprs };
                Extras { exprs, object: object.as_ref(), opaque }
            }
            None => Extras { exprs: carried, object: None, opaque: &[] },
        }
    }
}

fn within_a_tick(a: Option<u64>, b: Option<u64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.abs_diff(b) < TICK,
        (a, b) => a == b,
    }
}

fn all_same<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

const NFT_SET_CONSTANT: u32 = 0x2;
const NFT_SET_EVAL: u32 = 0x20;

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;
    use crate::bytecode::{Bytes, LimitCode, Register};

    #[test]
    fn counters_and_timeout_rounding_are_ignored_and_all_else_compared() {
        let counter = |packets| Expr::Counter { packets, bytes: 0 };
        assert!(same_programs(&[counter(1), Expr::Notrack], &[counter(2), Expr::Notrack]));
        assert!(!same_programs(&[counter(1)], &[counter(1), Expr::Notrack]));
        assert!(!counter(1).same(&Expr::Notrack));
        let element = |timeout, exprs| ElementCode {
            timeout,
            extras: Some(Box::new(ElementExtras { exprs, ..ElementExtras::default() })),
            ..ElementCode::default()
        };
        assert!(element(Some(1001), vec![counter(1)]).same(&element(Some(1004), vec![counter(9)])));
        assert!(!element(Some(1001), vec![]).same(&element(Some(1011), vec![])));
        assert!(!element(Some(1001), vec![]).same(&element(None, vec![])));
        assert!(element(None, vec![]).same(&ElementCode::default()));
        assert!(!element(None, vec![counter(1)]).same(&ElementCode::default()));
        assert!(element(None, vec![counter(1)]).same_in(&ElementCode::default(), &[counter(0)]));
    }

    #[test]
    fn expressions_have_equal_hashes_exactly_when_they_are_the_same() {
        let hash = |expr: &Expr| {
            let mut hasher = DefaultHasher::new();
            expr.hash_same(&mut hasher);
            hasher.finish()
        };
        let opaque = |name: &str, data: Vec<u8>| Expr::Opaque { name: name.into(), data: data.into(), set: None };
        let attribute = |kind, value: u8| [5, 0, kind, 0, value, 0, 0, 0];
        let quota = |used| opaque("quota", [attribute(1, 7), attribute(NFTA_QUOTA_CONSUMED as u8, used)].concat());
        let lookup = |flags, key: u8, timeout| {
            let element = ElementCode { key: Bytes::from_slice(&[key]), timeout, ..ElementCode::default() };
            let code = SetCode { flags, ..SetCode::default() };
            let set = LookupSet::Anonymous(Box::new(AnonymousSet { code, elements: vec![element], order: vec![] }));
            Expr::Lookup { sreg: Register(1), dreg: None, set, inverted: false }
        };
        let limit = |rate| Expr::Limit(LimitCode { rate, ..LIMIT });
        let cases = [
            (Expr::Counter { packets: 1, bytes: 2 }, Expr::Counter { packets: 3, bytes: 4 }, true),
            (Expr::Counter { packets: 1, bytes: 2 }, Expr::Notrack, false),
            (quota(1), quota(2), true),
            (quota(1), opaque("quota", attribute(1, 8).to_vec()), false),
            (opaque("match", attribute(1, 1).to_vec()), opaque("match", attribute(1, 2).to_vec()), false),
            (lookup(0, 1, Some(1001)), lookup(NFT_SET_ANONYMOUS, 1, Some(1004)), true),
            (lookup(0, 1, None), lookup(0, 2, None), false),
            (lookup(NFT_SET_EVAL, 1, None), lookup(NFT_SET_EVAL, 2, None), true),
            (limit(1), limit(1), true),
            (limit(1), limit(2), false),
        ];
        for (a, b, is_same) in &cases {
            assert_eq!((a.same(b), hash(a) == hash(b)), (*is_same, *is_same), "{a:?} {b:?}");
        }
    }

    const LIMIT: LimitCode = LimitCode { rate: 1, unit: 1, burst: 5, kind: 0, flags: 0 };
}
