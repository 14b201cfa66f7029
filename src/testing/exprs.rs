//! Every expression that is no more than its attributes, and the others of the same room, with
//! everything that they can have; and each with one attribute changed.

use crate::bytecode::{
    AnonymousSet, Bytes, CtKey, DynsetCode, Expr, InnerCode, ObjrefMapCode, PayloadBase, Register, SetCode, SocketKey,
    code_table,
};
use crate::model::Name;

/// A type that an attribute can have: a value, and another one.
trait Part: Sized {
    fn sample() -> Self;
    fn other(&self) -> Self;
}

macro_rules! parts {
    ($($type:ty: $sample:expr, $other:expr;)*) => {
        $(
            impl Part for $type {
                fn sample() -> Self {
                    $sample
                }
                fn other(&self) -> Self {
                    let other: fn(&Self) -> Self = $other;
                    other(self)
                }
            }
        )*
    };
}

parts! {
    u8: 1, |value| value ^ 1;
    u16: 1460, |value| value ^ 1;
    u32: 4, |value| if *value == 8 { 4 } else { 8 };
    u64: 1 << 33, |value| value ^ 1;
    Bytes: Bytes::from_slice(&1_u32.to_ne_bytes()), |_| Bytes::from_slice(&2_u32.to_ne_bytes());
    CtKey: CtKey(14), |_| CtKey(15);
    PayloadBase: PayloadBase::NETWORK, |_| PayloadBase::TRANSPORT;
    Register: Register::FIRST, |register| Register(register.0 % 3 + 1);
    SocketKey: SocketKey(3), |_| SocketKey(4);
    Name: "named".into(), |_| "other".into();
}

impl<T: Part> Part for Option<T> {
    fn sample() -> Self {
        Some(T::sample())
    }

    fn other(&self) -> Self {
        self.is_none().then(T::sample)
    }
}

macro_rules! samples {
    ($($doc:literal $variant:ident($code:ident) $name:literal without($($without:ident)*) {
        $($field_doc:literal $field:ident: $type:ty = $attribute:ident $(or $zero:tt)?, $lib:ident;)*
    })*) => {
        fn plain() -> Vec<Expr> {
            vec![$(Expr::$variant(crate::bytecode::$code { $($field: Part::sample()),* }),)*]
        }

        fn plain_changes(expr: &Expr) -> Vec<(&'static str, Expr)> {
            let mut all = Vec::new();
            match expr {
                $(
                    Expr::$variant(code) => {
                        let crate::bytecode::$code { $($field: _),* } = code;
                        $(
                            let mut changed = code.clone();
                            changed.$field = changed.$field.other();
                            all.push((concat!(stringify!($variant), " ", stringify!($field)), Expr::$variant(changed)));
                        )*
                    }
                )*
                _ => {}
            }
            all
        }
    };
}

code_table!(samples);

