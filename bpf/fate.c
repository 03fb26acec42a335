// What became of an ICMP: sent, or stopped by a limit.

// The ICMP being sent on this CPU. Not ended by a probe on the function's return: that would put a
// trampoline where the next caller's address is read.
struct pending {
    u64 walk; // the miss it belongs to; 0 when that one was only counted
    u32 active;
    // Of a miss that is told of, which another program does (bpf/evidence.c):
    u32 length;
    u32 passes;
    u32 pad;
    u64 net;
    struct miss_totals totals;
    struct miss_key key;
    char ifname[IFNAME_BYTES];
    struct skb_layout skb;
};

BPF_PERCPU_ARRAY(pending, struct pending, 1);

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

static __always_inline int end_pending(struct pending *icmp, u32 status) {
    struct miss_count *count;
    icmp->active = 0;
    count = misses.lookup(&icmp->key);
    if (count)
        __sync_fetch_and_add(status == FATE_SENT ? &count->sent : &count->limited, 1);
    if (icmp->walk)
        send_fate(icmp->walk, status);
    return 0;
}

// The ICMP of this CPU whose fate is not known yet, or NULL.
static __always_inline struct pending *awaited(void) {
    int zero = 0;
    struct pending *icmp = pending.lookup(&zero);
    return icmp && icmp->active ? icmp : NULL;
}

// The answers to echo requests pass here too, and may find one pending that was suppressed.
static __always_inline int pushed(u8 type) {
    struct pending *icmp = awaited();
    return icmp && icmp->key.icmp_type == type ? end_pending(icmp, FATE_SENT) : 0;
}

// icmp_push_reply, past every limit and check, on its way to IP. The ICMP is its first argument, or
// on some kernels its second.
int push_enter(struct pt_regs *ctx) {
    u8 type = 0;
    u64 icmp = PUSHED_ARGUMENT ? PT_REGS_PARM2(ctx) : PT_REGS_PARM1(ctx);
    LOAD(type, ICMP_BXM, icmp, OFF_BXM_TYPE);
    return pushed(type);
}

// icmpv6_push_pending_frames(sk, fl6, header, ...): the same, and the header begins with the type.
int push6_enter(struct pt_regs *ctx) {
    u8 type = 0;
    READ(type, PT_REGS_PARM3(ctx));
    return pushed(type);
}

// Return of icmp_global_allow and inet_peer_xrlim_allow: the global and the per-peer limit.
int limit_exit(struct pt_regs *ctx) {
    struct pending *icmp = awaited();
    return icmp && !(u8)PT_REGS_RC(ctx) ? end_pending(icmp, FATE_RATE_LIMITED) : 0;
}
