"""Decide which namespaces and devices a trace watches."""

from __future__ import annotations

from tracer.endpoints.model import Device, ResolvedFlow
from tracer.endpoints.pods import peer_namespaces
from tracer.netns import Netns

MOST_PODS_INSIDE = 32  # pods of this node that a service may lead to: each costs a dozen links


def watched(flow: ResolvedFlow, known: tuple[Netns, ...]) -> tuple[tuple[Netns, ...], tuple[Device, ...]]:
    """Return the namespaces and devices in which the probe may show.

    Where the destination is translated on the way (a service), it may turn up behind any veth of the node: all of
    those are watched, and the namespaces behind them up to MOST_PODS_INSIDE.
    """
    ends = [end for end in (flow.source.netns, flow.destination.netns) if end is not None]
    behind = peer_namespaces(flow.node, flow.candidates[:MOST_PODS_INSIDE], known) if flow.candidates else {}
    namespaces = {netns.inum: netns for netns in (*behind.values(), *ends, flow.node)}
    devices = (*flow.devices, *(candidate.device for candidate in flow.candidates))
    return tuple(namespaces.values()), devices
