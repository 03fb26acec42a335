// The probes: connects, binds, closes, errors told, lookups that miss and the ICMP they cause.
//
// No kernel header is included: OFF_* definitions come from the running kernel's BTF
// (tracer/kernel/layout.py), fields are read with bpf_probe_read_kernel. Every probe runs in any
// context; only those of system calls (connect, bind, close) may look at the current task.

#include <uapi/linux/ptrace.h>
#include "events.h"
#include "kernel.h"
#include "packet.h"

#define ICMP_UNREACHABLE 3
#define ICMP_CODE_PORT 3
#define ICMP_CODE_FRAG_NEEDED 4
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_CODE_PORT 4
#define ICMPV6_TOO_BIG 2
#define LOOPBACK_IFINDEX 1
#define RESTREAM_NS 1000000000ULL // evidence of a repeated miss is renewed once a second
#define GENERATIONS 4096          // power of two
#define MISS_KEYS 16384

BPF_RINGBUF_OUTPUT(events, 256); // pages: 1 MiB
BPF_PERCPU_ARRAY(losses, u64, LOSS_KINDS);
BPF_TABLE("hash", struct miss_key, struct miss_count, misses, MISS_KEYS);
BPF_ARRAY(generations, u32, GENERATIONS);
// --direction in: the namespaces whose misses are wanted, and whether only these are.
BPF_HASH(targets, u32, u8, 1024);
BPF_ARRAY(only_targets, u32, 1);
// The one UDP hash table of kernels before 6.2, learnt from the first socket that connects.
BPF_ARRAY(global_table, u64, 1);

// ---- losses -------------------------------------------------------------------------------------

static __always_inline void count_loss(int kind) {
    u64 *counter = losses.lookup(&kind);
    if (counter)
        *counter += 1;
}

// ---- generations: has anything on this netns and port changed since? ------------------------------

static __always_inline u32 generation_slot(u32 netns, u16 port) {
    return (netns * 31 + port) & (GENERATIONS - 1);
}

static __always_inline void bump_generation(u32 netns, u16 port) {
    u32 slot = generation_slot(netns, port);
    u32 *generation = generations.lookup(&slot);
    if (generation)
        __sync_fetch_and_add(generation, 1);
}

static __always_inline u32 read_generation(u32 netns, u16 port) {
    u32 slot = generation_slot(netns, port);
    u32 *generation = generations.lookup(&slot);
    return generation ? *generation : 0;
}

// ---- calls that set a four-tuple --------------------------------------------------------------------

// Keyed by function as well: a connect() on an AF_INET6 socket can nest the IPv4 one in a thread.
struct inflight_key {
    u64 thread;
    u32 kind;
    u32 pad;
};

struct inflight {
    u64 entered_ns;
    u64 sk;
    u16 requested_family;
    u16 requested_port;
    u8 requested_addr[16];
    u32 pad;
    struct wire_socket before;
};

BPF_HASH(inflight, struct inflight_key, struct inflight, 4096);

// struct sockaddr_in and sockaddr_in6 (include/uapi/linux): family, port, then the address.
static __always_inline void read_requested(struct inflight *call, u64 sockaddr) {
    if (!sockaddr)
        return;
    READ(call->requested_family, sockaddr);
    READ(call->requested_port, sockaddr + 2);
    call->requested_port = bpf_ntohs(call->requested_port);
    if (call->requested_family == AF_INET6_)
        bpf_probe_read_kernel(call->requested_addr, 16, (void *)(sockaddr + 8));
    else
        bpf_probe_read_kernel(call->requested_addr, 4, (void *)(sockaddr + 4));
}

static __always_inline int call_enter(u32 kind, u64 sk, u64 sockaddr) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = kind};
    struct inflight call = {};
    if (!sk || !is_udp(sk))
        return 0;
    call.entered_ns = bpf_ktime_get_ns();
    call.sk = sk;
    read_requested(&call, sockaddr);
    read_socket(&call.before, sk);
    if (inflight.update(&key, &call))
        count_loss(LOSS_INFLIGHT);
    return 0;
}