/// One or several of each kind.
pub(crate) fn all() -> Vec<Expr> {
    use crate::bytecode::*;
    let (r1, r2) = (Register::FIRST, Register::SECOND);
    let data = || Bytes::from_slice(&3_u32.to_ne_bytes());
    let counter = || Expr::Counter { packets: 0, bytes: 0 };
    let set = AnonymousSet {
        code: SetCode { key_len: 4, ..SetCode::default() },
        elements: vec![ElementCode { key: data(), ..ElementCode::default() }],
        order: Vec::new(),
    };
    let dynset = DynsetCode {
        set: "named".into(),
        anonymous: None,
        op: 1,
        key: r1,
        data: None,
        timeout: None,
        exprs: Vec::new(),
        flags: 0,
    };
    let load = Expr::Payload { base: PayloadBase::NETWORK, offset: 9, len: 1, dreg: r1 };
    let mut all = plain();
    // In place these are another expression, or do nothing.
    all.retain(|expr| !matches!(expr, Expr::BitwiseTo(_) | Expr::Combine(_)));
    all.extend([
        Expr::BitwiseTo(BitwiseToCode {
            sreg: r1,
            dreg: r2,
            len: 4,
            mask: Bytes::from_slice(&[0xff; 4]),
            xor: Bytes::from_slice(&[1; 4]),
        }),
        Expr::Shift(ShiftCode { sreg: r1, dreg: r2, op: 1, len: 4, data: data() }),
        Expr::Shift(ShiftCode { sreg: r1, dreg: r1, op: 2, len: 8, data: data() }),
        Expr::Combine(CombineCode { sreg: r1, sreg2: r2, dreg: Register(3), op: 5, len: 4 }),
        Expr::ByteorderTo(ByteorderToCode { sreg: r1, dreg: r2, op: 0, len: 4, size: 2 }),
        Expr::Exthdr(ExthdrCode { dreg: r1, kind: 43, offset: 0, len: 1, flags: 0, op: 0 }),
        Expr::Dup(DupCode { address: None, device: Some(r1) }),
        Expr::Fwd(FwdCode { device: r1, address: None, family: None }),
        Expr::Jhash(JhashCode { sreg: r1, dreg: r2, len: 4, modulus: 7, seed: None, offset: 0 }),
        Expr::Numgen(NumgenCode { dreg: r1, modulus: 2, kind: 0, offset: 0 }),
        Expr::Osf(OsfCode { dreg: r1, ttl: 0, flags: 0 }),
        Expr::Last(LastCode { is_set: 0, msecs: 0 }),
        Expr::Quota(QuotaCode { bytes: 9, flags: 0, consumed: 0 }),
        Expr::Dynset(dynset.clone()),
        Expr::Dynset(DynsetCode { data: Some(r2), timeout: Some(5000), flags: 1, ..dynset.clone() }),
        Expr::Dynset(DynsetCode { exprs: vec![counter()], ..dynset.clone() }),
        Expr::Dynset(DynsetCode {
            exprs: vec![counter(), Expr::Connlimit(ConnlimitCode { count: 3, flags: 1 })],
            op: 0,
            ..dynset.clone()
        }),
        Expr::Dynset(DynsetCode { anonymous: Some(Box::new(set.clone())), set: "__set%d".into(), ..dynset }),
        Expr::ObjrefMap(ObjrefMapCode { sreg: r1, set: "named".into(), anonymous: None }),
        Expr::ObjrefMap(ObjrefMapCode { sreg: r1, set: "__objmap%d".into(), anonymous: Some(Box::new(set)) }),
        Expr::Inner(InnerCode { num: 0, kind: 1, flags: 15, header_size: 8, expr: load.into() }),
    ]);
    all
}

/// Returns changed copies, each with the name of the changed attribute.
pub(crate) fn changes(expr: &Expr) -> Vec<(&'static str, Expr)> {
    let mut all = plain_changes(expr);
    match expr.clone() {
        Expr::Dynset(code) => {
            let DynsetCode { set: _, anonymous: _, op, key: _, data, timeout, exprs: _, flags } = code.clone();
            let mut change = |name, change: &dyn Fn(&mut DynsetCode)| {
                let mut changed = code.clone();
                change(&mut changed);
                all.push((name, Expr::Dynset(changed)));
            };
            change("dynset set", &|code| code.set = "other".into());
            change("dynset anonymous", &|code| {
                code.anonymous = code.anonymous.take().map_or_else(
                    || Some(Box::new(AnonymousSet { code: SetCode::default(), elements: vec![], order: vec![] })),
                    |_| None,
                );
            });
            change("dynset op", &|code| code.op = op ^ 1);
            change("dynset key", &|code| code.key = code.key.other());
            change("dynset data", &|code| code.data = data.other());
            change("dynset timeout", &|code| code.timeout = timeout.other());
            change("dynset exprs", &|code| code.exprs.push(Expr::Counter { packets: 0, bytes: 0 }));
            change("dynset flags", &|code| code.flags = flags ^ 1);
        }
        Expr::Inner(code) => {
            let InnerCode { num, kind, flags, header_size, expr: _ } = code.clone();
            all.push(("inner num", Expr::Inner(InnerCode { num: num.other(), ..code.clone() })));
            all.push(("inner kind", Expr::Inner(InnerCode { kind: kind.other(), ..code.clone() })));
            all.push(("inner flags", Expr::Inner(InnerCode { flags: flags.other(), ..code.clone() })));
            all.push((
                "inner header_size",
                Expr::Inner(InnerCode { header_size: header_size.other(), ..code.clone() }),
            ));
            all.push(("inner expr", Expr::Inner(InnerCode { expr: Expr::Notrack.into(), ..code })));
        }
        Expr::ObjrefMap(code) => {
            let ObjrefMapCode { sreg, set: _, anonymous } = code.clone();
            all.push(("objref map sreg", Expr::ObjrefMap(ObjrefMapCode { sreg: sreg.other(), ..code.clone() })));
            all.push(("objref map set", Expr::ObjrefMap(ObjrefMapCode { set: "other".into(), ..code.clone() })));
            let changed = anonymous.map_or_else(
                || Some(Box::new(AnonymousSet { code: SetCode::default(), elements: vec![], order: vec![] })),
                |_| None,
            );
            all.push(("objref map anonymous", Expr::ObjrefMap(ObjrefMapCode { anonymous: changed, ..code })));
        }
        _ => {}
    }
    all
}
