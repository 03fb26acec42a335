// What every probe uses: the ring buffer, the loss counters, what changed on which port.

#define GENERATIONS 4096 // power of two

BPF_RINGBUF_OUTPUT(events, 256); // pages: 1 MiB
BPF_PERCPU_ARRAY(losses, u64, LOSS_KINDS);
BPF_ARRAY(generations, u32, GENERATIONS);
// The one UDP hash table of kernels before 6.2, learnt from the first socket that connects.
BPF_ARRAY(global_table, u64, 1);

static __always_inline void count_losses(int kind, u32 number) {
    u64 *counter = losses.lookup(&kind);
    if (counter)
        *counter += number;
}

static __always_inline void count_loss(int kind) {
    count_losses(kind, 1);
}

// Has anything on this netns and port changed since? Two ports may share a slot: that only costs.
static __always_inline u32 generation_slot(u32 netns, u16 port) {
    return (netns * 31 + port) & (GENERATIONS - 1);
}

static __always_inline void bump_generation(u32 netns, u16 port) {
    u32 slot = generation_slot(netns, port);
    u32 *generation = generations.lookup(&slot);
    if (generation)
        __sync_fetch_and_add(generation, 1);
}

static __always_inline u32 read_generation(u32 netns, u16 port) {
    u32 slot = generation_slot(netns, port);
    u32 *generation = generations.lookup(&slot);
    return generation ? *generation : 0;
}
