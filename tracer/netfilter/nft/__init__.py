"""The rules of nf_tables: native tables, and those that iptables-nft keeps there.

kernel      what nf_tables itself tells       tables, ownership   its tables, and which are iptables-nft's
save        what iptables-nft-save prints     listing             what nft prints, both run by programs
rules       a rule's text with its handle     rulesets            all rules, as tables of the one model
texts       the few chains that a packet met  summary             counts and owners

Everything but `texts` asks in the calling thread's network namespace (see tracer.netns.run_in).
"""
