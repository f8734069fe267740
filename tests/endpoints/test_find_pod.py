"""Look for the pod that holds an address, while other namespaces come and go."""

from __future__ import annotations

from tracer.endpoints import pods
from tracer.endpoints.links import InterfaceAddress
from tracer.endpoints.model import Device, HostEnd
from tracer.errors import CannotTraceError
from tracer.netns import Netns

NODE, ENDED, RUNNING = Netns("node", "/n", 1), Netns("pid:7", "/e", 2), Netns("pid:8", "/r", 3)


def test_a_namespace_that_ended_since_it_was_listed_is_passed_over(monkeypatch):
    held = InterfaceAddress(index=2, family=4, address="10.0.0.2")
    pod = pods.Pod(RUNNING, (), (held,), {2: HostEnd(Device(NODE, "cali0", 5))})

    def read_pod(netns, _node):
        if netns == ENDED:
            raise CannotTraceError("the network namespace of pid:7 is gone")
        return pod

    monkeypatch.setattr(pods, "namespaces_holding", lambda *_: (ENDED, RUNNING))
    monkeypatch.setattr(pods, "read_pod", read_pod)
    assert pods.find_pod("10.0.0.2", NODE, ()) is pod
