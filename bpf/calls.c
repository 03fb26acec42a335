// The calls that set a four-tuple: connect, bind, autobind, disconnect.

// Keyed by function as well: a connect() on an AF_INET6 socket can nest the IPv4 one in a thread.
struct inflight_key {
    u64 thread;
    u32 kind;
    u32 pad;
};

struct inflight {
    u64 entered_ns;
    u64 sk;
    u16 requested_family;
    u16 requested_port;
    u8 requested_addr[16];
    u32 pad;
    struct wire_socket before;
};

BPF_HASH(inflight, struct inflight_key, struct inflight, 4096);

// struct sockaddr_in and sockaddr_in6 (include/uapi/linux): family, port, then the address.
static __always_inline void read_requested(struct inflight *call, u64 sockaddr) {
    if (!sockaddr)
        return;
    READ(call->requested_family, sockaddr);
    READ(call->requested_port, sockaddr + 2);
    call->requested_port = bpf_ntohs(call->requested_port);
    if (call->requested_family == AF_INET6_)
        bpf_probe_read_kernel(call->requested_addr, 16, (void *)(sockaddr + 8));
    else
        bpf_probe_read_kernel(call->requested_addr, 4, (void *)(sockaddr + 4));
}

static __always_inline int call_enter(u32 kind, u64 sk, u64 sockaddr) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = kind};
    struct inflight call = {};
    if (!sk || !is_udp(sk))
        return 0;
    call.entered_ns = bpf_ktime_get_ns();
    call.sk = sk;
    read_requested(&call, sockaddr);
    read_socket(&call.before, sk);
    if (inflight.update(&key, &call))
        count_loss(LOSS_INFLIGHT);
    return 0;
}

static __always_inline int call_exit(struct pt_regs *ctx, u32 kind) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = kind};
    struct inflight *call = inflight.lookup(&key);
    struct wire_call *event;
    if (!call)
        return 0;
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_CALL);
        bump_generation(call->before.netns, call->before.lport);
        inflight.delete(&key);
        return 0;
    }
    fill_header(&event->header, kind, sizeof(*event), bpf_ktime_get_ns());
    read_task(&event->task);
    event->task.flags = is_connecting(call->sk) ? TASK_CONNECTING : 0;
    event->entered_ns = call->entered_ns;
    event->error = PT_REGS_RC(ctx);
    event->requested_family = call->requested_family;
    event->requested_port = call->requested_port;
    __builtin_memcpy(event->requested_addr, call->requested_addr, 16);
    __builtin_memcpy(&event->before, &call->before, sizeof(event->before));
    read_socket(&event->after, call->sk);
    bump_generation(event->before.netns, event->before.lport);
    if (event->after.lport != event->before.lport)
        bump_generation(event->after.netns, event->after.lport);
    events.ringbuf_submit(event, 0);
    inflight.delete(&key);
    return 0;
}

#ifndef OFF_NET_UDP_TABLE
static __always_inline void learn_table(u64 sk) {
    u64 prot = 0, table = 0;
    int zero = 0;
    READ(prot, sk + OFF_SKC_PROT);
    READ(table, prot + OFF_PROTO_UDP_TABLE);
    if (table)
        global_table.update(&zero, &table);
}
#endif

int connect_enter(struct pt_regs *ctx) {
    u64 sk = PT_REGS_PARM1(ctx);
#ifndef OFF_NET_UDP_TABLE
    if (is_udp(sk))
        learn_table(sk);
#endif
    return call_enter(WIRE_CONNECT, sk, PT_REGS_PARM2(ctx));
}

// connect() of an AF_INET6 socket to an IPv4-mapped address runs the IPv4 function inside the IPv6
// one, which fills in skc_v6_* only afterwards: the outer return is the one to tell.
static __always_inline bool is_nested_connect(void) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = WIRE_CONNECT6};
    return inflight.lookup(&key) != NULL;
}

int connect_exit(struct pt_regs *ctx) {
    struct inflight_key key = {.thread = bpf_get_current_pid_tgid(), .kind = WIRE_CONNECT};
    if (is_nested_connect()) {
        inflight.delete(&key);
        return 0;
    }
    return call_exit(ctx, WIRE_CONNECT);
}

int connect6_enter(struct pt_regs *ctx) {
    return call_enter(WIRE_CONNECT6, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

int connect6_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_CONNECT6);
}

int bind_enter(struct pt_regs *ctx) {
    u64 sk = 0;
    READ(sk, PT_REGS_PARM1(ctx) + OFF_SOCKET_SK);
    return call_enter(WIRE_BIND, sk, PT_REGS_PARM2(ctx));
}

int bind_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_BIND);
}

int autobind_enter(struct pt_regs *ctx) {
    return call_enter(WIRE_AUTOBIND, PT_REGS_PARM1(ctx), 0);
}

int autobind_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_AUTOBIND);
}

// connect(AF_UNSPEC) and `ss -K` (net/ipv4/udp.c:__udp_disconnect).
int disconnect_enter(struct pt_regs *ctx) {
    return call_enter(WIRE_DISCONNECT, PT_REGS_PARM1(ctx), 0);
}

int disconnect_exit(struct pt_regs *ctx) {
    return call_exit(ctx, WIRE_DISCONNECT);
}
