// Lookups: the only probes on the hot path, they touch nothing but a per-CPU slot.

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
