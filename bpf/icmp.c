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

static __always_inline int report_miss(struct pt_regs *ctx, u64 net, struct miss_key *key,
                                       const struct skb_layout *layout, u64 now, u32 length,
                                       u32 passes) {
    struct miss_totals totals = {};
    bool streamed;
    if (is_elsewhere(key->netns))
        return 0;
    streamed = count_miss(key, now, length, &totals);
    await_fate(key, streamed ? now : 0);
    if (!streamed)
        return 0;
    send_packet(layout, now);
    send_miss(ctx, net, key, now, length, passes, &totals);
    return 0;
}

static __always_inline int report_unreachable(struct pt_regs *ctx, u64 skb, struct miss_key *key,
                                              const struct skb_layout *layout, u16 family,
                                              u32 length) {
    u8 port_code = family == AF_INET_ ? ICMP_CODE_PORT : ICMPV6_CODE_PORT;
    u64 now = bpf_ktime_get_ns(), route = route_of(skb), dev = device_of(skb, route);
    u64 net = read_receiver(dev, key);
    u32 passes = 0;
    if (!net)
        return 0;
    if (is_from_udp(layout) && key->icmp_code == port_code)
        key->flags = KEY_PROVEN;
    if (family == AF_INET_)
        read_arrival(skb, route, key);
    else
        read_arrival6(skb, key);
    read_ifname(skb, dev, key);
    if (LOOKUPS)
        passes = family == AF_INET_
                     ? take_passes(net, key)
                     : take_passes6(net, layout->head + layout->network + IPV6_SADDR);
    return report_miss(ctx, net, key, layout, now, length, passes);
}

// __icmp_send(skb, type, code, ...), in softirq for a miss: the current task means nothing here.
int icmp_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct miss_key key = {};
    struct skb_layout layout = {};
    u32 length = 0;
    forget_pending(); // what was pending was suppressed
    key.icmp_type = PT_REGS_PARM2(ctx);
    key.icmp_code = PT_REGS_PARM3(ctx);
    read_layout(skb, &layout);
    if (!is_wanted(key.icmp_type, key.icmp_code) || !read_datagram(&layout, &key, &length))
        return 0;
    return report_unreachable(ctx, skb, &key, &layout, AF_INET_, length);
}

// icmp6_send(skb, type, code, ...)
int icmp6_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct miss_key key = {};
    struct skb_layout layout = {};
    u32 length = 0;
    forget_pending(); // what was pending was suppressed
    key.icmp_type = PT_REGS_PARM2(ctx);
    key.icmp_code = PT_REGS_PARM3(ctx);
    read_layout(skb, &layout);
    if (!is_wanted6(key.icmp_type) || !read_datagram6(&layout, &key, &length))
        return 0;
    return report_unreachable(ctx, skb, &key, &layout, AF_INET6_, length);
}
