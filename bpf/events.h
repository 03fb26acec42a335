/* The wire structs: what the probes put into the ring buffer, defined here and nowhere else.
 *
 * Explicit padding, no pointers' sizes left to chance; tracer/wire.py mirrors each struct and a test
 * compares the two member by member. Change a struct and WIRE_VERSION with it.
 * Addresses of 16 bytes hold an IPv4 address in their first 4. Ports are in host order.
 */
#ifndef UDPTRACE_EVENTS_H
#define UDPTRACE_EVENTS_H

#define WIRE_VERSION 6

enum wire_kind {
    WIRE_CONNECT = 1,
    WIRE_BIND = 2,
    WIRE_AUTOBIND = 3,
    WIRE_CLOSE = 4,
    WIRE_ERROR = 5,
    WIRE_CANDIDATES = 6,
    WIRE_MISS = 7,
    WIRE_CONNECT6 = 8, /* struct wire_call, from the IPv6 function */
    WIRE_FATE = 9,
    WIRE_DISCONNECT = 10, /* struct wire_call */
    WIRE_RECEIVED = 11,
    WIRE_PACKET = 12,
    WIRE_CREATED = 13, /* struct wire_close */
};

/* Loss counters, in the order of LOSSES in tracer/events.py. */
enum wire_loss {
    LOSS_CALL = 0,
    LOSS_CLOSE = 1,
    LOSS_ERROR = 2,
    LOSS_MISS = 3,
    LOSS_CANDIDATE = 4,
    LOSS_KEY = 5,
    LOSS_INFLIGHT = 6,
    LOSS_NETNS = 7,
    LOSS_FATE = 8,
    LOSS_RECEIVED = 9,
    LOSS_PACKET = 10,
    LOSS_CREATED = 11,
    LOSS_UNCOUNTED = 12,
    LOSS_KINDS = 13,
};

/* Bits of wire_socket.flags. */
#define SOCKET_V6ONLY 1
#define SOCKET_ADDR_LOCK 2
#define SOCKET_PORT_LOCK 4
#define SOCKET_REUSEPORT 8
#define SOCKET_KERNEL 16 /* of wire_listed alone: the kernel's own, which no process holds */

/* Bits of wire_task.flags. */
#define TASK_CONNECTING 1 /* inside a connect() of the socket, which made it call this */

/* Bits of wire_miss.flags. */
#define MISS_PROVEN 1    /* the skb shows that UDP's receive path sent this ICMP */
#define MISS_WALKED 2    /* the port's slot was looked at */
#define MISS_TRUNCATED 4 /* ... and its chain went on after the last node */
#define MISS_LOOKUPS 8   /* the lookup probe is attached: `passes` means something */
#define MISS_L3MDEV 16   /* net.ipv4.udp_l3mdev_accept is set in the receiver's netns */
#define MISS_SKIPPED 32  /* the slot had sockets, but the budget of walks was used up */

struct wire_header {
    __u8 kind;
    __u8 version;
    __u16 size; /* of the whole record */
    __u32 cpu;
    __u64 time_ns; /* CLOCK_MONOTONIC */
};

struct wire_task {
    __u32 pid; /* thread group, in the initial pid namespace */
    __u32 tid;
    __u32 uid;
    __u32 flags;
    __u64 start_ns; /* CLOCK_BOOTTIME */
    char comm[16];
};

struct wire_socket {
    __u64 sock; /* address of struct sock: an identity, never dereferenced by the reader */
    __u64 cookie;
    __u64 inode;
    __u64 netns_cookie;
    __u32 netns;
    __u32 device;
    __u8 local4[4]; /* skc_rcv_saddr: what IPv4 lookups compare, whatever the family */
    __u8 peer4[4];
    __u8 local6[16];
    __u8 peer6[16];
    __u32 uid;
    __u16 lport;
    __u16 pport;
    __u16 family;
    __u8 state;
    __u8 flags;
    __u32 pad;
};

/* WIRE_CONNECT, WIRE_CONNECT6, WIRE_BIND, WIRE_AUTOBIND, WIRE_DISCONNECT */
struct wire_call {
    struct wire_header header;
    struct wire_task task;
    __u64 entered_ns;
    __s32 error; /* the function's return value: 0 or a negative errno */
    __u16 requested_family;
    __u16 requested_port;
    __u8 requested_addr[16];
    struct wire_socket before;
    struct wire_socket after;
};

struct wire_close {
    struct wire_header header;
    struct wire_task task;
    struct wire_socket socket;
};

