"""Results of replays."""

from __future__ import annotations

from documents import ATTACK, ELIMINATED, HEALTHY, HOSTILE, POLICY_DROP, SPLIT
from msgspec.structs import replace

from tracer.scenario.run import ProbeResult, ReplayDocument

_AT_FORWARD = replace(
    SPLIT, verdict=replace(SPLIT.verdict, culprit=replace(SPLIT.verdict.culprit, hook="FORWARD", device="eth9"))
)
SPLIT_REPLAY = ReplayDocument(
    "calico-backend-split",
    "After Calico changed its backend, new pods cannot reach their node",
    (
        ProbeResult("node-to-new", "before", (), SPLIT),
        ProbeResult("new-to-dns", "before", (), _AT_FORWARD),
        ProbeResult("old-to-node", "before", (), HEALTHY),
        ProbeResult("node-to-new", "after", (), HEALTHY),
        ProbeResult("new-to-dns", "after", (), HEALTHY),
        ProbeResult("old-to-node", "after", (), HEALTHY),
    ),
)
DIFFERING_REPLAY = ReplayDocument(
    "forward-policy-drop",
    "Docker's policy drops what the CNI accepts",
    (
        ProbeResult("web-to-new", "before", (), POLICY_DROP),
        ProbeResult("node-to-new", "before", ("outcome should be delivered, and is reply_lost",), ELIMINATED),
    ),
)
HOSTILE_REPLAY = ReplayDocument(ATTACK, ATTACK, (ProbeResult(ATTACK, "before", (ATTACK,), HOSTILE),))
