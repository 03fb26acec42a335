/* Reads the offending datagram out of an skb: headers, arrival, and who gave it to ICMP. */
#ifndef UDPTRACE_PACKET_H
#define UDPTRACE_PACKET_H

#include "kernel.h"

#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44
#define IPV6_DESTINATION 60
#define IPV6_EXTENSIONS 6
#define IPV4_SADDR 12 // of struct iphdr
#define IPV6_SADDR 8 // of struct ipv6hdr; the destination follows
#define IPV6_ADDR_BYTES 16
#define IFNAME_BYTES 16
#define IPSKB_L3SLAVE (1 << 7)
#define IP6SKB_L3SLAVE 64

struct ipv4_header {
    u8 version_ihl;
    u8 tos;
    u16 total_length;
    u16 id;
    u16 fragment;
    u8 ttl;
    u8 protocol;
    u16 checksum;
    u8 saddr[4];
    u8 daddr[4];
};

struct ipv6_header {
    u8 version_class;
    u8 flow[3];
    u16 length;
    u8 next_header;
    u8 hop_limit;
    u8 saddr[16];
    u8 daddr[16];
};

struct udp_header {
    u16 sport;
    u16 dport;
    u16 length;
    u16 checksum;
};

static __always_inline u64 route_of(u64 skb) {
    u64 dst = 0;
    LOAD(dst, SK_BUFF, skb, OFF_SKB_DST);
    return dst & ~1ULL; // SKB_DST_NOREF
}

// The receiver's netns is the route's; a datagram being sent has no skb->dev yet.
static __always_inline u64 device_of(u64 skb, u64 route) {
    u64 dev = 0;
    if (route)
        LOAD(dev, DST_ENTRY, route, OFF_DST_DEV);
    if (!dev)
        LOAD(dev, SK_BUFF, skb, OFF_SKB_DEV);
    return dev;
}

// Where the datagram came in, as the lookup compares it with a socket's bound device. Below a VRF
// the control block keeps the enslaved interface; `iif` is the first member of either one.
static __always_inline void read_arrival(u64 skb, u64 route, struct miss_key *key) {
    u16 flags = 0;
    // inet_iif (include/net/route.h): what is sent to an own address of another device runs over
    // loopback, but its route names that device.
    if (route)
        LOAD(key->ifindex, RTABLE, route, OFF_RTABLE_IIF);
    if (!key->ifindex)
        LOAD(key->ifindex, SK_BUFF, skb, OFF_SKB_IIF);
    LOAD(flags, SK_BUFF, skb, OFF_SKB_CB + OFF_INET_PARM_FLAGS); // inet_sdif (include/net/ip.h)
    if (flags & IPSKB_L3SLAVE)
        LOAD(key->sdif, SK_BUFF, skb, OFF_SKB_CB);
}

// inet6_iif, inet6_sdif (include/linux/ipv6.h)
static __always_inline void read_arrival6(u64 skb, struct miss_key *key) {
    u16 flags = 0;
    LOAD(flags, SK_BUFF, skb, OFF_SKB_CB + OFF_INET6_PARM_FLAGS);
    LOAD(key->ifindex, SK_BUFF, skb, OFF_SKB_CB);
    if (flags & IP6SKB_L3SLAVE) {
        key->sdif = key->ifindex;
        LOAD(key->ifindex, SK_BUFF, skb, OFF_SKB_IIF);
    }
}

// Only the device at hand tells its name: left empty when the route named another one.
static __always_inline void read_ifname(u64 skb, u64 dev, u32 wanted, char *ifname) {
    u64 skb_dev = 0;
    u32 ifindex = 0;
    LOAD(skb_dev, SK_BUFF, skb, OFF_SKB_DEV);
    if (!skb_dev)
        skb_dev = dev;
    LOAD(ifindex, NET_DEVICE, skb_dev, OFF_DEV_IFINDEX);
    __builtin_memset(ifname, 0, IFNAME_BYTES);
    if (ifindex == wanted)
        bpf_probe_read_kernel(ifname, IFNAME_BYTES, (void *)(skb_dev + OFF_DEV_NAME));
}

// In a map, not on the stack: the verifier would follow each length that the headers can have to the
// program's end.
struct skb_layout {
    u64 head;
    u64 data;
    u32 tail; // where the linear part ends, behind `head` as well
    u16 network;
    u16 transport;
    u16 headers; // bytes of the datagram's IP and UDP headers: read_datagram
};

#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))

#ifdef CAST
static __always_inline void read_layout(u64 skb, struct skb_layout *layout) {
    LOAD(layout->head, SK_BUFF, skb, OFF_SKB_HEAD);
    LOAD(layout->data, SK_BUFF, skb, OFF_SKB_DATA);
    LOAD(layout->tail, SK_BUFF, skb, OFF_SKB_TAIL);
    LOAD(layout->network, SK_BUFF, skb, OFF_SKB_NETWORK);
    LOAD(layout->transport, SK_BUFF, skb, OFF_SKB_TRANSPORT);
}
#else
// These members of sk_buff are near each other: one read instead of five, for every ICMP. Its begin
// and its end are rounded, since what has 8 bytes must be aligned on the stack.
#define OF_ALL(f)                                                                                  \
    f(OFF_SKB_HEAD, f(OFF_SKB_DATA, f(OFF_SKB_TAIL, f(OFF_SKB_NETWORK, OFF_SKB_TRANSPORT))))