static __always_inline int call_exit(struct pt_regs *ctx, u32 kind) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = kind};
    struct inflight *call = inflight.lookup(&key);
    struct wire_call *event;
    if (!call)
        return 0;
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_CALL);
        bump_generation(call->before.netns, call->before.lport);
        inflight.delete(&key);
        return 0;
    }
    fill_header(&event->header, kind, sizeof(*event), bpf_ktime_get_ns());
    read_task(&event->task);
    event->entered_ns = call->entered_ns;
    event->error = PT_REGS_RC(ctx);
    event->requested_family = call->requested_family;
    event->requested_port = call->requested_port;
    __builtin_memcpy(event->requested_addr, call->requested_addr, 16);
    __builtin_memcpy(&event->before, &call->before, sizeof(event->before));
    read_socket(&event->after, call->sk);
    bump_generation(event->before.netns, event->before.lport);
    if (event->after.lport != event->before.lport)
        bump_generation(event->after.netns, event->after.lport);
    events.ringbuf_submit(event, 0);
    inflight.delete(&key);
    return 0;
}

#ifndef OFF_NET_UDP_TABLE
static __always_inline void learn_table(u64 sk) {
    u64 prot = 0, table = 0;
    int zero = 0;
    READ(prot, sk + OFF_SKC_PROT);
    READ(table, prot + OFF_PROTO_UDP_TABLE);
    if (table)
        global_table.update(&zero, &table);
}
#endif

int connect_enter(struct pt_regs *ctx) {
    u64 sk = PT_REGS_PARM1(ctx);
#ifndef OFF_NET_UDP_TABLE
    if (is_udp(sk))
        learn_table(sk);
#endif
    return call_enter(WIRE_CONNECT, sk, PT_REGS_PARM2(ctx));
}

// connect() of an AF_INET6 socket to an IPv4-mapped address runs the IPv4 function inside the IPv6
// one, which fills in skc_v6_* only afterwards: the outer return is the one to tell.
static __always_inline bool is_nested_connect(void) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = WIRE_CONNECT6};
    return inflight.lookup(&key) != NULL;
}

int connect_exit(struct pt_regs *ctx) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = WIRE_CONNECT};
    if (is_nested_connect()) {
        inflight.delete(&key);
        return 0;
    }
    return call_exit(ctx, WIRE_CONNECT);
}

int connect6_enter(struct pt_regs *ctx) {
    return call_enter(WIRE_CONNECT6, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

int connect6_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_CONNECT6);
}

int bind_enter(struct pt_regs *ctx) {
    u64 sk = 0;
    READ(sk, PT_REGS_PARM1(ctx) + OFF_SOCKET_SK);
    return call_enter(WIRE_BIND, sk, PT_REGS_PARM2(ctx));
}

int bind_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_BIND);
}

int autobind_enter(struct pt_regs *ctx) {
    return call_enter(WIRE_AUTOBIND, PT_REGS_PARM1(ctx), 0);
}

int autobind_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_AUTOBIND);
}

// connect(AF_UNSPEC) and `ss -K` (net/ipv4/udp.c:__udp_disconnect).
int disconnect_enter(struct pt_regs *ctx) {
    return call_enter(WIRE_DISCONNECT, PT_REGS_PARM1(ctx), 0);
}

int disconnect_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_DISCONNECT);
}

// ---- close, and errors told ---------------------------------------------------------------------------

int close_enter(struct pt_regs *ctx) {
    u64 sk = PT_REGS_PARM1(ctx);
    struct wire_close *event;
    // A socket that never had a port was never in the table: nothing can have missed it.
    u16 port = 0;
    if (!is_udp(sk))
        return 0;
    READ(port, sk + OFF_SKC_NUM);
    if (!port)
        return 0;
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_CLOSE);
        return 0;
    }
    fill_header(&event->header, WIRE_CLOSE, sizeof(*event), bpf_ktime_get_ns());
    read_task(&event->task);
    read_socket(&event->socket, sk);
    bump_generation(event->socket.netns, event->socket.lport);
    events.ringbuf_submit(event, 0);
    return 0;
}

// The ICMP that UDP's error handler has in hand on this CPU: what an error told meanwhile is about.
struct incoming {
    u16 family; // 0: none
    u8 type;
    u8 code;
    u8 from[16];
};

BPF_PERCPU_ARRAY(incoming, struct incoming, 1);

