// The UDP sockets of a network namespace, one after the other: what udp_diag does not tell of them.
//
// A program of its own, which bpf_iter runs for each socket while its file is read
// (tracer/kernel/iterator.py). It attaches to nothing, and costs nothing but that reading.

#include <uapi/linux/ptrace.h>
#include "events.h"
#include "kernel.h"

// Groups told of a socket; net.ipv4.igmp_max_memberships is 20 where nobody has raised it.
#define MOST_GROUPS 64

#define MCAST_INCLUDE_ 1 // include/uapi/linux/in.h: only the sources that the socket names

// As include/linux/bpf.h and net/ipv4/udp.c have them: part of what the kernel promises.
struct iter_meta {
    void *seq;
    u64 session_id;
    u64 seq_num;
};

struct bpf_iter__udp {
    struct iter_meta *meta;
    void *udp_sk;
    u32 uid;
    int bucket;
};

static __always_inline void write_socket(void *seq, u64 sk) {
    struct wire_listed out = {.kind = LISTED_SOCKET};
    u8 locks = bits_at(sk, OFF_SK_USERLOCKS, SHIFT_SK_USERLOCKS, MASK_SK_USERLOCKS);
    u8 own = bits_at(sk, OFF_SK_KERN_SOCK, SHIFT_SK_KERN_SOCK, MASK_SK_KERN_SOCK);
    u8 share = bits_at(sk, OFF_SKC_REUSEPORT, SHIFT_SKC_REUSEPORT, MASK_SKC_REUSEPORT);
    out.flags = (locks / USERLOCK_ADDR & 1) * SOCKET_ADDR_LOCK |
                (locks / USERLOCK_PORT & 1) * SOCKET_PORT_LOCK | share * SOCKET_REUSEPORT |
                own * SOCKET_KERNEL;
    READ(out.lport, sk + OFF_SKC_NUM);
    READ(out.cookie, sk + OFF_SKC_COOKIE);
    out.inode = read_inode(sk);
    READ(out.group, sk + OFF_SK_REUSEPORT_CB);
    bpf_seq_write(seq, &out, sizeof(out));
}

// Where a struct of one group has what is told of it.
struct group_layout {
    u16 family;
    u32 size; // of the address
    u32 address;
    u32 ifindex;
    u32 mode;
    u32 next;
};

static __always_inline void write_groups(void *seq, u64 node, const struct group_layout at) {
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < MOST_GROUPS; i++) {
        struct wire_listed_group out = {.kind = LISTED_GROUP, .family = at.family};
        u32 mode = 0;
        if (!node)
            return;
        bpf_probe_read_kernel(out.address, at.size, (void *)(node + at.address));
        READ(out.ifindex, node + at.ifindex);
        READ(mode, node + at.mode);
        out.sources = mode == MCAST_INCLUDE_;
        bpf_seq_write(seq, &out, sizeof(out));
        READ(node, node + at.next);
    }
    if (node) {
        struct wire_listed_group more = {.kind = LISTED_MORE};
        bpf_seq_write(seq, &more, sizeof(more));
    }
}

// An AF_INET6 socket may have joined IPv4's groups, too.
static __always_inline void write_groups4(void *seq, u64 sk) {
    const struct group_layout at = {AF_INET_, 4, OFF_MC4_ADDRESS, OFF_MC4_IFINDEX, OFF_MC4_SFMODE,
                                    OFF_MC4_NEXT};
    u64 node = 0;
    READ(node, sk + OFF_INET_MC_LIST);
    write_groups(seq, node, at);
}

static __always_inline void write_groups6(void *seq, u64 sk) {
    const struct group_layout at = {AF_INET6_, 16, OFF_MC6_ADDRESS, OFF_MC6_IFINDEX,
                                    OFF_MC6_SFMODE, OFF_MC6_NEXT};
    u64 pinet6 = 0, node = 0;
    READ(pinet6, sk + OFF_INET_PINET6);
    if (pinet6)
        READ(node, pinet6 + OFF_PINET6_MC_LIST);
    write_groups(seq, node, at);
}

int bpf_iter__udp(struct bpf_iter__udp *ctx) {
    void *seq = ctx->meta->seq;
    u64 sk = (u64)ctx->udp_sk;
    u16 family = 0;
    if (!sk) // the end
        return 0;
    write_socket(seq, sk);
    write_groups4(seq, sk);
    READ(family, sk + OFF_SKC_FAMILY);
    if (family == AF_INET6_)
        write_groups6(seq, sk);
    return 0;
}