#define SKB_SPAN (OF_ALL(LESS) & ~7)
#define SKB_SPAN_END ((OF_ALL(MORE) & ~7) + 8)
#define FROM_SPAN(span, type, offset) (*(type *)((span) + (offset)-SKB_SPAN))

static __always_inline void read_layout(u64 skb, struct skb_layout *layout) {
    char span[SKB_SPAN_END - SKB_SPAN] __attribute__((aligned(8))) = {};
    READ(span, skb + SKB_SPAN);
    layout->head = FROM_SPAN(span, u64, OFF_SKB_HEAD);
    layout->data = FROM_SPAN(span, u64, OFF_SKB_DATA);
    layout->tail = FROM_SPAN(span, u32, OFF_SKB_TAIL);
    layout->network = FROM_SPAN(span, u16, OFF_SKB_NETWORK);
    layout->transport = FROM_SPAN(span, u16, OFF_SKB_TRANSPORT);
}
#endif

// What nearly all IPv4 datagrams begin with: one read instead of two.
struct ipv4_and_udp {
    struct ipv4_header ip;
    struct udp_header udp;
};

static __always_inline void take_udp(const struct udp_header *udp, struct miss_key *key,
                                     u32 *length) {
    key->sport = bpf_ntohs(udp->sport);
    key->dport = bpf_ntohs(udp->dport);
    *length = bpf_ntohs(udp->length);
}

// UDP's receive path has pulled the IP header; netfilter and the tunnels have not.
static __always_inline bool is_from_udp(const struct skb_layout *skb) {
    return skb->data == skb->head + skb->transport;
}

// Where the datagram ends before its UDP header does, what lies behind it is none of its own.
static __always_inline bool has_udp(struct skb_layout *skb, u32 offset) {
    skb->headers = offset + sizeof(struct udp_header);
    return skb->network + skb->headers <= skb->tail;
}

// Reads the offending datagram into `key`. Returns false when it is not UDP over IPv4, or has no
// ports: a later fragment, or one that is cut short.
static __always_inline bool read_datagram(struct skb_layout *skb, struct miss_key *key,
                                          u32 *length) {
    struct ipv4_and_udp both = {};
    struct ipv4_header *ip = &both.ip;
    u32 offset;
    READ(both, skb->head + skb->network);
    if (ip->version_ihl >> 4 != 4 || ip->protocol != PROTOCOL_UDP)
        return false;
    if (bpf_ntohs(ip->fragment) & 0x1fff)
        return false;
    offset = (ip->version_ihl & 15) * 4;
    if (!has_udp(skb, offset))
        return false;
    if (offset != sizeof(*ip)) // with options
        READ(both.udp, skb->head + skb->network + offset);
    take_udp(&both.udp, key, length);
    __builtin_memcpy(key->saddr, ip->saddr, 4);
    __builtin_memcpy(key->daddr, ip->daddr, 4);
    key->family = AF_INET_;
    return true;
}

// The offset of the UDP header behind at most IPV6_EXTENSIONS extension headers (RFC 8200,
// section 4); 0 when what follows is not UDP, or a later fragment.
static __always_inline u32 udp_offset6(u64 header, u8 next) {
    u32 offset = sizeof(struct ipv6_header);
#pragma unroll
    for (int i = 0; i < IPV6_EXTENSIONS; i++) {
        u8 extension[4] = {};
        if (next == PROTOCOL_UDP)
            return offset;
        if (next != IPV6_HOP_BY_HOP && next != IPV6_ROUTING && next != IPV6_FRAGMENT &&
            next != IPV6_DESTINATION)
            return 0;
        READ(extension, header + offset);
        if (next == IPV6_FRAGMENT && (bpf_ntohs(*(u16 *)(extension + 2)) & ~7))
            return 0;
        offset += next == IPV6_FRAGMENT ? 8 : (extension[1] + 1) * 8;
        next = extension[0];
    }
    return next == PROTOCOL_UDP ? offset : 0;
}

static __always_inline bool read_datagram6(struct skb_layout *skb, struct miss_key *key,
                                           u32 *length) {
    struct ipv6_header ip = {};
    struct udp_header udp = {};
    u32 offset;
    READ(ip, skb->head + skb->network);
    if (ip.version_class >> 4 != 6)
        return false;
    offset = udp_offset6(skb->head + skb->network, ip.next_header);
    if (!offset || !has_udp(skb, offset))
        return false;
    READ(udp, skb->head + skb->network + offset);
    take_udp(&udp, key, length);
    __builtin_memcpy(key->saddr, ip.saddr, 16);
    __builtin_memcpy(key->daddr, ip.daddr, 16);
    key->family = AF_INET6_;
    return true;
}

#endif
