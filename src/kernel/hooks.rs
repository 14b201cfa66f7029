//! Reads the functions at the hooks of a network namespace, in the kernel's order:
//! net/netfilter/nfnetlink_hook.c, v6.12.

use super::dump::Dump;
use super::live::Kernel;
use crate::attr::{Attribute, AttributeWriter, Malformed, Message};
use crate::error::{Error, Result};
use crate::model::{ChainId, Family, Hook, IpFamily, TableId};
use crate::state::{HookFunction, HookList, Hooks};

impl Kernel {
    /// Returns the functions at the hooks of IPv4 and IPv6. `None` where the kernel does not list
    /// them: before Linux 5.14, or without `CONFIG_NETFILTER_NETLINK_HOOK`.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn hooks(&mut self) -> Result<Option<Hooks>> {
        let mut hooks = Hooks::default();
        for family in [IpFamily::Ipv4, IpFamily::Ipv6] {
            for hook in Hook::ALL {
                let Some(functions) = self.functions(family, hook)? else { return Ok(None) };
                hooks.lists.push(HookList::new(family, hook, functions));
            }
        }
        Ok(Some(hooks))
    }

    fn functions(&mut self, family: IpFamily, hook: Hook) -> Result<Option<Vec<HookFunction>>> {
        let mut attributes = Vec::new();
        AttributeWriter::new(&mut attributes).be32(NFNLA_HOOK_HOOKNUM, hook.number());
        for _ in 0..MOST_READINGS {
            let mut functions = Vec::new();
            let read = |message: &Message<'_>| {
                if message.kind == HOOK_GET {
                    functions.push(function(message)?);
                }
                Ok(())
            };
            match self.dump_of(HOOK_GET, family.number(), &attributes, read)? {
                Ok(Dump::Whole) => return Ok(Some(functions)),
                Ok(Dump::Interrupted) => {}
                // No such subsystem, or no such list.
                Err(cause) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&cause.raw_os_error()) => {
                    return Ok(None);
                }
                Err(cause) => return Err(Error::io("read the hooks of the kernel", cause)),
            }
        }
        Ok(None)
    }
}

fn function(message: &Message<'_>) -> Result<HookFunction, Malformed> {
    let mut function = HookFunction::default();
    let Some((_, attributes)) = message.netfilter() else { return Err(Malformed { at: 0 }) };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFNLA_HOOK_PRIORITY => {
                function.priority = i32::from_ne_bytes(attribute.need_be32()?.to_ne_bytes());
            }
            NFNLA_HOOK_FUNCTION_NAME => function.name = attribute.text().map(str::to_owned),
            NFNLA_HOOK_MODULE_NAME => function.module = attribute.text().map(str::to_owned),
            NFNLA_HOOK_CHAIN_INFO => function.chain = chain(&attribute)?,
            _ => {}
        }
    }
    Ok(function)
}

/// Returns the base chain of nf_tables; `None` for any other function.
fn chain(info: &Attribute<'_>) -> Result<Option<ChainId>, Malformed> {
    let (mut kind, mut table, mut family, mut name) = (None, None, None, None);
    for part in info.nested() {
        let part = part?;
        match part.kind {
            NFNLA_HOOK_INFO_TYPE => kind = part.be32(),
            NFNLA_HOOK_INFO_DESC => {
                for part in part.nested() {
                    let part = part?;
                    match part.kind {
                        NFNLA_CHAIN_TABLE => table = part.text().map(str::to_owned),
                        NFNLA_CHAIN_FAMILY => family = part.value.first().copied(),
                        NFNLA_CHAIN_NAME => name = part.text().map(str::to_owned),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let (Some(NFNL_HOOK_TYPE_NFTABLES), Some(table), Some(family), Some(name)) = (kind, table, family, name) else {
        return Ok(None);
    };
    let family = [Family::Inet, Family::Ip, Family::Ip6].into_iter().find(|known| known.number() == family);
    Ok(family.map(|family| TableId::new(family, table.as_str()).chain(name.as_str())))
}

/// The number of readings, each interrupted by a commit, after which it gives up.
const MOST_READINGS: usize = 20;
// include/uapi/linux/netfilter/nfnetlink_hook.h
const HOOK_GET: u16 = NFNL_SUBSYS_HOOK << 8;
const NFNL_SUBSYS_HOOK: u16 = 12;
const NFNLA_HOOK_HOOKNUM: u16 = 1;
const NFNLA_HOOK_PRIORITY: u16 = 2;
const NFNLA_HOOK_FUNCTION_NAME: u16 = 4;
const NFNLA_HOOK_MODULE_NAME: u16 = 5;
const NFNLA_HOOK_CHAIN_INFO: u16 = 6;
const NFNLA_HOOK_INFO_DESC: u16 = 1;
const NFNLA_HOOK_INFO_TYPE: u16 = 2;
const NFNLA_CHAIN_TABLE: u16 = 1;
const NFNLA_CHAIN_FAMILY: u16 = 2;
const NFNLA_CHAIN_NAME: u16 = 3;
const NFNL_HOOK_TYPE_NFTABLES: u32 = 1;
