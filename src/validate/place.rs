//! Where a target is allowed: chain type and hook. The kernel decides this from the base chains
//! that reach a rule, at any depth; tests/validate.rs checks this table against the running kernel.

use crate::model::{ChainType, Field, Hook, NatKind, Statement};

/// A statement or match that the kernel accepts only in some chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// `dnat to ...`.
    Dnat,
    /// A match on whether IPsec decrypted the packet.
    Secpath,
    /// `masquerade`.
    Masquerade,
    /// A match on the operating system that sent a SYN.
    Osf,
    /// `redirect`.
    Redirect,
    /// `reject`.
    Reject,
    /// A match on what fits the packet's route.
    RouteMtu,
    /// A match on the interface before its VRF.
    Sdif,
    /// `snat to ...`.
    Snat,
    /// A match on the receiving socket.
    Socket,
    /// `tproxy to ...`.
    Tproxy,
}

const EVERY_TYPE: &[ChainType] = &[ChainType::Filter, ChainType::Nat, ChainType::Route];

impl Target {
    /// Returns the target of a statement, if it is one that is not allowed everywhere.
    pub(super) fn of(statement: &Statement) -> Option<Self> {
        match statement {
            Statement::Nat(nat) => Some(match nat.kind {
                NatKind::Dnat => Target::Dnat,
                NatKind::Snat => Target::Snat,
            }),
            Statement::Masquerade { .. } => Some(Target::Masquerade),
            Statement::Redirect { .. } => Some(Target::Redirect),
            Statement::Reject(_) => Some(Target::Reject),
            Statement::Tproxy(_) => Some(Target::Tproxy),
            _ => None,
        }
    }

    /// Returns the target of reading a field.
    pub(super) fn of_field(field: Field) -> Option<Self> {
        match field {
            Field::Secpath => Some(Target::Secpath),
            Field::Sdif | Field::Sdifname => Some(Target::Sdif),
            Field::SocketMark | Field::SocketTransparent | Field::SocketWildcard => Some(Target::Socket),
            Field::RtMtu => Some(Target::RouteMtu),
            Field::Osf(_) => Some(Target::Osf),
            Field::SocketCgroup(_) => Some(Target::Socket),
            _ => None,
        }
    }

    /// Returns the types of base chain that may reach it.
    #[must_use]
    pub fn chain_types(self) -> &'static [ChainType] {
        match self {
            Target::Dnat | Target::Masquerade | Target::Redirect | Target::Snat => &[ChainType::Nat],
            Target::Osf | Target::Reject | Target::RouteMtu | Target::Sdif | Target::Secpath => EVERY_TYPE,
            Target::Socket | Target::Tproxy => EVERY_TYPE,
        }
    }

    /// Returns the hooks it may be reached from.
    #[must_use]
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            Target::Dnat | Target::Redirect => &[Hook::Prerouting, Hook::Output],
            // nft_meta_get_validate_xfrm, nft_meta_get_validate_sdif, net/netfilter/nft_meta.c,
            // v6.12
            Target::Secpath => &[Hook::Prerouting, Hook::Input, Hook::Forward],
            // nft_osf_validate, net/netfilter/nft_osf.c, v6.12
            Target::Osf => &[Hook::Prerouting, Hook::Input, Hook::Forward],
            Target::Sdif => &[Hook::Input, Hook::Forward],
            Target::Masquerade => &[Hook::Postrouting],
            Target::Reject => &[Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output],
            Target::RouteMtu => &[Hook::Forward, Hook::Output, Hook::Postrouting],
            Target::Snat => &[Hook::Input, Hook::Postrouting],
            Target::Socket => &[Hook::Prerouting, Hook::Input, Hook::Output],
            Target::Tproxy => &[Hook::Prerouting],
        }
    }

    /// Returns the places in which the kernel accepts it.
    pub(super) fn places(self) -> Places {
        let mut places = Places::NONE;
        for chain_type in self.chain_types() {
            for hook in self.hooks() {
                places = places.with(Places::of(*chain_type, *hook));
            }
        }
        places
    }
}

/// A set of pairs of chain type and hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Places(u16);

const TYPES: [ChainType; 3] = [ChainType::Filter, ChainType::Nat, ChainType::Route];

impl Places {
    pub(super) const NONE: Places = Places(0);

    pub(super) fn of(chain_type: ChainType, hook: Hook) -> Self {
        let row = match chain_type {
            ChainType::Filter => 0,
            ChainType::Nat => 5,
            ChainType::Route => 10,
        };
        Places(1 << (row + hook.number()))
    }

    /// Returns every type at these hooks.
    pub(super) fn at(hooks: &[Hook]) -> Self {
        let pairs = TYPES.iter().flat_map(|chain_type| hooks.iter().map(|hook| Places::of(*chain_type, *hook)));
        pairs.fold(Places::NONE, Places::with)
    }

    pub(super) fn with(self, other: Places) -> Self {
        Places(self.0 | other.0)
    }

    pub(super) fn without(self, other: Places) -> Self {
        Places(self.0 & !other.0)
    }

    pub(super) fn meets(self, other: Places) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the first of them, in the order of types and hooks.
    pub(super) fn first(self) -> Option<(ChainType, Hook)> {
        let pairs = TYPES.into_iter().flat_map(|chain_type| Hook::ALL.into_iter().map(move |hook| (chain_type, hook)));
        pairs.into_iter().find(|(chain_type, hook)| self.meets(Places::of(*chain_type, *hook)))
    }
}

/// Returns the hooks where the interface that the field names is known.
///
/// `NF_INET_LOCAL_OUT` is called without an incoming device, `NF_INET_PRE_ROUTING` and
/// `NF_INET_LOCAL_IN` without an outgoing one (net/ipv4/ip_output.c, net/ipv4/ip_input.c); at
/// postrouting a forwarded packet still has its incoming one (since v5.7).
pub(super) fn interface_known(field: Field) -> Option<&'static [Hook]> {
    match field {
        Field::Iif | Field::Iifname => Some(&[Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Postrouting]),
        Field::Oif | Field::Oifname => Some(&[Hook::Forward, Hook::Output, Hook::Postrouting]),
        _ => None,
    }
}
