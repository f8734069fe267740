/* The kfree_skb tracepoint: where a packet ends, who freed it, and why (include/trace/events/skb.h). */
#include "event.h"
#include "kernel_types.h"
#include "probe.h"
#include "follow.h"

/* Where its device is now: a packet that went through a veth may end where nobody watches. */
static __always_inline u32 last_netns(u64 skb, u32 seen_in)
{
    u64 device = 0;
    u32 netns;

    READ(device, skb + OFF_SKB_DEV);
    netns = device ? device_netns(device) : 0;
    return netns ? netns : seen_in;
}

int freed(struct bpf_raw_tracepoint_args *ctx)
{
    struct probe *probe = the_probe();
    u64 skb = ctx->args[0];
    struct event *event;
    int slot;

    if (!probe)
        return 0;
    slot = followed_slot(probe, skb);
    if (slot == NOT_FOLLOWED)
        return 0;
    event = see(probe, slot, skb, KIND_FREED);
    if (!event)
        return 0;
    slot &= FOLLOWED - 1;
    event->netns = last_netns(skb, probe->at_netns[slot]);
    event->hook = probe->at_hook[slot];
    event->nth = probe->at_nth[slot];
    write_symbol(event->function, ctx->args[1]);
    event->reason = ctx->args[2];
    probe->followed[slot] = 0;
    events.ringbuf_submit(event, 0);
    return 0;
}