int error_enter(struct pt_regs *ctx) {
    u64 sk = PT_REGS_PARM1(ctx);
    struct wire_error *event;
    struct incoming *icmp;
    int zero = 0;
    s32 error = 0;
    if (!is_udp(sk))
        return 0;
    READ(error, sk + OFF_SK_ERR);
    if (!error) // with IP_RECVERR the queue is reported first, with sk_err still 0
        return 0;
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_ERROR);
        return 0;
    }
    fill_header(&event->header, WIRE_ERROR, sizeof(*event), bpf_ktime_get_ns());
    event->error = error;
    event->icmp_family = 0;
    icmp = incoming.lookup(&zero);
    if (icmp) {
        event->icmp_family = icmp->family;
        event->icmp_type = icmp->type;
        event->icmp_code = icmp->code;
        __builtin_memcpy(event->icmp_from, icmp->from, 16);
    }
    read_socket(&event->socket, sk);
    events.ringbuf_submit(event, 0);
    return 0;
}

// ---- lookups: the only probe on the hot path, it touches nothing but a per-CPU slot ---------------------

struct lookup_slot {
    u64 net;
    u32 saddr;
    u32 daddr;
    u16 sport;
    u16 dport;
    u32 passes;
};

BPF_PERCPU_ARRAY(lookup, struct lookup_slot, 1);

// udp4_lib_lookup2(net, saddr, sport, daddr, hnum, ...): the first pass looks for the datagram's
// address, the second for 0.0.0.0. A hit leaves the slot to the next datagram.
int lookup_enter(struct pt_regs *ctx) {
    int zero = 0;
    struct lookup_slot *slot = lookup.lookup(&zero);
    if (!slot)
        return 0;
    if ((u32)PT_REGS_PARM4(ctx)) {
        slot->net = PT_REGS_PARM1(ctx);
        slot->saddr = PT_REGS_PARM2(ctx);
        slot->daddr = PT_REGS_PARM4(ctx);
        slot->sport = PT_REGS_PARM3(ctx);
        slot->dport = PT_REGS_PARM5(ctx);
        slot->passes = 1;
    } else if (slot->saddr == (u32)PT_REGS_PARM2(ctx)) {
        slot->passes += 1;
    }
    return 0;
}

static __always_inline u32 take_passes(u64 net, const struct miss_key *key) {
    int zero = 0;
    u32 passes = 0;
    struct lookup_slot *slot = lookup.lookup(&zero);
    if (!slot)
        return 0;
    if (slot->net == net && slot->saddr == *(u32 *)key->saddr &&
        slot->daddr == *(u32 *)key->daddr && slot->sport == bpf_htons(key->sport) &&
        slot->dport == key->dport)
        passes = slot->passes;
    slot->passes = 0;
    return passes;
}

// IPv6 passes pointers into the skb's header: the same ones tell the same datagram, unread.
struct lookup6_slot {
    u64 net;
    u64 saddr;
    u32 passes;
    u32 pad;
};

BPF_PERCPU_ARRAY(lookup6, struct lookup6_slot, 1);

// udp6_lib_lookup2(net, saddr, sport, daddr, hnum, ...)
int lookup6_enter(struct pt_regs *ctx) {
    int zero = 0;
    struct lookup6_slot *slot = lookup6.lookup(&zero);
    u64 saddr = PT_REGS_PARM2(ctx);
    if (!slot)
        return 0;
    if (PT_REGS_PARM4(ctx) == saddr + IPV6_ADDR_BYTES) {
        slot->net = PT_REGS_PARM1(ctx);
        slot->saddr = saddr;
        slot->passes = 1;
    } else if (slot->saddr == saddr) {
        slot->passes += 1;
    }
    return 0;
}

static __always_inline u32 take_passes6(u64 net, u64 saddr) {
    int zero = 0;
    u32 passes = 0;
    struct lookup6_slot *slot = lookup6.lookup(&zero);
    if (!slot)
        return 0;
    if (slot->net == net && slot->saddr == saddr)
        passes = slot->passes;
    slot->passes = 0;
    return passes;
}

// ---- the miss -------------------------------------------------------------------------------------------

// In a map, not on the stack: the verifier would track each counter's possible values through
// every pass of the loop, and take quadratic time.
struct walk {
    u32 visited;
    u32 matching;
    u32 lost;
    u32 chain;
    u32 truncated;
    u32 pad;
    char skc[SKC_BYTES];
};

BPF_PERCPU_ARRAY(walks, struct walk, 1);

