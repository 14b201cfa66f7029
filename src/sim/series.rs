//! Rules that follow each other and differ first in the value that they compare with, so that the
//! next one that can match is found without running those before it.

use std::collections::HashMap;

use super::inputs::{CannotTell, Inputs};
use super::machine::Machine;
use super::rules::{ChainCode, Op, RuleCode};
use crate::bytecode::{CmpOp, Expr, Register};

/// Consecutive rules of a chain that begin alike.
#[derive(Debug)]
pub(crate) struct Series {
    /// Index of the first rule, and of the first one after them.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// The number of expressions before the comparison.
    start: usize,
    sreg: Register,
    length: usize,
    /// The rules that compare with a value, in order.
    by_value: HashMap<Box<[u8]>, Vec<usize>>,
}

impl Series {
    /// Returns all series of a chain, in order.
    pub(crate) fn all(chain: &ChainCode) -> Vec<Series> {
        let mut all: Vec<Series> = Vec::new();
        let mut first = 0;
        while let Some(series) = Series::from(&chain.rules, first) {
            first = series.end;
            if series.end - series.first > 1 {
                all.push(series);
            }
        }
        all
    }

    /// Returns the rules that begin like the one at `first`; `None` if there is none there.
    fn from(rules: &[RuleCode], first: usize) -> Option<Series> {
        let one = rules.get(first)?;
        let alike = |other: &RuleCode| one.ops.iter().zip(other.ops.iter()).take_while(|(a, b)| a == b).count();
        // Where the first two differ; the others have to differ there, or not at all.
        let start = rules.get(first + 1).map_or(0, alike);
        let mut series =
            Series { first, end: first + 1, start, sreg: Register::FIRST, length: 0, by_value: HashMap::new() };
        let Some((sreg, value)) = compared(one, start) else { return Some(series) };
        if !one.ops.iter().take(start).all(only_looks) {
            return Some(series);
        }
        (series.sreg, series.length) = (sreg, value.len());
        series.by_value.entry(value.into()).or_default().push(first);
        while let Some(rule) = rules.get(series.end) {
            match compared(rule, start) {
                Some((register, value)) if register == sreg && value.len() == series.length && alike(rule) >= start => {
                    series.by_value.entry(value.into()).or_default().push(series.end);
                }
                _ => break,
            }
            series.end += 1;
        }
        Some(series)
    }

    /// Returns the index of the next rule, from `at` on, that may match; `None` if only running
    /// them shows it.
    pub(crate) fn next<I: Inputs>(
        &self,
        machine: &mut Machine<'_, I>,
        rule: &RuleCode,
        at: usize,
    ) -> Result<Option<usize>, CannotTell> {
        if !machine.begin(rule, self.start)? {
            return Ok(Some(self.end));
        }
        let Some(value) = machine.only_value(self.sreg, self.length) else { return Ok(None) };
        let next = self.by_value.get(value.as_slice()).and_then(|rules| {
            let place = rules.partition_point(|rule| *rule < at);
            rules.get(place).copied()
        });
        Ok(Some(next.unwrap_or(self.end)))
    }
}

/// Returns the register and the value that a rule compares.
fn compared(rule: &RuleCode, at: usize) -> Option<(Register, &[u8])> {
    match rule.ops.get(at)? {
        Op::Expr(Expr::Cmp { sreg, op: CmpOp::Eq, data }) => Some((*sreg, data)),
        _ => None,
    }
}

/// Returns whether an expression has no effect but on registers.
fn only_looks(op: &Op) -> bool {
    match op {
        Op::Expr(expr) => matches!(
            expr,
            Expr::Bitwise(_)
                | Expr::Byteorder { .. }
                | Expr::ByteorderTo(_)
                | Expr::Cmp { .. }
                | Expr::Ct { .. }
                | Expr::Immediate { .. }
                | Expr::Meta { .. }
                | Expr::Payload { .. }
        ),
        Op::Lookup { .. } | Op::XtAsks(_) | Op::XtLimits(_) | Op::XtLists(_) | Op::XtOwner(_) => false,
    }
}
