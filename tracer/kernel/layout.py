"""Which struct members the probes read, and the definitions made of them for the C source.

Each member's offset comes from the running kernel's BTF: a kernel that moved a member needs no
change here. Members that only some kernels have are marked optional, with the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tracer.errors import StartError
from tracer.kernel.btf import Btf, MissingMember
from tracer.kernel.features import REPORT_IT

# Definition in the C sources (bpf/) -> (struct, member).
MEMBERS = {
    "SKC_DADDR": ("sock_common", "skc_daddr"),
    "SKC_RCV_SADDR": ("sock_common", "skc_rcv_saddr"),
    "SKC_DPORT": ("sock_common", "skc_dport"),
    "SKC_NUM": ("sock_common", "skc_num"),
    "SKC_FAMILY": ("sock_common", "skc_family"),
    "SKC_STATE": ("sock_common", "skc_state"),
    "SKC_BOUND_DEV_IF": ("sock_common", "skc_bound_dev_if"),
    "SKC_PROT": ("sock_common", "skc_prot"),
    "SKC_NET": ("sock_common", "skc_net"),
    "SKC_V6_DADDR": ("sock_common", "skc_v6_daddr"),
    "SKC_V6_RCV_SADDR": ("sock_common", "skc_v6_rcv_saddr"),
    "SKC_COOKIE": ("sock_common", "skc_cookie"),
    "SKC_NODE": ("sock_common", "skc_node"),
    "SK_PROTOCOL": ("sock", "sk_protocol"),
    "SK_UID": ("sock", "sk_uid"),
    "SK_ERR": ("sock", "sk_err"),
    "SK_SOCKET": ("sock", "sk_socket"),
    "SOCKET_SK": ("socket", "sk"),
    "SOCKET_ALLOC_SOCKET": ("socket_alloc", "socket"),
    "SOCKET_ALLOC_INODE": ("socket_alloc", "vfs_inode"),
    "INODE_INO": ("inode", "i_ino"),
    "NET_INUM": ("net", "ns.inum"),
    "NET_HASH_MIX": ("net", "hash_mix"),
    "DEV_IFINDEX": ("net_device", "ifindex"),
    "DEV_NAME": ("net_device", "name"),
    "DEV_NET": ("net_device", "nd_net"),
    "DST_DEV": ("dst_entry", "dev"),
    "RTABLE_IIF": ("rtable", "rt_iif"),
    "SKB_HEAD": ("sk_buff", "head"),
    "SKB_DATA": ("sk_buff", "data"),
    "SKB_TAIL": ("sk_buff", "tail"),
    "SKB_DEV": ("sk_buff", "dev"),
    "SKB_IIF": ("sk_buff", "skb_iif"),
    "SKB_CB": ("sk_buff", "cb"),
    "SKB_DST": ("sk_buff", "_skb_refdst"),
    "SKB_TRANSPORT": ("sk_buff", "transport_header"),
    "SKB_NETWORK": ("sk_buff", "network_header"),
    "INET_PARM_FLAGS": ("inet_skb_parm", "flags"),
    "INET6_PARM_FLAGS": ("inet6_skb_parm", "flags"),
    "TABLE_HASH": ("udp_table", "hash"),
    "TABLE_MASK": ("udp_table", "mask"),
    "HSLOT_HEAD": ("udp_hslot", "head"),
    "HSLOT_COUNT": ("udp_hslot", "count"),
    "BXM_TYPE": ("icmp_bxm", "data.icmph.type"),
    "TASK_LEADER": ("task_struct", "group_leader"),
    "TASK_START": ("task_struct", "start_boottime"),
}

# Read where the kernel has them; the C source tests for the definition.
OPTIONAL = {
    # Since 5.12 a plain u64 that is always set: 3d368ab87cf6 "net: initialize net->net_cookie at
    # netns setup". Before, an atomic that stays 0 until somebody asks for it.
    "NET_COOKIE": ("net", "net_cookie"),
    # Since 6.2 each netns may have a table of its own: 9804985bf27f "udp: Introduce optional
    # per-netns hash table". Before, all share one, which a socket's struct proto points to.
    "NET_UDP_TABLE": ("net", "ipv4.udp_table"),
    "PROTO_UDP_TABLE": ("proto", "h.udp_table"),
    # With CONFIG_NET_L3_MASTER_DEV, without which there are no VRFs either.
    "NET_L3MDEV": ("net", "ipv4.sysctl_udp_l3mdev_accept"),
}

# Bitfields, or what used to be one: read as a byte, then shifted and masked. sk_userlocks became a
# plain u8 in 6.12's series; BTF's bit offset and width tell either form.
BITS = {
    "SKC_IPV6ONLY": ("sock_common", "skc_ipv6only", 1),
    "SKC_REUSEPORT": ("sock_common", "skc_reuseport", 1),
    "SK_USERLOCKS": ("sock", "sk_userlocks", 8),
}

# What `udptrace states` reads besides; no other trace needs it.
STATES_BITS = {"SKC_NET_REFCNT": ("sock_common", "skc_net_refcnt", 1)}

# What the socket iterator (bpf/sockets_iter.c) reads besides; no trace needs it.
ITERATED = {
    "SK_REUSEPORT_CB": ("sock", "sk_reuseport_cb"),
    "INET_MC_LIST": ("inet_sock", "mc_list"),
    "INET_PINET6": ("inet_sock", "pinet6"),
    "PINET6_MC_LIST": ("ipv6_pinfo", "ipv6_mc_list"),
    "MC4_ADDRESS": ("ip_mc_socklist", "multi.imr_multiaddr"),
    "MC4_IFINDEX": ("ip_mc_socklist", "multi.imr_ifindex"),
    "MC4_SFMODE": ("ip_mc_socklist", "sfmode"),
    "MC4_NEXT": ("ip_mc_socklist", "next_rcu"),
    "MC6_ADDRESS": ("ipv6_mc_socklist", "addr"),
    "MC6_IFINDEX": ("ipv6_mc_socklist", "ifindex"),
    "MC6_SFMODE": ("ipv6_mc_socklist", "sfmode"),
    "MC6_NEXT": ("ipv6_mc_socklist", "next"),
}

ITERATED_BITS = {"SK_KERN_SOCK": ("sock", "sk_kern_sock", 1)}


def definitions(btf: Btf) -> dict[str, int]:
    """C definitions of all offsets and sizes. Raises StartError naming a member that is gone."""
    with _known_layout():
        out = _offsets(btf, MEMBERS) | _bits(btf, BITS) | {"SIZE_HSLOT": btf.size("udp_hslot")}
    # Without it the self-test shows that nothing is known of what is pushed.
    out["PUSHED_ARGUMENT"] = btf.argument("icmp_push_reply", "icmp_param") or 0
    with suppress(MissingMember):
        out |= _bits(btf, STATES_BITS)
    for name, (struct, path) in OPTIONAL.items():
        with suppress(MissingMember):
            out[f"OFF_{name}"] = btf.member(struct, path).offset
    return out


def require_states(layout: dict[str, int]) -> None:
    """Raise StartError where the definitions lack what `udptrace states` reads."""
    for name, (struct, path, _) in STATES_BITS.items():
        if f"OFF_{name}" not in layout:
            raise _unknown_layout(f"struct {struct} has no {path}")


def iterator_definitions(btf: Btf) -> dict[str, int]:
    """Those of the probes, and what the socket iterator reads besides. Raises StartError."""
    with _known_layout():
        return definitions(btf) | _offsets(btf, ITERATED) | _bits(btf, ITERATED_BITS)


@contextmanager
def _known_layout() -> Iterator[None]:
    try:
        yield
    except MissingMember as missing:
        raise _unknown_layout(str(missing)) from missing


def _unknown_layout(why: str) -> StartError:
    return StartError(f"this kernel's layout is not one udptrace knows ({why})", REPORT_IT)


def _offsets(btf: Btf, members: dict[str, tuple[str, str]]) -> dict[str, int]:
    return {f"OFF_{name}": btf.member(*member).offset for name, member in members.items()}


def _bits(btf: Btf, fields: dict[str, tuple[str, str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name, (struct, path, plain_width) in fields.items():
        member = btf.member(struct, path)
        out[f"OFF_{name}"] = member.offset
        out[f"SHIFT_{name}"] = member.bit_offset % 8
        out[f"MASK_{name}"] = (1 << (member.bits or plain_width)) - 1
    return out


def charges_memlock(btf: Btf) -> bool:
    """Whether the memory of BPF maps and programs counts against RLIMIT_MEMLOCK.

    It did until 5.11: 80ee81e0403c "bpf: Eliminate rlimit-based memory accounting infra for bpf
    maps" took its struct away.
    """
    try:
        btf.size("bpf_map_memory")
    except MissingMember:
        return False
    return True
