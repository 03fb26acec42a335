// What only `udptrace states` asks for: sockets without a port, and what a connect() causes.

#if STATES

// Thread -> the socket that it is connecting: an autobind or a disconnect of that is connect()'s.
BPF_HASH(connecting, u64, u64, 4096);

static __always_inline bool is_connecting(u64 sk) {
    u64 thread = bpf_get_current_pid_tgid();
    u64 *connected = connecting.lookup(&thread);
    return connected && *connected == sk;
}

int dgram_connect_enter(struct pt_regs *ctx) {
    u64 thread = bpf_get_current_pid_tgid();
    u64 sk = 0;
    READ(sk, PT_REGS_PARM1(ctx) + OFF_SOCKET_SK);
    if (sk && is_udp(sk) && connecting.update(&thread, &sk))
        count_loss(LOSS_INFLIGHT);
    return 0;
}

int dgram_connect_exit(struct pt_regs *ctx) {
    u64 thread = bpf_get_current_pid_tgid();
    connecting.delete(&thread);
    return 0;
}

// A user's socket holds its network namespace. Each namespace has some that do not, which never get a
// port: the kernel's own, made and closed with it.
static __always_inline bool is_kernels(u64 sk) {
    return !bits_at(sk, OFF_SKC_NET_REFCNT, SHIFT_SKC_NET_REFCNT, 1);
}

// At the entry of the protocol's init(): the socket has its protocol and its struct socket by then.
static __always_inline int created(u64 sk, u16 wanted) {
    struct wire_close *event;
    u16 family = 0;
    READ(family, sk + OFF_SKC_FAMILY);
    if (family != wanted || !is_udp(sk) || is_kernels(sk))
        return 0;
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_CREATED);
        return 0;
    }
    fill_header(&event->header, WIRE_CREATED, sizeof(*event), bpf_ktime_get_ns());
    read_task(&event->task);
    read_socket(&event->socket, sk);
    events.ringbuf_submit(event, 0);
    return 0;
}

// One function makes both families' on kernels without udpv6_init_sock, so that each of these takes
// its own.
int create_enter(struct pt_regs *ctx) {
    return created(PT_REGS_PARM1(ctx), AF_INET_);
}

int create6_enter(struct pt_regs *ctx) {
    return created(PT_REGS_PARM1(ctx), AF_INET6_);
}

// Whether the close of a socket that has no port is told.
static __always_inline bool is_shown_without_port(u64 sk) {
    return !is_kernels(sk);
}

#else

static __always_inline bool is_connecting(u64 sk) {
    return false;
}

static __always_inline bool is_shown_without_port(u64 sk) {
    return false;
}

#endif
