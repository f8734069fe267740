/*
 * Is this packet our probe, or the answer to it?
 *
 * The request carries a token (TCP: a sequence number) that NAT leaves alone, and so does every answer but that of
 * plain UDP, which is known by addresses and ports: those that the request was last seen with, turned round. What to
 * look for where is a list of patterns. User space writes it before any program is linked (tracer/capture/patterns.py);
 * for UDP it grows here, as the request is seen with new addresses.
 */
#pragma once

#define FOLLOWED 4
#define PATTERNS 8
#define PORTS 4
#define WORDS 4
#define HEADERS_BYTES 48 /* IPv6 header and the first 8 bytes of what follows */

#define ICMP 1
#define UDP 17
#define ICMPV6 58

/* A word of the packet, from its network header: (word at `at`) & mask == value. */
struct word {
    u64 mask;
    u64 value;
    u64 at;
};

struct pattern {
    struct word words[WORDS]; /* one with an empty mask always fits */
    u8 protocol; /* 0 ends the list */
    u8 leg;
    u8 unused[6];
};

struct probe {
    u64 followed[FOLLOWED]; /* sk_buffs that are ours; first, because every packet is compared with them */
    u16 ports[PORTS]; /* source ports that the request was seen with, as they lie in the packet */
    u8 version; /* 4 or 6 */
    u8 protocol;
    u8 next_followed;
    u8 next_port;
    u8 next_pattern;
    u8 unused[3];
    u32 at_netns[FOLLOWED];
    u8 at_hook[FOLLOWED];
    u8 at_nth[FOLLOWED];
    struct pattern patterns[PATTERNS];
};

BPF_ARRAY(probes, struct probe, 1);

static __always_inline struct probe *the_probe(void)
{
    int zero = 0;

    return probes.lookup(&zero);
}

/* clang would add a small number to an aligned stack address with an OR, which the verifier refuses. */
static __always_inline u64 plain_number(u64 number)
{
    asm volatile("" : "+r"(number));
    return number;
}

static __always_inline bool has_our_port(struct probe *probe, u32 ports)
{
#pragma unroll
    for (int i = 0; i < PORTS; i++)
        if (probe->ports[i] && (probe->ports[i] == (u16)ports || probe->ports[i] == ports >> 16))
            return true;
    return false;
}

/* Cheap, for every packet: may it be ours? Packets with IP options or extension headers never are. */
static __always_inline bool is_plausible(struct probe *probe, const u8 *headers)
{
    bool ipv4 = probe->version == 4;
    u8 protocol = headers[plain_number(ipv4 ? 9 : 6)];

    if (headers[0] >> 4 != probe->version)
        return false;
    if (protocol == ICMP || protocol == ICMPV6)
        return true; /* an echo or an error: leg_of knows */
    return protocol == probe->protocol && has_our_port(probe, *(u32 *)(headers + plain_number(ipv4 ? 20 : 40)));
}

/* From the packet itself: for a copy, strangers would take up room, in the ring buffer or on the stack. */
static __always_inline u64 word_at(u64 packet, u64 at)
{
    u64 word = 0;

    READ(word, packet + at);
    return word;
}

static __always_inline bool fits(const struct word *word, u64 packet)
{
    return (word_at(packet, word->at) & word->mask) == word->value;
}

/* Certain, for plausible packets: which leg of ours is it, or -1. */
static __always_inline int leg_of(struct probe *probe, u64 packet)
{
    u8 first = 0, protocol = 0;

    READ(first, packet);
    READ(protocol, packet + (probe->version == 4 ? 9 : 6));
    if (first >> 4 != probe->version)
        return -1;
#pragma nounroll
    for (int i = PATTERNS - 1; i >= 0; i--) { /* the newest first: an echo of the token is an answer */
        struct pattern *pattern = &probe->patterns[i];

        if (pattern->protocol == protocol && fits(&pattern->words[0], packet) && fits(&pattern->words[1], packet) &&
            fits(&pattern->words[2], packet) && fits(&pattern->words[3], packet))
            return pattern->leg;
    }
    return -1;
}

/* The request has these addresses and ports now: expect the answer to them. */
static __always_inline void learn(struct probe *probe, u64 packet)
{
    bool ipv4 = probe->version == 4;
    u32 ports = word_at(packet, ipv4 ? 20 : 40);
    u8 free = probe->next_pattern, last = (free - 1) & (PATTERNS - 1);
    struct word address = { ipv4 ? 0xffffffff : -1ULL, 0, ipv4 ? 12 : 16 }; /* of IPv6 addresses, the lower half */
    struct word turned = { 0xffffffff, ports << 16 | ports >> 16, ipv4 ? 20 : 40 };
    struct pattern *pattern = &probe->patterns[free & (PATTERNS - 1)];

    address.value = word_at(packet, ipv4 ? 16 : 32) & address.mask;
    if (free >= PATTERNS)
        return;
    if (probe->patterns[last].words[0].value == address.value && probe->patterns[last].words[1].value == turned.value)
        return;
    pattern->words[0] = address;
    pattern->words[1] = turned;
    pattern->leg = LEG_REPLY;
    pattern->protocol = UDP;
    probe->next_pattern++;
    probe->ports[probe->next_port++ & (PORTS - 1)] = ports;
}
