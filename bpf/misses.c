// Misses counted, and their evidence sent: the first time, after a change, and now and then.

#define RESTREAM_NS 1000000000ULL // evidence of a repeated miss is renewed once a second at most
#define RETRY_NS 100000000ULL     // ... and when the buffer was full, of none so soon after
#define MISS_KEYS 16384

BPF_TABLE("hash", struct miss_key, struct miss_count, misses, MISS_KEYS);
// --direction in: the namespaces whose misses are wanted, and whether only these are.
BPF_HASH(targets, u32, u8, 1024);
BPF_ARRAY(only_targets, u32, 1);

static __always_inline bool is_only_targets(void) {
    int zero = 0;
    u32 *only = only_targets.lookup(&zero);
    return only && *only;
}

static __always_inline bool is_elsewhere(u32 netns) {
    return is_only_targets() && !targets.lookup(&netns);
}

struct miss_totals {
    u64 since_ns;
    u64 total;
};

// When the buffer had no room the last time. Repeats do not try it again at once, which in a storm
// would cost a walk for each datagram.
BPF_ARRAY(full, u64, 1);

static __always_inline bool was_full(u64 now) {
    int zero = 0;
    u64 *when = full.lookup(&zero);
    return when && now - *when < RETRY_NS;
}

// What renewing the evidence of misses that go on all the time can cost user space: so many a second,
// of all processors and four-tuples together. The others are counted, and a change of their port's
// sockets still has their evidence sent at once.
#define RENEWALS_A_SECOND 64ULL
#define RENEWAL_NS (1000000000ULL / RENEWALS_A_SECOND)

// When the renewals so far will have been paid for, at one each RENEWAL_NS. Two processors may take
// the same one at the same moment.
BPF_ARRAY(renewals_paid, u64, 1);

static __always_inline bool may_renew(u64 now) {
    int zero = 0;
    u64 *paid = renewals_paid.lookup(&zero);
    if (!paid || *paid >= now + RESTREAM_NS)
        return false;
    *paid = (*paid > now ? *paid : now) + RENEWAL_NS;
    return true;
}

// Whether the evidence sent of a miss is of the port's sockets as they are.
static __always_inline bool is_known(const struct miss_count *count, u32 generation) {
    return count->streamed_ns && count->generation == generation;
}

// Whether what is known of a miss that repeats is old, and to be renewed. One that comes after a pause
// is sent like a first one, for no count told of it meanwhile; there is a budget for the others.
static __always_inline bool is_stale(u64 last, u64 now) {
    return now >= last + RESTREAM_NS || may_renew(now);
}

// What a record has of its key and its counter; the members are called alike in each such record.
#define FILL_COUNTED(event, key, totals, name)                                                     \
    do {                                                                                           \
        (event)->since_ns = (totals)->since_ns;                                                    \
        (event)->total = (totals)->total;                                                          \
        (event)->netns_cookie = (key)->netns_cookie;                                               \
        (event)->netns = (key)->netns;                                                             \
        (event)->ifindex = (key)->ifindex;                                                         \
        (event)->sdif = (key)->sdif;                                                               \
        __builtin_memcpy((event)->saddr, (key)->saddr, 16);                                        \
        __builtin_memcpy((event)->daddr, (key)->daddr, 16);                                        \
        (event)->sport = (key)->sport;                                                             \
        (event)->dport = (key)->dport;                                                             \
        (event)->family = (key)->family;                                                           \
        (event)->icmp_type = (key)->icmp_type;                                                     \
        (event)->icmp_code = (key)->icmp_code;                                                     \
        __builtin_memcpy((event)->ifname, name, IFNAME_BYTES);                                     \
    } while (0)

// Counts this miss. Returns true when its evidence is to be sent: the first time, when it is_stale,
// and whenever a socket of the port has changed, since the cause may have too. `ifname` is read then,
// from the skb or else its device.
static __always_inline bool count_miss(struct miss_key *key, u64 now, u32 length, u64 skb, u64 dev,
                                       struct miss_totals *totals, char *ifname) {
    u32 generation = read_generation(key->netns, key->dport);
    struct miss_count *count = misses.lookup(key);
    bool known;
    u64 last;
    if (!count) {
        // With its time: user space may read it at once, and drops what has not missed for long.
        struct miss_count fresh = {.since_ns = now, .last_ns = now, .length = length};
        misses.insert(key, &fresh); // another CPU may have been first: its entry stays
        count = misses.lookup(key);
    }
    if (!count) { // the table is full: every miss is sent by itself
        count_loss(LOSS_KEY);
        totals->since_ns = now;
        totals->total = 1;
        read_ifname(skb, dev, key->ifindex, ifname);
        return true;
    }
    __sync_fetch_and_add(&count->total, 1);
    last = count->last_ns;
    count->last_ns = now;
    totals->since_ns = count->since_ns;
    totals->total = count->total;
    known = is_known(count, generation);
    if (known && now < count->streamed_ns + RESTREAM_NS)
        return false;
    if (totals->total > 1 && was_full(now))
        return false;
    if (known && !is_stale(last, now))
        return false;
    read_ifname(skb, dev, key->ifindex, ifname);
    __builtin_memcpy(count->ifname, ifname, IFNAME_BYTES);
    count->streamed_ns = now;
    count->generation = generation;
    return true;
}

// Its evidence was lost: a later repeat sends it again, and its count is reported meanwhile. Where
// the table had no room for it, nothing is known.
static __always_inline void mark_unstreamed(struct miss_key *key, u32 loss, u64 now) {
    struct miss_count *count = misses.lookup(key);
    int zero = 0;
    full.update(&zero, &now);
    if (count)
        count->streamed_ns = 0;
    count_loss(count ? loss : LOSS_UNCOUNTED);
}

// Too large for the stack.
BPF_PERCPU_ARRAY(packets, struct wire_packet, 1);

// The first bytes of the datagram whose record comes next, for what its ends do not tell: its
// headers, or as many as --snaplen says, of those in the skb's linear part.
static __always_inline void send_packet(const struct skb_layout *skb, u64 owner) {
    int zero = 0;
    struct wire_packet *event = packets.lookup(&zero);
    u64 kept = skb->headers > SNAPLEN ? skb->headers : SNAPLEN;
    u64 there = skb->tail > skb->network ? skb->tail - skb->network : 0;
    if (!event)
        return;
    if (kept > there)
        kept = there;
    OPAQUE(kept);
    if (kept > PACKET_BYTES)
        kept = PACKET_BYTES;
    bpf_probe_read_kernel(event->data, kept, (void *)(skb->head + skb->network));
    kept += sizeof(*event) - PACKET_BYTES; // what goes before it
    fill_header(&event->header, WIRE_PACKET, kept, owner);
    event->owner = owner;
    if (events.ringbuf_output(event, kept, 0))
        count_loss(LOSS_PACKET);
}

// The receiver's netns, into `key`; 0 when it cannot be told.
static __always_inline u64 read_receiver(u64 dev, struct miss_key *key) {
    u64 net = 0;
    if (dev)
        LOAD(net, NET_DEVICE, dev, OFF_DEV_NET);
    if (net)
        read_netns(net, &key->netns, &key->netns_cookie);
    else
        count_loss(LOSS_NETNS);
    return net;
}
