/* Netfilter links (kernel 6.4 and newer): at a hook's start, and after each group of its functions. */
#include "event.h"
#include "kernel_types.h"
#include "probe.h"
#include "follow.h"

#define NF_ACCEPT 1

static __always_inline int see_at_hook(struct bpf_nf_ctx *ctx, struct probe *probe, int slot, u64 skb)
{
    struct event *event = see(probe, slot, skb, KIND_HOOK);
    u64 state = 0, net = 0, in = 0, out = 0;
    u32 netns;

    if (!event)
        return NF_ACCEPT;
    if (slot == NOT_FOLLOWED)
        slot = follow(probe, skb);
    slot &= FOLLOWED - 1;
    /* ctx->state, with a helper: the verifier looks a context member's type up among all of BTF's, for 10 ms. */
    READ(state, (u64)ctx + __builtin_offsetof(struct bpf_nf_ctx, state));
    READ(net, state + OFF_STATE_NET);
    READ(in, state + OFF_STATE_IN);
    READ(out, state + OFF_STATE_OUT);
    READ(event->hook, state + OFF_STATE_HOOK);
    netns = netns_number(net);
    event->device_in = device_index(in);
    event->device_out = device_index(out);
    event->netns = netns;
    if (probe->at_hook[slot] == event->hook && probe->at_netns[slot] == netns)
        probe->at_nth[slot]++;
    else
        probe->at_nth[slot] = 0;
    probe->at_hook[slot] = event->hook;
    probe->at_netns[slot] = netns;
    event->nth = probe->at_nth[slot];
    events.ringbuf_submit(event, 0);
    return NF_ACCEPT;
}

/* Where a packet is born or enters: recognise it. */
int netfilter_entry(struct bpf_nf_ctx *ctx)
{
    struct probe *probe = the_probe();
    void *skb = known(ctx->skb);
    u8 headers[HEADERS_BYTES];
    u64 start;
    int slot;

    if (!probe)
        return NF_ACCEPT;
    slot = followed_slot(probe, (u64)skb);
    if (slot == NOT_FOLLOWED) {
        start = FIELD(u64, skb, OFF_SKB_HEAD) + FIELD(u16, skb, OFF_SKB_NETWORK_HEADER);
        bpf_probe_read_kernel(headers, HEADERS_BYTES, (void *)start);
        if (!is_plausible(probe, headers))
            return NF_ACCEPT;
    }
    return see_at_hook(ctx, probe, slot, (u64)skb);
}

/* Everywhere else: compare its address with those that are followed. */
int netfilter_passage(struct bpf_nf_ctx *ctx)
{
    struct probe *probe = the_probe();
    void *skb = known(ctx->skb);
    int slot;

    if (!probe)
        return NF_ACCEPT;
    slot = followed_slot(probe, (u64)skb);
    if (slot == NOT_FOLLOWED)
        return NF_ACCEPT;
    return see_at_hook(ctx, probe, slot, (u64)skb);
}
