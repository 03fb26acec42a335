// Errors told to sockets, and the ICMP they came from.

// The ICMP that UDP's error handler has in hand on this CPU: what an error told meanwhile is about.
struct incoming {
    u64 skb;
    u64 unread; // the socket whose error was reported and not there to be read
    u16 family; // 0: none
    u8 type;
    u8 code;
    u8 from[16]; // as the rest: read_incoming
    struct skb_layout layout;
};

BPF_PERCPU_ARRAY(incoming, struct incoming, 1);

// What the ICMP says itself, which is not read of one that nobody is told of. IPv6's type and code
// are arguments of its handler.
static __always_inline void read_incoming(struct incoming *icmp) {
    u64 from;
    read_layout(icmp->skb, &icmp->layout);
    from = icmp->layout.head + icmp->layout.network;
    if (icmp->family == AF_INET_) {
        u8 type_code[2] = {};
        READ(type_code, icmp->layout.head + icmp->layout.transport);
        icmp->type = type_code[0];
        icmp->code = type_code[1];
        __builtin_memset(icmp->from, 0, 16);
        bpf_probe_read_kernel(icmp->from, 4, (void *)(from + IPV4_SADDR));
    } else {
        READ(icmp->from, from + IPV6_SADDR);
    }
}

static __always_inline void send_error(u64 sk, s32 error, struct incoming *icmp) {
    struct wire_error *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_ERROR);
        return;
    }
    fill_header(&event->header, WIRE_ERROR, sizeof(*event), bpf_ktime_get_ns());
    event->error = error;
    event->icmp_family = 0;
    if (icmp && icmp->family) {
        read_incoming(icmp);
        event->icmp_family = icmp->family;
        event->icmp_type = icmp->type;
        event->icmp_code = icmp->code;
        __builtin_memcpy(event->icmp_from, icmp->from, 16);
    }
    read_socket(&event->socket, sk);
    events.ringbuf_submit(event, 0);
}

// With IP_RECVERR the queue is reported first, with sk_err still 0, then the error. Where it is
// still 0 at the end of UDP's handler (icmp_error_exit), a reader on another CPU was quicker than
// this probe: that it was told is certain.
int error_enter(struct pt_regs *ctx) {
    u64 sk = PT_REGS_PARM1(ctx);
    struct incoming *icmp;
    int zero = 0;
    s32 error = 0;
    if (!is_udp(sk))
        return 0;
    READ(error, sk + OFF_SK_ERR);
    icmp = incoming.lookup(&zero);
    if (icmp)
        icmp->unread = error ? 0 : sk;
    if (error)
        send_error(sk, error, icmp);
    return 0;
}
