// What became of an ICMP: sent, or stopped by a limit.

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
