// The ICMP that comes in about what was sent from here.

#define LOOPBACK_IFINDEX 1

static __always_inline void send_received(struct miss_key *key, const struct incoming *icmp,
                                          u64 now, u32 length, const struct miss_totals *totals,
                                          const char *ifname) {
    struct wire_received *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        mark_unstreamed(key, LOSS_RECEIVED, now);
        return;
    }
    fill_header(&event->header, WIRE_RECEIVED, sizeof(*event), now);
    FILL_COUNTED(event, key, totals, ifname); // its key has no sdif
    __builtin_memcpy(event->icmp_from, icmp->from, 16);
    event->length = length;
    events.ringbuf_submit(event, 0);
}

// What came over loopback was sent by this netns, where the probe on the sending function saw it.
static __always_inline bool is_from_outside(u64 skb, u64 *dev, u32 *ifindex) {
    LOAD(*dev, SK_BUFF, skb, OFF_SKB_DEV);
    LOAD(*ifindex, NET_DEVICE, *dev, OFF_DEV_IFINDEX);
    return *ifindex != LOOPBACK_IFINDEX;
}

static __always_inline int report_received(struct incoming *icmp, u64 dev, struct miss_key *key,
                                           u32 length) {
    struct miss_totals totals = {};
    char ifname[IFNAME_BYTES] __attribute__((aligned(8)));
    u64 now = bpf_ktime_get_ns();
    // The miss it is of may have been dropped: it would seem another machine's.
    if (is_only_targets() || !read_receiver(dev, key))
        return 0;
    key->flags = KEY_RECEIVED;
    if (!count_miss(key, now, length, icmp->skb, dev, &totals, ifname))
        return 0;
    send_packet(&icmp->layout, now);
    send_received(key, icmp, now, length, &totals, ifname);
    return 0;
}

static __always_inline struct incoming *begin_incoming(u16 family, u64 skb) {
    int zero = 0;
    struct incoming *icmp = incoming.lookup(&zero);
    if (!icmp)
        return NULL;
    icmp->skb = skb;
    icmp->family = family;
    icmp->unread = 0;
    return icmp;
}

// skb->data is at the datagram quoted, the network header is the ICMP's own.
static __always_inline void read_outside(struct incoming *icmp, u32 ifindex, struct miss_key *key) {
    __builtin_memset(key, 0, sizeof(*key)); // not of what came over loopback, which is most of it
    key->ifindex = ifindex;
    read_incoming(icmp);
    icmp->layout.network = icmp->layout.data - icmp->layout.head;
    key->icmp_type = icmp->type;
    key->icmp_code = icmp->code;
}

// udp_err(skb, info)
int icmp_error_enter(struct pt_regs *ctx) {
    struct incoming *icmp = begin_incoming(AF_INET_, PT_REGS_PARM1(ctx));
    struct miss_key key;
    u64 dev = 0;
    u32 ifindex = 0, length = 0;
    if (!icmp || !is_from_outside(icmp->skb, &dev, &ifindex))
        return 0;
    read_outside(icmp, ifindex, &key);
    if (!is_wanted(key.icmp_type, key.icmp_code) || !read_datagram(&icmp->layout, &key, &length))
        return 0;
    return report_received(icmp, dev, &key, length);
}

// udpv6_err, __udp6_lib_err(skb, opt, type, code, ...): the same.
int icmp6_error_enter(struct pt_regs *ctx) {
    struct incoming *icmp = begin_incoming(AF_INET6_, PT_REGS_PARM1(ctx));
    struct miss_key key;
    u64 dev = 0;
    u32 ifindex = 0, length = 0;
    if (!icmp)
        return 0;
    icmp->type = PT_REGS_PARM3(ctx);
    icmp->code = PT_REGS_PARM4(ctx);
    if (!is_from_outside(icmp->skb, &dev, &ifindex))
        return 0;
    read_outside(icmp, ifindex, &key);
    if (!is_wanted6(key.icmp_type) || !read_datagram6(&icmp->layout, &key, &length))
        return 0;
    return report_received(icmp, dev, &key, length);
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