static __always_inline u64 udp_table_of(u64 net) {
    u64 table = 0;
#ifdef OFF_NET_UDP_TABLE
    READ(table, net + OFF_NET_UDP_TABLE);
#else
    int zero = 0;
    u64 *learnt = global_table.lookup(&zero);
    if (learnt)
        table = *learnt;
#endif
    return table;
}

// The primary table's slot holds every socket of the port whatever its local address, and is not
// disturbed by the rehash that connect() does (udp_hashfn in include/linux/udp.h).
static __always_inline u64 first_node(u64 net, u16 port, struct walk *walk) {
    u64 table = udp_table_of(net), hash = 0, node = 0;
    u32 mask = 0, mix = 0;
    if (!table)
        return 0;
    READ(hash, table + OFF_TABLE_HASH);
    READ(mask, table + OFF_TABLE_MASK);
    READ(mix, net + OFF_NET_HASH_MIX);
    hash += (u64)((port + mix) & mask) * SIZE_HSLOT;
    READ(node, hash + OFF_HSLOT_HEAD);
    READ(walk->chain, hash + OFF_HSLOT_COUNT);
    return node;
}

// Sends the socket whose copy is in walk->skc.
static __always_inline void send_candidate(struct walk *walk, u64 sk, u64 id) {
    struct wire_candidate *event = events.ringbuf_reserve(sizeof(*event));
    walk->matching += 1;
    if (!event) {
        count_loss(LOSS_CANDIDATE);
        walk->lost += 1;
        return;
    }
    fill_header(&event->header, WIRE_CANDIDATE, sizeof(*event), id);
    event->walk = id;
    fill_socket(&event->socket, sk, walk->skc);
    events.ringbuf_submit(event, 0);
}

static __always_inline void walk_slot(struct walk *walk, u64 net, u16 port, u64 id) {
    u64 node = first_node(net, port, walk);
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < WALK_NODES; i++) {
        u64 sk = node - OFF_SKC_NODE;
        if (!node)
            break;
        if (bpf_probe_read_kernel(walk->skc, sizeof(walk->skc), (void *)sk))
            break;
        walk->visited += 1;
        if (*(u16 *)(walk->skc + OFF_SKC_NUM) == port && *(u64 *)(walk->skc + OFF_SKC_NET) == net)
            send_candidate(walk, sk, id);
        node = *(u64 *)(walk->skc + OFF_SKC_NODE);
    }
    walk->truncated = node != 0;
}

// An empty walk to fill in; NULL never happens, but the verifier cannot know.
static __always_inline struct walk *fresh_walk(void) {
    int zero = 0;
    struct walk *walk = walks.lookup(&zero);
    if (!walk)
        return NULL;
    walk->visited = 0;
    walk->matching = 0;
    walk->lost = 0;
    walk->chain = 0;
    walk->truncated = 0;
    return walk;
}

struct miss_totals {
    u64 since_ns;
    u64 total;
};

// Counts this miss. Returns true when its evidence is to be sent: the first time, once a second
// after that, and whenever a socket of the port has changed, since the cause may have too.
static __always_inline bool count_miss(struct miss_key *key, u64 now, u32 length,
                                       struct miss_totals *totals) {
    u32 generation = read_generation(key->netns, key->dport);
    struct miss_count *count = misses.lookup(key);
    if (!count) {
        struct miss_count fresh = {.since_ns = now, .length = length};
        misses.insert(key, &fresh); // another CPU may have been first: its entry stays
        count = misses.lookup(key);
    }
    if (!count) { // the table is full: every miss is sent by itself
        count_loss(LOSS_KEY);
        totals->since_ns = now;
        totals->total = 1;
        return true;
    }
    __sync_fetch_and_add(&count->total, 1);
    count->last_ns = now;
    totals->since_ns = count->since_ns;
    totals->total = count->total;
    if (count->streamed_ns && count->generation == generation &&
        now - count->streamed_ns < RESTREAM_NS)
        return false;
    count->streamed_ns = now;
    count->generation = generation;
    return true;
}

// Its evidence was lost: the next repeat sends it again, and its count is reported meanwhile.
static __always_inline void mark_unstreamed(struct miss_key *key) {
    struct miss_count *count = misses.lookup(key);
    if (count)
        count->streamed_ns = 0;
}