struct wire_error {
    struct wire_header header;
    __s32 error; /* sk_err: a positive errno; 0: read already, it is what the ICMP stands for */
    __u16 icmp_family; /* of the ICMP received that it came from; 0: not from one */
    __u8 icmp_type;
    __u8 icmp_code;
    __u8 icmp_from[16];
    struct wire_socket socket;
};

/* An unreachable received from another netns or machine, about a datagram sent from here. */
struct wire_received {
    struct wire_header header;
    __u64 since_ns;
    __u64 total;
    __u64 netns_cookie;
    __u32 netns;
    __u32 ifindex; /* where the ICMP came in */
    __u8 icmp_from[16];
    __u8 saddr[16];
    __u8 daddr[16];
    __u16 sport;
    __u16 dport;
    __u16 family;
    __u8 icmp_type;
    __u8 icmp_code;
    __u32 length; /* of the UDP header quoted */
    __u32 sdif; /* 0 */
    char ifname[16];
};

/* Sockets of a walk: sent before the WIRE_MISS they belong to. The record ends with the last one. */
#define CANDIDATES 16
struct wire_candidates {
    struct wire_header header;
    __u64 walk;
    struct wire_socket sockets[CANDIDATES];
};

struct wire_miss {
    struct wire_header header;
    __u64 walk;
    __u64 since_ns;
    __u64 total;
    __u64 caller; /* return address at the function's entry: a hint */
    __u64 netns_cookie;
    __u32 netns;
    __u32 ifindex;
    __u32 sdif;
    __u32 length; /* of the UDP header */
    __u8 saddr[16];
    __u8 daddr[16];
    __u16 sport;
    __u16 dport;
    __u16 family;
    __u8 icmp_type;
    __u8 icmp_code;
    __u32 flags;
    __u32 passes;
    __u32 visited;
    __u32 matching;
    __u32 lost; /* of `matching`, not sent: the ring buffer was full */
    __u32 chain; /* the slot's own count of its sockets */
    char ifname[16];
};

/* Bytes kept of a datagram at most: more than its headers can have, or what --snaplen asks for. */
#ifndef PACKET_BYTES
#define PACKET_BYTES 256
#endif

/* The datagram's first bytes, from its IP header on: sent before the WIRE_MISS or WIRE_RECEIVED it
 * belongs to. The record ends with the last byte kept. */
struct wire_packet {
    struct wire_header header;
    __u64 owner; /* the time of that record */
    __u8 data[PACKET_BYTES];
};

/* What became of the ICMP of a miss that was sent as WIRE_MISS. None of these: it was suppressed
 * (no route, a busy socket...). */
struct wire_fate {
    struct wire_header header;
    __u64 walk;
    __u32 status; /* enum fate */
    __u32 pad;
};

enum fate {
    FATE_SENT = 0, /* handed to IP */
    FATE_RATE_LIMITED = 1,
};

/* Bits of miss_key.flags. */
#define KEY_PROVEN 1   /* as MISS_PROVEN */
#define KEY_RECEIVED 2 /* an ICMP that came in, not one that was being sent */

/* Key and value of the map that counts repeated misses: read from user space as well. */
struct miss_key {
    __u64 netns_cookie;
    __u32 netns;
    __u32 ifindex;
    __u32 sdif;
    __u8 saddr[16];
    __u8 daddr[16];
    __u16 sport;
    __u16 dport;
    __u16 family;
    __u8 icmp_type;
    __u8 icmp_code;
    __u32 flags;
};

struct miss_count {
    __u64 since_ns;
    __u64 last_ns;
    __u64 total;
    __u64 streamed_ns; /* when its evidence was last sent; 0 while none has been */
    __u64 sent;        /* of `total`, ICMPs handed to IP, and those a rate limit stopped */
    __u64 limited;
    __u32 generation; /* of the port, when its evidence was last sent */
    __u32 length;
    char ifname[16]; /* of the key's ifindex, when its evidence was last sent */
};

/* What bpf/sockets_iter.c writes, in records of one size: a socket, then its multicast groups. */
enum wire_listed_kind {
    LISTED_SOCKET = 1,
    LISTED_GROUP = 2,
    LISTED_MORE = 3, /* struct wire_listed_group: the socket has more groups than these */
};

struct wire_listed {
    __u8 kind;
    __u8 flags;
    __u16 lport;
    __u32 pad;
    __u64 cookie;
    __u64 inode;
    __u64 group; /* of SO_REUSEPORT: the same for its members, 0 for none */
};

struct wire_listed_group {
    __u8 kind;
    __u8 sources; /* only datagrams of sources that the socket names are taken */
    __u16 family;
    __u32 ifindex;
    __u8 address[16];
    __u64 pad;
};

#endif
