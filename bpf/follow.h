/*
 * Follow a packet by its sk_buff's address, from the place where it was recognised.
 *
 * An address proves nothing for long: a freed sk_buff is used again at once. So whoever meets a followed address
 * reads the packet and asks leg_of again before an event is sent; a stranger's address is forgotten.
 */
#pragma once

#define NOT_FOLLOWED (-1)
#define AT_NO_HOOK 0xff

static __always_inline int followed_slot(struct probe *probe, u64 skb)
{
#pragma unroll
    for (int i = 0; i < FOLLOWED; i++)
        if (probe->followed[i] == skb)
            return i;
    return NOT_FOLLOWED;
}

static __always_inline int follow(struct probe *probe, u64 skb)
{
    int slot = probe->next_followed++ & (FOLLOWED - 1);

    probe->at_hook[slot] = AT_NO_HOOK;
    probe->followed[slot] = skb;
    return slot;
}

/* Read the packet into a new event; NULL, and the address forgotten, when it is not ours. */
static __always_inline struct event *see(struct probe *probe, int slot, u64 skb, u8 kind)
{
    struct event *event = reserve_event();
    int leg;

    if (!event)
        return NULL;
    bpf_probe_read_kernel(event->packet, PACKET_BYTES, (void *)packet_start(skb));
    leg = leg_of(probe, event->packet);
    if (leg < 0) {
        if (slot != NOT_FOLLOWED)
            probe->followed[slot & (FOLLOWED - 1)] = 0;
        events.ringbuf_discard(event, 0);
        return NULL;
    }
    if (leg == LEG_REQUEST && probe->ports[0])
        learn(probe, event->packet);
    event->at_ns = bpf_ktime_get_ns();
    event->skb = skb;
    event->kind = kind;
    event->leg = leg;
    event->function[0] = 0;
    event->reason = 0;
    event->hook = 0;
    event->nth = 0;
    event->device_in = event->device_out = 0;
    READ(event->mark, skb + OFF_SKB_MARK);
    return event;
}
