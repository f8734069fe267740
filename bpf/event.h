/* What user space is told of one packet at one place. tracer/capture/layout.py reads the same bytes. */
#pragma once

#include "symbol.h"

#define PACKET_BYTES 128

enum kind { KIND_INGRESS = 1, KIND_EGRESS = 2, KIND_HOOK = 3, KIND_FREED = 4 };
enum leg { LEG_REQUEST = 0, LEG_REPLY = 1 };

struct event {
    u64 at_ns;
    u64 skb;
    u32 netns; /* inode number of the namespace */
    u32 device_in; /* interface index; for a device event, that device */
    u32 device_out;
    u32 mark;
    u32 reason; /* enum skb_drop_reason of the running kernel */
    u8 kind;
    u8 leg;
    u8 hook; /* include/uapi/linux/netfilter.h */
    u8 nth; /* which of our links at this hook, from 0 */
    u8 packet[PACKET_BYTES]; /* from the network header */
    char function[SYMBOL]; /* who called kfree_skb */
};

BPF_RINGBUF_OUTPUT(events, 64);
BPF_ARRAY(lost, u64, 1);

static __always_inline struct event *reserve_event(void)
{
    struct event *event = events.ringbuf_reserve(sizeof(struct event));

    if (!event)
        lost.increment(0);
    return event;
}
