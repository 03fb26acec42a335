// The evidence of a miss, sent: the sockets of its port, then the miss itself.
//
// A program that the probes go on in by a tail call, for each step of the walk: so the verifier
// follows a step once, instead of every step of the longest walk for each family, which took two
// thirds of a start. What it needs is in maps of its CPU: no other program runs there meanwhile.

BPF_PROG_ARRAY(evidence, 1);

static __always_inline void fill_miss(struct wire_miss *event, const struct pending *icmp,
                                      const struct walk *walk) {
    const struct miss_key *key = &icmp->key;
    FILL_COUNTED(event, key, &icmp->totals, icmp->ifname);
    event->length = icmp->length;
    event->passes = icmp->passes;
    event->visited = walk->visited;
    event->matching = walk->matching;
    event->lost = walk->lost;
    event->chain = walk->chain;
    event->flags = (LOOKUPS ? MISS_LOOKUPS : 0) |
                   (key->flags & KEY_PROVEN ? MISS_PROVEN | MISS_WALKED : 0) |
                   (walk->truncated ? MISS_TRUNCATED : 0) | (walk->skipped ? MISS_SKIPPED : 0);
}

// net.ipv4.udp_l3mdev_accept, which IPv6 obeys too (include/net/udp.h:udp_sk_bound_dev_eq).
static __always_inline u32 l3mdev_flag(u64 net) {
    u8 accept = 0;
#ifdef OFF_NET_L3MDEV
    READ(accept, net + OFF_NET_L3MDEV);
#endif
    return accept ? MISS_L3MDEV : 0;
}

static __always_inline void send_miss(struct pt_regs *ctx, struct pending *icmp,
                                      const struct walk *walk) {
    struct wire_miss *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        mark_unstreamed(&icmp->key, LOSS_MISS, icmp->walk);
        return;
    }
    fill_header(&event->header, WIRE_MISS, sizeof(*event), icmp->walk);
    fill_miss(event, icmp, walk);
    event->flags |= l3mdev_flag(icmp->net);
    event->walk = icmp->walk;
    event->caller = 0;
    READ(event->caller, PT_REGS_SP(ctx));
    events.ringbuf_submit(event, 0);
}

int send_evidence(struct pt_regs *ctx) {
    int zero = 0;
    struct pending *icmp = pending.lookup(&zero);
    struct walk *walk = walks.lookup(&zero);
    if (!icmp || !walk)
        return 0;
    if (walk->node) {
        walk_step(walk, icmp->net, &icmp->key);
        send_held(walk, icmp->walk);
        if (!is_walk_over(walk))
            evidence.call(ctx, 0);
        end_walk(walk, icmp->walk);
    }
    send_miss(ctx, icmp, walk);
    return 0;
}

// Begins with the evidence of the pending ICMP, and does not return: what is left to do when it
// does is for a kernel that has no room for the call.
static __always_inline void begin_evidence(struct pt_regs *ctx, struct pending *icmp) {
    struct walk *walk = fresh_walk();
    if (!walk)
        return;
    if (icmp->key.flags & KEY_PROVEN)
        begin_walk(walk, icmp->net, icmp->key.dport, icmp->walk);
    evidence.call(ctx, 0);
    mark_unstreamed(&icmp->key, LOSS_MISS, icmp->walk);
}
