/*
 * What runs at each netfilter hook, in the order of execution: struct net, nf.hooks_ipv4 and hooks_ipv6.
 *
 * User space runs this by hand from a thread inside the namespace, once a function; it is attached to nothing. The array is laid
 * out in include/linux/netfilter.h: the entries { hook, priv }, then as many pointers to nf_hook_ops.
 */
#include "kernel_types.h"
#include "symbol.h"

#define NAME 64

struct hook_function {
    s32 priority;
    u8 ipv6;
    u8 hook;
    u8 order;
    u8 nat; /* stands inside the NAT function at this order, not in the hook itself */
    u8 nft_family;
    u8 unused[3];
    char xt_table[NAME]; /* only one of xt and nft means something: `function` says which */
    char nft_table[NAME];
    char nft_chain[NAME];
    char function[SYMBOL];
};

BPF_RINGBUF_OUTPUT(hook_functions, 64);

static __always_inline void read_function(u64 entries, u16 order, u16 count, u8 ipv6, u8 hook, u8 nat)
{
    struct hook_function *out = hook_functions.ringbuf_reserve(sizeof(struct hook_function));
    u64 entry = entries + OFF_ENTRIES_HOOKS + 16 * order;
    u64 function = 0, priv = 0, ops = 0, chain = 0, table = 0;

    if (!out)
        return;
    READ(function, entry);
    write_symbol(out->function, function);
    READ(priv, entry + 8);
    READ(ops, entries + OFF_ENTRIES_HOOKS + 16 * count + 8 * order);
    READ(out->priority, ops + OFF_OPS_PRIORITY);
    out->ipv6 = ipv6;
    out->hook = hook;
    out->order = order;
    out->nat = nat;
    bpf_probe_read_kernel_str(out->xt_table, NAME, (void *)(priv + OFF_XT_TABLE_NAME));
    READ(chain, priv + OFF_CHAIN_NAME);
    bpf_probe_read_kernel_str(out->nft_chain, NAME, (void *)chain);
    READ(chain, priv + OFF_CHAIN_TABLE);
    READ(table, chain + OFF_TABLE_NAME);
    READ(out->nft_family, chain + OFF_TABLE_FAMILY);
    bpf_probe_read_kernel_str(out->nft_table, NAME, (void *)table);
    hook_functions.ringbuf_submit(out, 0);
}

static __always_inline u64 entries_of(u8 ipv6, u8 hook)
{
    u64 nsproxy = 0, net = 0, entries = 0;

    READ(nsproxy, bpf_get_current_task() + OFF_TASK_NSPROXY);
    READ(net, nsproxy + OFF_NSPROXY_NET);
    READ(entries, net + (ipv6 ? OFF_HOOKS_IPV6 : OFF_HOOKS_IPV4) + 8 * hook);
    return entries;
}

/* args: is it IPv6, the hook's number, 0 or one more than the order of a NAT function to look into, and the order */
int read_hook(struct bpf_raw_tracepoint_args *ctx)
{
    u8 ipv6 = ctx->args[0], hook = ctx->args[1];
    u64 nat = ctx->args[2], order = ctx->args[3], entries = entries_of(ipv6, hook), priv = 0;
    u16 count = 0;

    if (nat) {
        /* struct nf_nat_lookup_hook_priv starts with the entries (net/netfilter/nf_nat_core.c) */
        READ(priv, entries + OFF_ENTRIES_HOOKS + 16 * (nat - 1) + 8);
        READ(entries, priv);
    }
    if (!entries)
        return 0;
    READ(count, entries);
    if (order < count)
        read_function(entries, order, count, ipv6, hook, nat != 0);
    return 0;
}
