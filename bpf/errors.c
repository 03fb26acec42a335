// Errors told to sockets, and the ICMP they came from.

// The ICMP that UDP's error handler has in hand on this CPU: what an error told meanwhile is about.
struct incoming {
    u16 family; // 0: none
    u8 type;
    u8 code;
    u8 from[16];
    u64 unread; // the socket whose error was reported and not there to be read
};

BPF_PERCPU_ARRAY(incoming, struct incoming, 1);

static __always_inline void send_error(u64 sk, s32 error, const struct incoming *icmp) {
    struct wire_error *event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_ERROR);
        return;
    }
    fill_header(&event->header, WIRE_ERROR, sizeof(*event), bpf_ktime_get_ns());
    event->error = error;
    event->icmp_family = 0;
    if (icmp) {
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
