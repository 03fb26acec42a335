// The ICMP that comes in about what was sent from here.

#define LOOPBACK_IFINDEX 1

static __always_inline void send_received(struct miss_key *key, const struct incoming *icmp,
                                          u64 now, u32 length, const struct miss_totals *totals) {
    struct wire_received *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        mark_unstreamed(key, LOSS_RECEIVED, now);
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
static __always_inline bool is_from_outside(u64 skb, u64 *dev, struct miss_key *key) {
    READ(*dev, skb + OFF_SKB_DEV);
    READ(key->ifindex, *dev + OFF_DEV_IFINDEX);
    return key->ifindex != LOOPBACK_IFINDEX;
}

static __always_inline int report_received(u64 skb, u64 dev, struct miss_key *key,
                                           const struct skb_layout *layout,
                                           const struct incoming *icmp, u32 length) {
    struct miss_totals totals = {};
    u64 now = bpf_ktime_get_ns();
    // The miss it is of may have been dropped: it would seem another machine's.
    if (is_only_targets() || !read_receiver(dev, key))
        return 0;
    key->flags = KEY_RECEIVED;
    read_ifname(skb, dev, key);
    if (!count_miss(key, now, length, &totals))
        return 0;
    send_packet(layout, now);
    send_received(key, icmp, now, length, &totals);
    return 0;
}

static __always_inline struct incoming *begin_incoming(u16 family, u8 type, u8 code, u64 from,
                                                       u32 bytes) {
    int zero = 0;
    struct incoming *icmp = incoming.lookup(&zero);
    if (!icmp)
        return NULL;
    icmp->unread = 0;
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
    u64 dev = 0;
    u32 length = 0;
    read_layout(skb, &layout);
    READ(type_code, layout.head + layout.transport);
    icmp = begin_incoming(AF_INET_, type_code[0], type_code[1],
                          layout.head + layout.network + IPV4_SADDR, 4);
    if (!icmp || !is_wanted(type_code[0], type_code[1]) || !is_from_outside(skb, &dev, &key))
        return 0;
    key.icmp_type = type_code[0];
    key.icmp_code = type_code[1];
    layout.network = layout.data - layout.head;
    if (!read_datagram(&layout, &key, &length))
        return 0;
    return report_received(skb, dev, &key, &layout, icmp, length);
}

// udpv6_err, __udp6_lib_err(skb, opt, type, code, ...): the same.
int icmp6_error_enter(struct pt_regs *ctx) {
    u64 skb = PT_REGS_PARM1(ctx);
    struct miss_key key = {};
    struct skb_layout layout = {};
    struct incoming *icmp;
    u64 dev = 0;
    u32 length = 0;
    key.icmp_type = PT_REGS_PARM3(ctx);
    key.icmp_code = PT_REGS_PARM4(ctx);
    read_layout(skb, &layout);
    icmp = begin_incoming(AF_INET6_, key.icmp_type, key.icmp_code,
                          layout.head + layout.network + IPV6_SADDR, 16);
    if (!icmp || !is_wanted6(key.icmp_type) || !is_from_outside(skb, &dev, &key))
        return 0;
    layout.network = layout.data - layout.head;
    if (!read_datagram6(&layout, &key, &length))
        return 0;
    return report_received(skb, dev, &key, &layout, icmp, length);
}

int icmp_error_exit(struct pt_regs *ctx) {
    int zero = 0;
    struct incoming *icmp = incoming.lookup(&zero);
    if (!icmp || !icmp->family)
        return 0;
    if (icmp->unread)
        send_error(icmp->unread, 0, icmp);
    icmp->family = 0;
    return 0;
}
