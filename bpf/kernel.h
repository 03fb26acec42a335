/* Reads the kernel's structs into the wire's, through offsets from BTF. No maps: BCC rewrites their
 * use in the main file only. */
#ifndef UDPTRACE_KERNEL_H
#define UDPTRACE_KERNEL_H

#include "events.h"

#define AF_INET_ 2
#define AF_INET6_ 10
#define PROTOCOL_UDP 17
#define USERLOCK_ADDR 4
#define USERLOCK_PORT 8
#define SKC_BYTES (OFF_SKC_NODE + 8) // struct sock_common up to its hash chain's next pointer

// Has the compiler forget what it knows of a value: joined with what comes before, or left out, a
// limit is none for the verifier.
#define OPAQUE(value) asm volatile("" : "+r"(value))

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(from))

// LOAD reads a field of one of the kernel's structs, 0 where the address is none. If programs may
// take an address for a struct's (tracer/kernel/casts.py) it is a load, else the call of a helper,
// which takes ten times as long.
#ifdef CAST
#define AS(type, address) (((const char *(*)(u64, u32))CAST)(address, TYPE_##type))
#define LOAD(to, type, address, offset) ((to) = *(typeof(to) *)(AS(type, address) + (offset)))
#else
#define LOAD(to, type, address, offset) READ(to, (address) + (offset))
#endif

static __always_inline void fill_header(struct wire_header *header, u8 kind, u16 size, u64 now) {
    header->kind = kind;
    header->version = WIRE_VERSION;
    header->size = size;
    header->cpu = bpf_get_smp_processor_id();
    header->time_ns = now;
}

static __always_inline void read_netns(u64 net, u32 *inum, u64 *cookie) {
    LOAD(*inum, NET, net, OFF_NET_INUM);
#ifdef OFF_NET_COOKIE
    LOAD(*cookie, NET, net, OFF_NET_COOKIE);
#else
    *cookie = 0;
#endif
}

static __always_inline void read_task(struct wire_task *task) {
    u64 ids = bpf_get_current_pid_tgid();
    u64 leader = 0;
    task->pid = ids >> 32;
    task->tid = ids;
    task->uid = bpf_get_current_uid_gid();
    task->flags = 0;
    task->start_ns = 0;
    READ(leader, bpf_get_current_task() + OFF_TASK_LEADER);
    READ(task->start_ns, leader + OFF_TASK_START);
    bpf_get_current_comm(task->comm, sizeof(task->comm));
}

static __always_inline u8 bits_at(u64 sk, u32 offset, u32 shift, u32 mask) {
    u8 byte = 0;
    LOAD(byte, SOCK, sk, offset);
    return byte >> shift & mask;
}

// The number ss and /proc/PID/fd show: the inode lies beside struct socket in struct socket_alloc.
static __always_inline u64 read_inode(u64 sk) {
    u64 socket = 0;
    unsigned long inode = 0;
    LOAD(socket, SOCK, sk, OFF_SK_SOCKET);
    LOAD(inode, SOCKET_ALLOC, socket - OFF_SOCKET_ALLOC_SOCKET,
         OFF_SOCKET_ALLOC_INODE + OFF_INODE_INO);
    return inode;
}

// By words: a copy by bytes, which is what memcpy from a char array is, takes four times as long.
static __always_inline void copy_in6(u8 *to, const char *from) {
    ((u64 *)to)[0] = ((const u64 *)from)[0];
    ((u64 *)to)[1] = ((const u64 *)from)[1];
}

// The first SKC_BYTES of `sk`, where they can be read: in `copy`, or where they are.
static __always_inline const char *view_socket(u64 sk, char *copy) {
#ifdef CAST
    return AS(SOCK, sk);
#else
    bpf_probe_read_kernel(copy, SKC_BYTES, (void *)sk);
    return copy;
#endif
}

// `skc` is the view of `sk`. Its netns is for the caller to fill in: that of a walk's sockets is
// known.
static __always_inline void fill_socket(struct wire_socket *out, u64 sk, const char *skc) {
    u8 locks = bits_at(sk, OFF_SK_USERLOCKS, SHIFT_SK_USERLOCKS, MASK_SK_USERLOCKS);
    out->sock = sk;
    out->cookie = *(u64 *)(skc + OFF_SKC_COOKIE);
    out->inode = read_inode(sk);
    out->device = *(u32 *)(skc + OFF_SKC_BOUND_DEV_IF);
    *(u32 *)out->local4 = *(u32 *)(skc + OFF_SKC_RCV_SADDR);
    *(u32 *)out->peer4 = *(u32 *)(skc + OFF_SKC_DADDR);
    copy_in6(out->local6, skc + OFF_SKC_V6_RCV_SADDR);
    copy_in6(out->peer6, skc + OFF_SKC_V6_DADDR);
    out->uid = 0;
    LOAD(out->uid, SOCK, sk, OFF_SK_UID);
    out->lport = *(u16 *)(skc + OFF_SKC_NUM);
    out->pport = bpf_ntohs(*(u16 *)(skc + OFF_SKC_DPORT));
    out->family = *(u16 *)(skc + OFF_SKC_FAMILY);
    out->state = *(u8 *)(skc + OFF_SKC_STATE);
    // Without branches: each would double what the verifier follows in the walk's loop.
    out->flags = (*(u8 *)(skc + OFF_SKC_IPV6ONLY) >> SHIFT_SKC_IPV6ONLY & 1) * SOCKET_V6ONLY |
                 (*(u8 *)(skc + OFF_SKC_REUSEPORT) >> SHIFT_SKC_REUSEPORT & 1) * SOCKET_REUSEPORT |
                 (locks / USERLOCK_ADDR & 1) * SOCKET_ADDR_LOCK |
                 (locks / USERLOCK_PORT & 1) * SOCKET_PORT_LOCK;
    out->pad = 0;
}

static __always_inline void read_socket(struct wire_socket *out, u64 sk) {
    char copy[SKC_BYTES] __attribute__((aligned(8)));
    const char *skc = view_socket(sk, copy);
    fill_socket(out, sk, skc);
    read_netns(*(u64 *)(skc + OFF_SKC_NET), &out->netns, &out->netns_cookie);
}

static __always_inline bool is_udp(u64 sk) {
    u16 protocol = 0, family = 0;
    READ(protocol, sk + OFF_SK_PROTOCOL);
    READ(family, sk + OFF_SKC_FAMILY);
    return protocol == PROTOCOL_UDP && (family == AF_INET_ || family == AF_INET6_);
}

#endif