static __always_inline void fill_miss(struct wire_miss *event, struct miss_key *key,
                                      const struct miss_totals *totals,
                                      const struct walk *walk) {
    event->since_ns = totals->since_ns;
    event->total = totals->total;
    event->netns_cookie = key->netns_cookie;
    event->netns = key->netns;
    event->ifindex = key->ifindex;
    event->sdif = key->sdif;
    __builtin_memcpy(event->saddr, key->saddr, 16);
    __builtin_memcpy(event->daddr, key->daddr, 16);
    event->sport = key->sport;
    event->dport = key->dport;
    event->family = key->family;
    event->icmp_type = key->icmp_type;
    event->icmp_code = key->icmp_code;
    __builtin_memcpy(event->ifname, key->ifname, 16);
    event->visited = walk->visited;
    event->matching = walk->matching;
    event->lost = walk->lost;
    event->chain = walk->chain;
    event->flags = (LOOKUPS ? MISS_LOOKUPS : 0) | (key->flags & KEY_PROVEN ? MISS_PROVEN | MISS_WALKED : 0) |
                   (walk->truncated ? MISS_TRUNCATED : 0);
}

// net.ipv4.udp_l3mdev_accept, which IPv6 obeys too (include/net/udp.h:udp_sk_bound_dev_eq).
static __always_inline u32 l3mdev_flag(u64 net) {
    u8 accept = 0;
#ifdef OFF_NET_L3MDEV
    READ(accept, net + OFF_NET_L3MDEV);
#endif
    return accept ? MISS_L3MDEV : 0;
}

static __always_inline void send_miss(struct pt_regs *ctx, u64 net, struct miss_key *key,
                                     u64 now, u32 length, u32 passes,
                                     const struct miss_totals *totals) {
    struct walk *walk = fresh_walk();
    struct wire_miss *event;
    if (!walk)
        return;
    if (key->flags & KEY_PROVEN)
        walk_slot(walk, net, key->dport, now);
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_MISS);
        mark_unstreamed(key);
        return;
    }
    fill_header(&event->header, WIRE_MISS, sizeof(*event), now);
    fill_miss(event, key, totals, walk);
    event->flags |= l3mdev_flag(net);
    event->walk = now;
    event->length = length;
    event->passes = passes;
    event->caller = 0;
    READ(event->caller, PT_REGS_SP(ctx));
    events.ringbuf_submit(event, 0);
}

// The receiver's netns, into `key`; 0 when it cannot be told.
static __always_inline u64 read_receiver(u64 dev, struct miss_key *key) {
    u64 net = 0;
    if (dev)
        READ(net, dev + OFF_DEV_NET);
    if (net)
        read_netns(net, &key->netns, &key->netns_cookie);
    else
        count_loss(LOSS_NETNS);
    return net;
}

// ---- what became of the ICMP --------------------------------------------------------------------------

// The ICMP being sent on this CPU. Not ended by a probe on the function's return: that would put a
// trampoline where the next caller's address is read.
struct pending {
    u64 walk; // the miss it belongs to; 0 when that one was only counted
    u32 active;
    u32 pad;
    struct miss_key key;
};

BPF_PERCPU_ARRAY(pending, struct pending, 1);

static __always_inline void await_fate(const struct miss_key *key, u64 walk) {
    int zero = 0;
    struct pending *icmp = pending.lookup(&zero);
    if (!icmp)
        return;
    icmp->walk = walk;
    icmp->active = 1;
    __builtin_memcpy(&icmp->key, key, sizeof(icmp->key));
}

static __always_inline void send_fate(u64 walk, u32 status) {
    struct wire_fate *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_FATE);
        return;
    }
    fill_header(&event->header, WIRE_FATE, sizeof(*event), bpf_ktime_get_ns());
    event->walk = walk;
    event->status = status;
    event->pad = 0;
    events.ringbuf_submit(event, 0);
}

static __always_inline int end_pending(u32 status) {
    int zero = 0;
    struct pending *icmp = pending.lookup(&zero);
    struct miss_count *count;
    if (!icmp || !icmp->active)
        return 0;
    icmp->active = 0;
    count = misses.lookup(&icmp->key);
    if (count)
        __sync_fetch_and_add(status == FATE_SENT ? &count->sent : &count->limited, 1);
    if (icmp->walk)
        send_fate(icmp->walk, status);
    return 0;
}

