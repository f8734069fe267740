/*
 * Follow a packet by its sk_buff's address, from the place where it was recognised.
 *
 * An address proves nothing for long: a freed sk_buff is used again at once. So whoever meets a followed address
 * asks leg_of again before an event is sent; a stranger's address is forgotten.
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

/*
 * Read the packet into a new event; NULL, and the address forgotten, when it is not ours. A stranger's packet takes no
 * room in the ring buffer: what is discarded there still stands in the way until user space has read up to it.
 */
static __always_inline struct event *see(struct probe *probe, int slot, u64 skb, u8 kind)
{
    u64 packet = packet_start(skb);
    int leg = leg_of(probe, packet);
    struct event *event;

    if (leg < 0) {
        if (slot != NOT_FOLLOWED)
            probe->followed[slot & (FOLLOWED - 1)] = 0;
        return NULL;
    }
    if (leg == LEG_REQUEST && probe->ports[0])
        learn(probe, packet);
    event = reserve_event();
    if (!event)
        return NULL;
    bpf_probe_read_kernel(event->packet, PACKET_BYTES, (void *)packet);
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
