/*
 * The few members of kernel structures that we read. Offsets come from the running kernel's BTF (OFF_…).
 *
 * FIELD reads a member straight through a pointer that the verifier knows (netfilter's ctx->skb). BCC would turn
 * such a read into a helper call wherever it recognises a context pointer, which costs a bystander's packet
 * 20 ns, so the pointer goes through `known`, where BCC loses sight of it and the verifier does not.
 * READ reads from any address, with a helper.
 */
#pragma once

#define FIELD(type, pointer, offset) (*(type *)((pointer) + (offset)))
#define READ(destination, address) bpf_probe_read_kernel(&(destination), sizeof(destination), (void *)(address))

struct bpf_nf_ctx {
    const void *state;
    void *skb;
};

static __always_inline void *known(void *pointer)
{
    asm volatile("" : "+r"(pointer));
    return pointer;
}

static __always_inline u64 packet_start(u64 skb)
{
    u64 head = 0;
    u16 network_header = 0;

    READ(head, skb + OFF_SKB_HEAD);
    READ(network_header, skb + OFF_SKB_NETWORK_HEADER);
    return head + network_header;
}

static __always_inline u32 device_index(u64 device)
{
    u32 index = 0;

    if (device)
        READ(index, device + OFF_DEVICE_IFINDEX);
    return index;
}

static __always_inline u32 netns_number(u64 net)
{
    u32 number = 0;

    READ(number, net + OFF_NET_INUM);
    return number;
}

static __always_inline u32 device_netns(u64 device)
{
    u64 net = 0;

    READ(net, device + OFF_DEVICE_NET);
    return netns_number(net);
}