// icmp_push_reply, icmpv6_push_pending_frames: past every limit and check, on its way to IP.
int push_enter(struct pt_regs *ctx) {
    return end_pending(FATE_SENT);
}

// Return of icmp_global_allow and inet_peer_xrlim_allow: the global and the per-peer limit.
int limit_exit(struct pt_regs *ctx) {
    return (u8)PT_REGS_RC(ctx) ? 0 : end_pending(FATE_RATE_LIMITED);
}

static __always_inline int forget_pending(void) {
    int zero = 0;
    struct pending *icmp = pending.lookup(&zero);
    if (icmp)
        icmp->active = 0;
    return 0;
}

// icmp_rcv, icmpv6_rcv: the answer to an echo request passes the same functions, and is not ours.
int icmp_rcv_enter(struct pt_regs *ctx) {
    return forget_pending();
}

static __always_inline bool is_only_targets(void) {
    int zero = 0;
    u32 *only = only_targets.lookup(&zero);
    return only && *only;
}

static __always_inline bool is_elsewhere(u32 netns) {
    return is_only_targets() && !targets.lookup(&netns);
}

// ---- which ICMPs are told ---------------------------------------------------------------------------------

// Path MTU discovery lives by them: they are no failure, and told with --all-icmp only.
static __always_inline bool is_wanted(u8 type, u8 code) {
    return type == ICMP_UNREACHABLE && (code != ICMP_CODE_FRAG_NEEDED || ALL_ICMP);
}

static __always_inline bool is_wanted6(u8 type) {
    return type == ICMPV6_UNREACHABLE || (type == ICMPV6_TOO_BIG && ALL_ICMP);
}

// ---- the probes on the ICMP's functions ----------------------------------------------------------------

static __always_inline int report_miss(struct pt_regs *ctx, u64 net, struct miss_key *key, u64 now,
                                       u32 length, u32 passes) {
    struct miss_totals totals = {};
    bool streamed;
    if (is_elsewhere(key->netns))
        return 0;
    streamed = count_miss(key, now, length, &totals);
    await_fate(key, streamed ? now : 0);
    if (streamed)
        send_miss(ctx, net, key, now, length, passes, &totals);
    return 0;
}

// __icmp_send(skb, type, code, ...), in softirq for a miss: the current task means nothing here.
int icmp_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx), net, dev, now = bpf_ktime_get_ns();
    struct miss_key key = {};
    struct skb_layout layout = {};
    u32 length = 0, passes = 0;
    forget_pending(); // what was pending was suppressed
    key.icmp_type = PT_REGS_PARM2(ctx);
    key.icmp_code = PT_REGS_PARM3(ctx);
    if (!is_wanted(key.icmp_type, key.icmp_code))
        return 0;
    read_layout(skb, &layout);
    if (!read_datagram(&layout, &key, &length))
        return 0;
    if (is_from_udp(&layout) && key.icmp_code == ICMP_CODE_PORT)
        key.flags = KEY_PROVEN;
    dev = device_of(skb);
    net = read_receiver(dev, &key);
    if (!net)
        return 0;
    read_arrival(skb, &key);
    read_ifname(skb, dev, &key);
    if (LOOKUPS)
        passes = take_passes(net, &key);
    return report_miss(ctx, net, &key, now, length, passes);
}

// icmp6_send(skb, type, code, ...)
int icmp6_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx), net, dev, now = bpf_ktime_get_ns();
    struct miss_key key = {};
    struct skb_layout layout = {};
    u32 length = 0, passes = 0;
    forget_pending(); // what was pending was suppressed
    key.icmp_type = PT_REGS_PARM2(ctx);
    key.icmp_code = PT_REGS_PARM3(ctx);
    if (!is_wanted6(key.icmp_type))
        return 0;
    read_layout(skb, &layout);
    if (!read_datagram6(&layout, &key, &length))
        return 0;
    if (is_from_udp(&layout) && key.icmp_code == ICMPV6_CODE_PORT)
        key.flags = KEY_PROVEN;
    dev = device_of(skb);
    net = read_receiver(dev, &key);
    if (!net)
        return 0;
    read_arrival6(skb, &key);
    read_ifname(skb, dev, &key);
    if (LOOKUPS)
        passes = take_passes6(net, layout.head + layout.network + IPV6_SADDR);
    return report_miss(ctx, net, &key, now, length, passes);
}

