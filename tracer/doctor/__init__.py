"""Say by trying whether this machine can trace, by which means, and what it lacks.

model     what a diagnosis is           diagnose    from trials to a diagnosis
trials    all trials, as a table        bench       what they are tried on: a namespace and a veth of our own
machine, bpf, packet_filters, programs  the trials by topic
"""
