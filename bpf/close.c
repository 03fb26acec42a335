// Sockets that are closed.

int close_enter(struct pt_regs *ctx) {
    u64 sk = PT_REGS_PARM1(ctx);
    struct wire_close *event;
    // A socket that has no port is not in the table: nothing can have missed it.
    u16 port = 0;
    if (!is_udp(sk))
        return 0;
    READ(port, sk + OFF_SKC_NUM);
    if (!port && !is_shown_without_port(sk))
        return 0;
    event = events.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_loss(LOSS_CLOSE);
        return 0;
    }
    fill_header(&event->header, WIRE_CLOSE, sizeof(*event), bpf_ktime_get_ns());
    read_task(&event->task);
    read_socket(&event->socket, sk);
    bump_generation(event->socket.netns, event->socket.lport);
    events.ringbuf_submit(event, 0);
    return 0;
}