// ---- ICMP that comes in -----------------------------------------------------------------------------------

static __always_inline void send_received(struct miss_key *key, const struct incoming *icmp,
                                          u64 now, u32 length, const struct miss_totals *totals) {
    struct wire_received *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_RECEIVED);
        mark_unstreamed(key);
        return;
    }
    fill_header(&event->header, WIRE_RECEIVED, sizeof(*event), now);
    event->since_ns = totals->since_ns;
    event->total = totals->total;
    event->netns_cookie = key->netns_cookie;
    event->netns = key->netns;
    event->ifindex = key->ifindex;
    __builtin_memcpy(event->icmp_from, icmp->from, 16);
    __builtin_memcpy(event->saddr, key->saddr, 16);
    __builtin_memcpy(event->daddr, key->daddr, 16);
    event->sport = key->sport;
    event->dport = key->dport;
    event->family = key->family;
    event->icmp_type = key->icmp_type;
    event->icmp_code = key->icmp_code;
    event->length = length;
    event->sdif = 0;
    __builtin_memcpy(event->ifname, key->ifname, 16);
    events.ringbuf_submit(event, 0);
}

// What came over loopback was sent by this netns, where the probe on the sending function saw it.
static __always_inline int report_received(u64 skb, struct miss_key *key,
                                           const struct incoming *icmp, u32 length) {
    struct miss_totals totals = {};
    u64 dev = 0, now = bpf_ktime_get_ns();
    READ(dev, skb + OFF_SKB_DEV);
    READ(key->ifindex, dev + OFF_DEV_IFINDEX);
    // The miss it is of may have been dropped: it would seem another machine's.
    if (is_only_targets())
        return 0;
    if (key->ifindex == LOOPBACK_IFINDEX || !read_receiver(dev, key))
        return 0;
    key->flags = KEY_RECEIVED;
    read_ifname(skb, dev, key);
    if (count_miss(key, now, length, &totals))
        send_received(key, icmp, now, length, &totals);
    return 0;
}

static __always_inline struct incoming *begin_incoming(u16 family, u8 type, u8 code, u64 from,
                                                       u32 bytes) {
    int zero = 0;
    struct incoming *icmp = incoming.lookup(&zero);
    if (!icmp)
        return NULL;
    icmp->family = family;
    icmp->type = type;
    icmp->code = code;
    __builtin_memset(icmp->from, 0, 16);
    bpf_probe_read_kernel(icmp->from, bytes, (void *)from);
    return icmp;
}

// udp_err(skb, info): skb->data is at the datagram quoted, the network header is the ICMP's own.
int icmp_error_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct miss_key key = {};
    struct skb_layout layout = {};
    struct incoming *icmp;
    u8 type_code[2] = {};
    u32 length = 0;
    read_layout(skb, &layout);
    READ(type_code, layout.head + layout.transport);
    icmp = begin_incoming(AF_INET_, type_code[0], type_code[1],
                          layout.head + layout.network + IPV4_SADDR, 4);
    if (!icmp || !is_wanted(type_code[0], type_code[1]))
        return 0;
    key.icmp_type = type_code[0];
    key.icmp_code = type_code[1];
    layout.network = layout.data - layout.head;
    if (!read_datagram(&layout, &key, &length))
        return 0;
    return report_received(skb, &key, icmp, length);
}

// udpv6_err, __udp6_lib_err(skb, opt, type, code, ...): the same.
int icmp6_error_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct miss_key key = {};
    struct skb_layout layout = {};
    struct incoming *icmp;
    u32 length = 0;
    key.icmp_type = PT_REGS_PARM3(ctx);
    key.icmp_code = PT_REGS_PARM4(ctx);
    read_layout(skb, &layout);
    icmp = begin_incoming(AF_INET6_, key.icmp_type, key.icmp_code,
                          layout.head + layout.network + IPV6_SADDR, 16);
    if (!icmp || !is_wanted6(key.icmp_type))
        return 0;
    layout.network = layout.data - layout.head;
    if (!read_datagram6(&layout, &key, &length))
        return 0;
    return report_received(skb, &key, icmp, length);
}

int icmp_error_exit(struct pt_regs *ctx) {
    int zero = 0;
    struct incoming *icmp = incoming.lookup(&zero);
    if (icmp)
        icmp->family = 0;
    return 0;
}
