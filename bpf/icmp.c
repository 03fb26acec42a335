// The ICMP that is being sent: a miss, or somebody else's unreachable.

#define ICMP_UNREACHABLE 3
#define ICMP_CODE_PORT 3
#define ICMP_CODE_FRAG_NEEDED 4
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_CODE_PORT 4
#define ICMPV6_TOO_BIG 2

// Path MTU discovery lives by them: they are no failure, and told with --all-icmp only.
static __always_inline bool is_wanted(u8 type, u8 code) {
    return type == ICMP_UNREACHABLE && (code != ICMP_CODE_FRAG_NEEDED || ALL_ICMP);
}

static __always_inline bool is_wanted6(u8 type) {
    return type == ICMPV6_UNREACHABLE || (type == ICMPV6_TOO_BIG && ALL_ICMP);
}

static __always_inline int report_miss(struct pt_regs *ctx, u64 skb, u64 dev,
                                       struct pending *icmp) {
    u64 now = bpf_ktime_get_ns();
    if (is_elsewhere(icmp->key.netns))
        return 0;
    icmp->active = 1;
    icmp->walk = 0;
    if (!count_miss(&icmp->key, now, icmp->length, skb, dev, &icmp->totals, icmp->ifname))
        return 0;
    icmp->walk = now;
    send_packet(&icmp->skb, now);
    begin_evidence(ctx, icmp);
    return 0;
}

static __always_inline int report_unreachable(struct pt_regs *ctx, u64 skb, struct pending *icmp,
                                              u16 family) {
    struct miss_key *key = &icmp->key;
    u8 port_code = family == AF_INET_ ? ICMP_CODE_PORT : ICMPV6_CODE_PORT;
    u64 route = route_of(skb), dev = device_of(skb, route);
    u64 net = read_receiver(dev, key);
    if (!net)
        return 0;
    if (is_from_udp(&icmp->skb) && key->icmp_code == port_code)
        key->flags = KEY_PROVEN;
    if (family == AF_INET_)
        read_arrival(skb, route, key);
    else
        read_arrival6(skb, key);
    icmp->net = net;
    icmp->passes = 0;
    if (LOOKUPS)
        icmp->passes = family == AF_INET_
                           ? take_passes(net, key)
                           : take_passes6(net, icmp->skb.head + icmp->skb.network + IPV6_SADDR);
    return report_miss(ctx, skb, dev, icmp);
}

// The next ICMP of this CPU: what was pending was suppressed. NULL never happens.
static __always_inline struct pending *begin_pending(u8 type, u8 code) {
    int zero = 0;
    struct pending *icmp = pending.lookup(&zero);
    if (!icmp)
        return NULL;
    icmp->active = 0;
    __builtin_memset(&icmp->key, 0, sizeof(icmp->key));
    icmp->key.icmp_type = type;
    icmp->key.icmp_code = code;
    return icmp;
}

// __icmp_send(skb, type, code, ...), in softirq for a miss: the current task means nothing here.
int icmp_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct pending *icmp = begin_pending(PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
    if (!icmp || !is_wanted(icmp->key.icmp_type, icmp->key.icmp_code))
        return 0;
    read_layout(skb, &icmp->skb);
    if (!read_datagram(&icmp->skb, &icmp->key, &icmp->length))
        return 0;
    return report_unreachable(ctx, skb, icmp, AF_INET_);
}

// icmp6_send(skb, type, code, ...)
int icmp6_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct pending *icmp = begin_pending(PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
    if (!icmp || !is_wanted6(icmp->key.icmp_type))
        return 0;
    read_layout(skb, &icmp->skb);
    if (!read_datagram6(&icmp->skb, &icmp->key, &icmp->length))
        return 0;
    return report_unreachable(ctx, skb, icmp, AF_INET6_);
}
