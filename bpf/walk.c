// The walk: each socket in the port's slot of the UDP hash table, at the moment of the miss.

struct walk {
    u64 node; // the next one to look at; 0: the chain is at its end
    u32 left; // nodes that may still be looked at
    u32 visited;
    u32 matching;
    u32 lost;
    u32 chain;
    u32 truncated;
    u32 skipped; // for want of a budget
    u32 held;    // of `matching`, in `record`, which is sent when it may not hold another step's
    struct wire_candidates record;
};

BPF_PERCPU_ARRAY(walks, struct walk, 1);

// Nodes of one step. Each is a run of a program of its own (bpf/evidence.c), after a tail call: 33 of
// these are the most that every kernel makes one after the other.
#define STEP_NODES 8
_Static_assert(WALK_NODES <= 33 * STEP_NODES, "a walk is so many steps at most");

// What a scan of ports can make the walks cost: in the long run this many nodes a second, a hundredth
// of a processor at most, after a burst of a few hundred of the longest walks. For each CPU by
// itself: what a walk takes is that CPU's time.
#define WALK_NODES_A_SECOND 20000ULL
#define WALK_NODE_NS (1000000000ULL / WALK_NODES_A_SECOND)
#define WALK_BURST_NS (120000ULL * WALK_NODE_NS)

// When all nodes looked at so far will have been paid for, at one each WALK_NODE_NS.
BPF_PERCPU_ARRAY(walks_paid, u64, 1);

static __always_inline bool may_walk(u64 now) {
    int zero = 0;
    u64 *paid = walks_paid.lookup(&zero);
    return paid && *paid < now + WALK_BURST_NS;
}

static __always_inline void pay_walk(u64 now, u32 visited) {
    int zero = 0;
    u64 *paid = walks_paid.lookup(&zero);
    if (paid)
        *paid = (*paid > now ? *paid : now) + visited * WALK_NODE_NS;
}

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

// Sends the sockets held. `id`: the miss's time.
static __always_inline void send_candidates(struct walk *walk, u64 id) {
    u32 held = walk->held;
    u64 size = sizeof(walk->record) - (CANDIDATES - held) * sizeof(struct wire_socket);
    walk->held = 0;
    OPAQUE(size);
    if (size > sizeof(walk->record)) // it is not
        return;
    fill_header(&walk->record.header, WIRE_CANDIDATES, size, id);
    walk->record.walk = id;
    if (events.ringbuf_output(&walk->record, size, 0)) {
        count_losses(LOSS_CANDIDATE, held);
        walk->lost += held;
    }
}

// Holds the socket of which `skc` is the view. Several go into a record: one of its own for each takes
// more time, and more of the ring buffer.
static __always_inline void hold_candidate(struct walk *walk, u64 sk, const char *skc,
                                           const struct miss_key *key) {
    struct wire_socket *socket = &walk->record.sockets[walk->held & (CANDIDATES - 1)];
    fill_socket(socket, sk, skc);
    socket->netns = key->netns;
    socket->netns_cookie = key->netns_cookie;
    walk->matching += 1;
    walk->held += 1;
}

// An empty walk to fill in, at its first node. NULL never happens, but the verifier cannot know.
static __always_inline struct walk *fresh_walk(void) {
    int zero = 0;
    struct walk *walk = walks.lookup(&zero);
    if (!walk)
        return NULL;
    walk->node = 0;
    walk->left = WALK_NODES;
    walk->visited = 0;
    walk->matching = 0;
    walk->lost = 0;
    walk->chain = 0;
    walk->truncated = 0;
    walk->skipped = 0;
    walk->held = 0;
    return walk;
}

// An empty slot is known to be one without a walk, whatever the budget.
static __always_inline void begin_walk(struct walk *walk, u64 net, u16 port, u64 now) {
    walk->node = first_node(net, port, walk);
    if (!walk->node || may_walk(now))
        return;
    walk->node = 0;
    walk->skipped = 1;
    walk->truncated = 1;
}

static __always_inline void walk_step(struct walk *walk, u64 net, const struct miss_key *key) {
    char copy[SKC_BYTES] __attribute__((aligned(8)));
    u16 port = key->dport;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < STEP_NODES && walk->node; i++) {
        u64 sk = walk->node - OFF_SKC_NODE;
        const char *skc = view_socket(sk, copy);
        if (!*(u16 *)(skc + OFF_SKC_FAMILY)) { // none: it could not be read
            walk->left = 0;
            return;
        }
        walk->visited += 1;
        walk->left -= 1;
        if (*(u16 *)(skc + OFF_SKC_NUM) == port && *(u64 *)(skc + OFF_SKC_NET) == net)
            hold_candidate(walk, sk, skc, key);
        walk->node = *(u64 *)(skc + OFF_SKC_NODE);
    }
}

static __always_inline bool is_walk_over(const struct walk *walk) {
    return !walk->node || !walk->left;
}

// Sends what is held when another step's may not go with it, and at the end.
static __always_inline void send_held(struct walk *walk, u64 id) {
    if (walk->held && (walk->held + STEP_NODES > CANDIDATES || is_walk_over(walk)))
        send_candidates(walk, id);
}

static __always_inline void end_walk(struct walk *walk, u64 now) {
    walk->truncated = walk->node != 0;
    pay_walk(now, walk->visited);
}
