"""Rule evidence: mark one probe's packets, and hear from both packet-filter backends which rules they matched.

`skb->nf_trace` is one bit that nf_tables and the legacy tables both honour. `mark.mark_flow` sets it on the
probe's packets alone, `nft_trace` and `legacy_trace` read what each backend then says, and `rules` turns it into
events.
"""
