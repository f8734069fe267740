"""What the lab's DNS server answers."""

from __future__ import annotations

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRROPT

from tracer.scenario.responders import dns_answer


@pytest.mark.parametrize("name", ["kubernetes.default.svc.cluster.local", "a", "x" * 63 + ".example"])
@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_a_name_does_not_exist(name, qtype):
    query = DNS(id=7, rd=1, qd=DNSQR(qname=name, qtype=qtype), ar=DNSRROPT())
    answer = DNS(dns_answer(bytes(query)))
    assert (answer.id, answer.qr, answer.opcode, answer.rd, answer.ra, answer.rcode) == (7, 1, 0, 1, 1, 3)
    assert (answer.qdcount, answer.ancount, answer.nscount, answer.arcount) == (1, 0, 0, 0)
    assert bytes(answer.qd[0]) == bytes(query.qd[0])


def test_recursion_that_is_not_desired_stays_so():
    assert DNS(dns_answer(bytes(DNS(rd=0, qd=DNSQR(qname="a"))))).rd == 0


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"\0" * 11,
        bytes(DNS(qr=1, qd=DNSQR(qname="a"))),
        bytes(DNS(qd=[DNSQR(qname="a"), DNSQR(qname="b")])),
        bytes(DNS(qd=DNSQR(qname="a")))[:-1],
        bytes(DNS(qd=DNSQR(qname="a")))[:13],
        bytes(DNS(qd=[])) + b"",
        b"\0\0\1\0\0\1\0\0\0\0\0\0\xff\xff",
    ],
)
def test_what_is_no_query_gets_no_answer(query):
    assert dns_answer(query) is None
