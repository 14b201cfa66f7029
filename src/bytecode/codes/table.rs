//! The table of expressions that are no more than their attributes: each entry defines all
//! properties of one.

/// Passes the table to a macro, which generates the part for its module: the structures
/// (`bytecode/codes`), reading and writing them (`netlink`), and their changes (tests).
///
/// An entry has its documentation, its variant of [`Expr`](crate::bytecode::Expr) with the
/// structure in it, the kernel's name, and its attributes in the order in which libnftnl writes
/// them: their documentation, name, type, number, and libnftnl's number (`own` where libnftnl has
/// none, so that this crate writes the message). One that is `or 0` is not written if it is 0.
/// `without` has the attributes that the kernel reports beside these, empty or 0.
macro_rules! code_table {
    ($with:ident) => {
        $with! {
            "`dreg = (sreg & mask) ^ xor`, from one register to another."
            BitwiseTo(BitwiseToCode) "bitwise" without(NFTA_BITWISE_OP) {
                "Register that is read" sreg: Register = NFTA_BITWISE_SREG, NFTNL_EXPR_BITWISE_SREG;
                "Register that is written" dreg: Register = NFTA_BITWISE_DREG, NFTNL_EXPR_BITWISE_DREG;
                "Length in bytes" len: u32 = NFTA_BITWISE_LEN, NFTNL_EXPR_BITWISE_LEN;
                "Bits that are kept" mask: Bytes = NFTA_BITWISE_MASK, NFTNL_EXPR_BITWISE_MASK;
                "Bits that are flipped afterwards" xor: Bytes = NFTA_BITWISE_XOR, NFTNL_EXPR_BITWISE_XOR;
            }
            "Shifts the bits of a number that is in host order, in words of 4 bytes."
            Shift(ShiftCode) "bitwise" without() {
                "Register that is read" sreg: Register = NFTA_BITWISE_SREG, NFTNL_EXPR_BITWISE_SREG;
                "Register that is written" dreg: Register = NFTA_BITWISE_DREG, NFTNL_EXPR_BITWISE_DREG;
                "1 to the left, 2 to the right (`enum nft_bitwise_ops`)"
                op: u32 = NFTA_BITWISE_OP, NFTNL_EXPR_BITWISE_OP;
                "Length in bytes" len: u32 = NFTA_BITWISE_LEN, NFTNL_EXPR_BITWISE_LEN;
                "Number of bits, as 4 bytes in host order"
                data: Bytes = NFTA_BITWISE_DATA, NFTNL_EXPR_BITWISE_DATA;
            }
            "Combines the bits of two registers; since Linux 6.13."
            Combine(CombineCode) "bitwise" without() {
                "Register that is read" sreg: Register = NFTA_BITWISE_SREG, own;
                "The other register that is read" sreg2: Register = NFTA_BITWISE_SREG2, own;
                "Register that is written" dreg: Register = NFTA_BITWISE_DREG, own;
                "3 and, 4 or, 5 xor (`enum nft_bitwise_ops`)" op: u32 = NFTA_BITWISE_OP, own;
                "Length in bytes" len: u32 = NFTA_BITWISE_LEN, own;
            }
            "Converts numbers between host and network byte order, from one register to another."
            ByteorderTo(ByteorderToCode) "byteorder" without() {
                "Register that is read" sreg: Register = NFTA_BYTEORDER_SREG, NFTNL_EXPR_BYTEORDER_SREG;
                "Register that is written" dreg: Register = NFTA_BYTEORDER_DREG, NFTNL_EXPR_BYTEORDER_DREG;
                "0 to host order, 1 to network order (`enum nft_byteorder_ops`)"
                op: u32 = NFTA_BYTEORDER_OP, NFTNL_EXPR_BYTEORDER_OP;
                "Length in bytes" len: u32 = NFTA_BYTEORDER_LEN, NFTNL_EXPR_BYTEORDER_LEN;
                "Width of one number in bytes" size: u32 = NFTA_BYTEORDER_SIZE, NFTNL_EXPR_BYTEORDER_SIZE;
            }
            "Limits the number of connections, those of a set's element or all."
            Connlimit(ConnlimitCode) "connlimit" without() {
                "Number of connections" count: u32 = NFTA_CONNLIMIT_COUNT, NFTNL_EXPR_CONNLIMIT_COUNT;
                "1: matches above the number (`NFT_CONNLIMIT_F_INV`)"
                flags: u32 = NFTA_CONNLIMIT_FLAGS or 0, NFTNL_EXPR_CONNLIMIT_FLAGS;
            }
            "Loads a property of one direction of the connection."
            CtDirected(CtDirectedCode) "ct" without() {
                "The property" key: CtKey = NFTA_CT_KEY, NFTNL_EXPR_CT_KEY;
                "Destination register" dreg: Register = NFTA_CT_DREG, NFTNL_EXPR_CT_DREG;
                "0 original, 1 reply" direction: u8 = NFTA_CT_DIRECTION, NFTNL_EXPR_CT_DIR;
            }
            "Sets a property of one direction of the connection."
            CtDirectedSet(CtDirectedSetCode) "ct" without() {
                "The property" key: CtKey = NFTA_CT_KEY, NFTNL_EXPR_CT_KEY;
                "0 original, 1 reply" direction: u8 = NFTA_CT_DIRECTION, NFTNL_EXPR_CT_DIR;
                "Source register" sreg: Register = NFTA_CT_SREG, NFTNL_EXPR_CT_SREG;
            }
            "Sends a copy of the packet elsewhere."
            Dup(DupCode) "dup" without() {
                "Register of the address" address: Option<Register> = NFTA_DUP_SREG_ADDR, NFTNL_EXPR_DUP_SREG_ADDR;
                "Register of the interface's index" device: Option<Register> = NFTA_DUP_SREG_DEV, NFTNL_EXPR_DUP_SREG_DEV;
            }
            "Loads from an extension header of IPv6, an option of IPv4, TCP or DCCP, or a chunk of SCTP."
            Exthdr(ExthdrCode) "exthdr" without() {
                "Destination register" dreg: Register = NFTA_EXTHDR_DREG, NFTNL_EXPR_EXTHDR_DREG;
                "Type of the header, option or chunk" kind: u8 = NFTA_EXTHDR_TYPE, NFTNL_EXPR_EXTHDR_TYPE;
                "Offset in it in bytes" offset: u32 = NFTA_EXTHDR_OFFSET, NFTNL_EXPR_EXTHDR_OFFSET;
                "Length in bytes" len: u32 = NFTA_EXTHDR_LEN, NFTNL_EXPR_EXTHDR_LEN;
                "0 header of IPv6, 1 option of TCP, 2 of IPv4, 3 chunk of SCTP, 4 option of DCCP (`enum nft_exthdr_op`)"
                op: u32 = NFTA_EXTHDR_OP or 0, NFTNL_EXPR_EXTHDR_OP;
                "1: loads only whether it is there (`NFT_EXTHDR_F_PRESENT`)"
                flags: u32 = NFTA_EXTHDR_FLAGS or 0, NFTNL_EXPR_EXTHDR_FLAGS;
            }
            "Writes to an option of TCP that is there."
            ExthdrSet(ExthdrSetCode) "exthdr" without(NFTA_EXTHDR_FLAGS) {
                "Source register" sreg: Register = NFTA_EXTHDR_SREG, NFTNL_EXPR_EXTHDR_SREG;
                "Type of the option" kind: u8 = NFTA_EXTHDR_TYPE, NFTNL_EXPR_EXTHDR_TYPE;
                "Offset in it in bytes" offset: u32 = NFTA_EXTHDR_OFFSET, NFTNL_EXPR_EXTHDR_OFFSET;
                "Length in bytes" len: u32 = NFTA_EXTHDR_LEN, NFTNL_EXPR_EXTHDR_LEN;
                "1 option of TCP (`enum nft_exthdr_op`)" op: u32 = NFTA_EXTHDR_OP, NFTNL_EXPR_EXTHDR_OP;
            }
            "Removes an option of TCP: overwrites it with ones that mean nothing."
            ExthdrReset(ExthdrResetCode) "exthdr" without(NFTA_EXTHDR_FLAGS NFTA_EXTHDR_OFFSET NFTA_EXTHDR_LEN) {
                "Type of the option" kind: u8 = NFTA_EXTHDR_TYPE, NFTNL_EXPR_EXTHDR_TYPE;
                "1 option of TCP (`enum nft_exthdr_op`)" op: u32 = NFTA_EXTHDR_OP, NFTNL_EXPR_EXTHDR_OP;
            }
            "Sends the following packets of the connection past the rules."
            FlowOffload(FlowOffloadCode) "flow_offload" without() {
                "The flowtable" table: Name = NFTA_FLOW_TABLE_NAME, NFTNL_EXPR_FLOW_TABLE_NAME;
            }
            "Sends the packet out of another interface."
            Fwd(FwdCode) "fwd" without() {
                "Register of the interface's index" device: Register = NFTA_FWD_SREG_DEV, NFTNL_EXPR_FWD_SREG_DEV;
                "Register of the neighbour's address"
                address: Option<Register> = NFTA_FWD_SREG_ADDR, NFTNL_EXPR_FWD_SREG_ADDR;
                "Family of the address" family: Option<u32> = NFTA_FWD_NFPROTO, NFTNL_EXPR_FWD_NFPROTO;
            }
            "Loads a hash of a register."
            Jhash(JhashCode) "hash" without(NFTA_HASH_TYPE) {
                "Register that is read" sreg: Register = NFTA_HASH_SREG, NFTNL_EXPR_HASH_SREG;
                "Destination register" dreg: Register = NFTA_HASH_DREG, NFTNL_EXPR_HASH_DREG;
                "Length in bytes" len: u32 = NFTA_HASH_LEN, NFTNL_EXPR_HASH_LEN;
                "Number of different results" modulus: u32 = NFTA_HASH_MODULUS, NFTNL_EXPR_HASH_MODULUS;
                "Seed; drawn when the rule is loaded if absent"
                seed: Option<u32> = NFTA_HASH_SEED, NFTNL_EXPR_HASH_SEED;
                "Lowest result" offset: u32 = NFTA_HASH_OFFSET or 0, NFTNL_EXPR_HASH_OFFSET;
            }
            "Loads a hash of the packet that is the same in both directions, seeded by the running kernel."
            Symhash(SymhashCode) "hash" without() {
                "Destination register" dreg: Register = NFTA_HASH_DREG, NFTNL_EXPR_HASH_DREG;
                "Number of different results" modulus: u32 = NFTA_HASH_MODULUS, NFTNL_EXPR_HASH_MODULUS;
                "Lowest result" offset: u32 = NFTA_HASH_OFFSET or 0, NFTNL_EXPR_HASH_OFFSET;
                "1 symmetric (`enum nft_hash_types`)" kind: u32 = NFTA_HASH_TYPE, NFTNL_EXPR_HASH_TYPE;
            }
            "Remembers when it was last met."
            Last(LastCode) "last" without(NFTA_LAST_PAD) {
                "1 if it was met" is_set: u32 = NFTA_LAST_SET or 0, own;
                "Milliseconds since" msecs: u64 = NFTA_LAST_MSECS or 0, own;
            }
            "Loads a number that counts up or is random."
            Numgen(NumgenCode) "numgen" without() {
                "Destination register" dreg: Register = NFTA_NG_DREG, NFTNL_EXPR_NG_DREG;
                "Number of different results" modulus: u32 = NFTA_NG_MODULUS, NFTNL_EXPR_NG_MODULUS;
                "0 counts up, 1 random (`enum nft_ng_types`)" kind: u32 = NFTA_NG_TYPE, NFTNL_EXPR_NG_TYPE;
                "Lowest result" offset: u32 = NFTA_NG_OFFSET or 0, NFTNL_EXPR_NG_OFFSET;
            }
            "Passes the packet to a named object of the table."
            Objref(ObjrefCode) "objref" without() {
                "Kind of the object (`NFT_OBJECT_*`)" kind: u32 = NFTA_OBJREF_IMM_TYPE, NFTNL_EXPR_OBJREF_IMM_TYPE;
                "The object" name: Name = NFTA_OBJREF_IMM_NAME, own;
            }
            "Loads the name of the operating system that sent the SYN, as its options tell."
            Osf(OsfCode) "osf" without() {
                "Destination register" dreg: Register = NFTA_OSF_DREG, NFTNL_EXPR_OSF_DREG;
                "How the TTL is compared: 0 in the local network, 1 at most, 2 not" ttl: u8 = NFTA_OSF_TTL, NFTNL_EXPR_OSF_TTL;
                "1: with the version (`NFT_OSF_F_VERSION`)" flags: u32 = NFTA_OSF_FLAGS or 0, NFTNL_EXPR_OSF_FLAGS;
            }
            "Writes to the packet."
            PayloadSet(PayloadSetCode) "payload" without() {
                "Source register" sreg: Register = NFTA_PAYLOAD_SREG, NFTNL_EXPR_PAYLOAD_SREG;
                "The header that the offset is counted from" base: PayloadBase = NFTA_PAYLOAD_BASE, NFTNL_EXPR_PAYLOAD_BASE;
                "Offset in bytes" offset: u32 = NFTA_PAYLOAD_OFFSET, NFTNL_EXPR_PAYLOAD_OFFSET;
                "Length in bytes" len: u32 = NFTA_PAYLOAD_LEN, NFTNL_EXPR_PAYLOAD_LEN;
                "Checksum that is corrected: 0 none, 1 of the internet, 2 of SCTP (`enum nft_payload_csum_types`)"
                csum_type: u32 = NFTA_PAYLOAD_CSUM_TYPE or 0, NFTNL_EXPR_PAYLOAD_CSUM_TYPE;
                "Offset of the checksum in the header"
                csum_offset: u32 = NFTA_PAYLOAD_CSUM_OFFSET or 0, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET;
                "1: corrects that of the transport protocol too (`NFT_PAYLOAD_L4CSUM_PSEUDOHDR`)"
                csum_flags: u32 = NFTA_PAYLOAD_CSUM_FLAGS or 0, NFTNL_EXPR_PAYLOAD_FLAGS;
            }
            "Queues the packet to user space, to the queue in a register."
            QueueTo(QueueToCode) "queue" without() {
                "Options (`NFT_QUEUE_FLAG_*`)" flags: u16 = NFTA_QUEUE_FLAGS or 0, NFTNL_EXPR_QUEUE_FLAGS;
                "Register of the number" sreg: Register = NFTA_QUEUE_SREG_QNUM, NFTNL_EXPR_QUEUE_SREG_QNUM;
            }
            "Continues until or once so many bytes were met."
            Quota(QuotaCode) "quota" without(NFTA_QUOTA_PAD) {
                "Number of bytes" bytes: u64 = NFTA_QUOTA_BYTES, NFTNL_EXPR_QUOTA_BYTES;
                "Bytes so far" consumed: u64 = NFTA_QUOTA_CONSUMED or 0, NFTNL_EXPR_QUOTA_CONSUMED;
                "1: matches above the number (`NFT_QUOTA_F_INV`)" flags: u32 = NFTA_QUOTA_FLAGS or 0, NFTNL_EXPR_QUOTA_FLAGS;
            }
            "Loads a property of the packet's route."
            Rt(RtCode) "rt" without() {
                "The property (`enum nft_rt_keys`)" key: u32 = NFTA_RT_KEY, NFTNL_EXPR_RT_KEY;
                "Destination register" dreg: Register = NFTA_RT_DREG, NFTNL_EXPR_RT_DREG;
            }
            "Loads an ancestor of the control group of the socket that would receive the packet."
            SocketCgroup(SocketCgroupCode) "socket" without() {
                "3: control group of version 2 (`enum nft_socket_keys`)" key: SocketKey = NFTA_SOCKET_KEY, NFTNL_EXPR_SOCKET_KEY;
                "Destination register" dreg: Register = NFTA_SOCKET_DREG, NFTNL_EXPR_SOCKET_DREG;
                "Depth of the ancestor below the root" level: u32 = NFTA_SOCKET_LEVEL, NFTNL_EXPR_SOCKET_LEVEL;
            }
            "Answers a SYN in place of the receiver."
            Synproxy(SynproxyCode) "synproxy" without() {
                "Maximum segment size" mss: u16 = NFTA_SYNPROXY_MSS or 0, NFTNL_EXPR_SYNPROXY_MSS;
                "Window scale" wscale: u8 = NFTA_SYNPROXY_WSCALE or 0, NFTNL_EXPR_SYNPROXY_WSCALE;
                "Options (`NF_SYNPROXY_OPT_*`)" flags: u32 = NFTA_SYNPROXY_FLAGS or 0, NFTNL_EXPR_SYNPROXY_FLAGS;
            }
            "Loads a property of the tunnel that the packet came through."
            Tunnel(TunnelCode) "tunnel" without() {
                "The property (`enum nft_tunnel_keys`)" key: u32 = NFTA_TUNNEL_KEY, own;
                "Destination register" dreg: Register = NFTA_TUNNEL_DREG, own;
                "0 either way, 1 received, 2 to send (`enum nft_tunnel_mode`)" mode: u32 = NFTA_TUNNEL_MODE or 0, own;
            }
            "Loads a property of the packet's transformation (IPsec)."
            Xfrm(XfrmCode) "xfrm" without() {
                "The property (`enum nft_xfrm_keys`)" key: u32 = NFTA_XFRM_KEY, NFTNL_EXPR_XFRM_KEY;
                "0 received, 1 to send" direction: u8 = NFTA_XFRM_DIR, NFTNL_EXPR_XFRM_DIR;
                "Which of several transformations" spnum: u32 = NFTA_XFRM_SPNUM or 0, NFTNL_EXPR_XFRM_SPNUM;
                "Destination register" dreg: Register = NFTA_XFRM_DREG, NFTNL_EXPR_XFRM_DREG;
            }
        }
    };
}

pub(crate) use code_table;
