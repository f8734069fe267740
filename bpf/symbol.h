/*
 * Kernel addresses as text, made by the kernel: user space would have to read all of kallsyms for one name, which takes
 * 0.1 s. The format has to lie in a read-only map: user space writes it and freezes the map before a program is loaded.
 */
#pragma once

#define SYMBOL 64

struct format {
    char text[8];
};

BPF_F_TABLE("array", int, struct format, formats, 1, BPF_F_RDONLY_PROG);

static __always_inline void write_symbol(char *text, u64 address)
{
    int zero = 0;
    struct format *format = formats.lookup(&zero);

    if (format)
        bpf_snprintf(text, SYMBOL, format->text, &address, sizeof(address));
}
