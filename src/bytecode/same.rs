//! Equality of programs up to what the kernel counts and rounds: what makes a rule the same rule.

use super::codes::LookupSet;
use super::elements::{ElementCode, ElementExtras};
use super::expr::Expr;
use super::set::{AnonymousSet, SetCode};

/// The coarsest tick of a kernel in milliseconds (`CONFIG_HZ_100`); a timeout comes back rounded to ticks.
const TICK: u64 = 10;

/// Whether two programs do the same, whatever their counters stand at.
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
    /// Whether this does the same as `other`, whatever the counters stand at.
    #[must_use]
    pub fn same(&self, other: &Expr) -> bool {
        match (self, other) {
            (Expr::Counter { .. }, Expr::Counter { .. }) => true,
            (
                Expr::Lookup { sreg, dreg, set: LookupSet::Anonymous(set), inverted },
                Expr::Lookup { sreg: sreg2, dreg: dreg2, set: LookupSet::Anonymous(set2), inverted: inverted2 },
            ) => (sreg, dreg, inverted) == (sreg2, dreg2, inverted2) && set.same(set2),
            _ => self == other,
        }
    }
}

impl AnonymousSet {
    /// Whether both hold the same, up to counters and rounded times.
    #[must_use]
    pub fn same(&self, other: &AnonymousSet) -> bool {
        self.code.same(&other.code) && all_same(&self.elements, &other.elements, ElementCode::same)
    }
}

impl SetCode {
    /// Whether both declare the same, with timeouts that may be a kernel's tick (at most 10 ms) apart.
    #[must_use]
    pub fn same(&self, other: &SetCode) -> bool {
        let SetCode { flags, key_type, key_len, data, fields, size, timeout, gc_interval, userdata, .. } = self;
        let SetCode { policy, object, exprs, opaque, .. } = self;
        (flags, key_type, key_len, data, fields)
            == (&other.flags, &other.key_type, &other.key_len, &other.data, &other.fields)
            && (size, gc_interval, userdata) == (&other.size, &other.gc_interval, &other.userdata)
            && (policy, object, opaque) == (&other.policy, &other.object, &other.opaque)
            && within_a_tick(*timeout, other.timeout)
            && same_programs(exprs, &other.exprs)
    }
}

impl ElementCode {
    /// Whether both are the same element, with timeouts that may be a kernel's tick (at most 10 ms) apart, whatever counters it
    /// carries stand at.
    #[must_use]
    pub fn same(&self, other: &ElementCode) -> bool {
        let ElementCode { key, key_end, flags, data, timeout, userdata, extras } = self;
        (key, key_end, flags) == (&other.key, &other.key_end, &other.flags)
            && (data, userdata) == (&other.data, &other.userdata)
            && within_a_tick(*timeout, other.timeout)
            && match (extras, &other.extras) {
                (Some(a), Some(b)) => {
                    let ElementExtras { exprs, object, opaque } = &**a;
                    (object, opaque) == (&b.object, &b.opaque) && same_programs(exprs, &b.exprs)
                }
                (a, b) => a.is_none() && b.is_none(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_ticks_make_no_difference_anything_else_does() {
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
        assert!(!element(None, vec![]).same(&ElementCode::default()));
    }
}
