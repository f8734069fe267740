"""Trace documents to test with: one for each outcome, shaped like what a node with Calico and kube-proxy gives."""

from __future__ import annotations

from documents.forwarded import POLICY_DROP, REJECTED, SERVICE
from documents.hostile import ATTACK, HOSTILE
from documents.pings import ELIMINATED, HEALTHY, KERNEL_DROP, NO_REPLY, NOT_SENT, SPLIT

ALL = {
    "healthy": HEALTHY,
    "split": SPLIT,
    "policy_drop": POLICY_DROP,
    "kernel_drop": KERNEL_DROP,
    "service": SERVICE,
    "rejected": REJECTED,
    "no_reply": NO_REPLY,
    "not_sent": NOT_SENT,
    "eliminated": ELIMINATED,
    "hostile": HOSTILE,
}

__all__ = [
    "ALL",
    "ATTACK",
    "ELIMINATED",
    "HEALTHY",
    "HOSTILE",
    "KERNEL_DROP",
    "NOT_SENT",
    "NO_REPLY",
    "POLICY_DROP",
    "REJECTED",
    "SERVICE",
    "SPLIT",
]
