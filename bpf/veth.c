/* Device programs, on TCX: the packet leaves or enters a namespace. */
#include "event.h"
#include "kernel_types.h"
#include "probe.h"
#include "follow.h"

#define TCX_NEXT (-1)

static __always_inline int see_at_device(struct __sk_buff *ctx, u8 kind)
{
    struct probe *probe = the_probe();
    u64 skb = (u64)ctx, device = 0;
    u8 headers[HEADERS_BYTES] = {};
    struct event *event;
    int slot;

    if (!probe)
        return TCX_NEXT;
    slot = followed_slot(probe, skb);
    if (slot == NOT_FOLLOWED) {
        /* IPv4 packets may be shorter than HEADERS_BYTES; the shortest of ours has an IPv4 and a UDP header. */
        u32 length = probe->version == 4 ? 28 : HEADERS_BYTES;

        if (bpf_skb_load_bytes_relative(ctx, 0, headers, length, BPF_HDR_START_NET) || !is_plausible(probe, headers))
            return TCX_NEXT;
    }
    event = see(probe, slot, skb, kind);
    if (!event)
        return TCX_NEXT;
    if (slot == NOT_FOLLOWED)
        slot = follow(probe, skb);
    slot &= FOLLOWED - 1;
    READ(device, skb + OFF_SKB_DEV);
    event->netns = device_netns(device);
    event->device_in = ctx->ifindex;
    probe->at_hook[slot] = AT_NO_HOOK;
    probe->at_netns[slot] = event->netns;
    events.ringbuf_submit(event, 0);
    return TCX_NEXT;
}

int device_ingress(struct __sk_buff *ctx)
{
    return see_at_device(ctx, KIND_INGRESS);
}

int device_egress(struct __sk_buff *ctx)
{
    return see_at_device(ctx, KIND_EGRESS);
}
