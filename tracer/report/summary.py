"""What comes first: the verdict in one sentence, and who the culprit is."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.document import Culprit, Verdict
from tracer.report.mark import Mark
from tracer.report.rows import Row, row
from tracer.report.traversal import rule_words, table_words
from tracer.report.view import OUTCOME_STYLES, freed_words, reason_words

_LABEL = 14  # columns of a label in the culprit's block


def verdict_row(verdict: Verdict) -> Row:
    """Return the verdict's sentence; its first words, up to the colon, bear the outcome's colour."""
    outcome, colon, sentence = verdict.summary.partition(":")
    return row("", (outcome + colon, OUTCOME_STYLES[verdict.outcome]), (sentence, "bold"))


def culprit_rows(culprit: Culprit, verdict: Verdict, mark: Mark | None, hooks: str) -> Iterator[Row]:
    """Yield what is known of the culprit, a line for each thing; `hooks` says where it stands."""
    freed = freed_words(mark.freed.detail) if mark and mark.freed and not culprit.function else None
    lines = (
        ("rule" if culprit.kind == "rule" else "policy", culprit.rule),
        ("where", _where(culprit)),
        ("owner", culprit.owner),
        ("hook", hooks),
        ("function", culprit.function),
        ("reason", culprit.reason and reason_words(culprit.reason)),
        ("freed by", freed),
        ("confidence", verdict.confidence if verdict.confidence == "observed" else f"inferred: {verdict.basis}"),
    )
    for label, text in lines:
        if text:
            yield row(f"  {label:<{_LABEL - 2}}", text)


def _where(culprit: Culprit) -> str:
    words = [
        culprit.backend or "",
        _table(culprit),
        f"chain {culprit.chain}" if culprit.chain else "",
        rule_words(culprit.position, culprit.handle),
    ]
    return ", ".join(word for word in words if word)


def _table(culprit: Culprit) -> str:
    if culprit.table is None:
        return ""
    if culprit.backend is None or culprit.family is None:
        return f"table {culprit.table}"
    program = " (ip6tables)" if culprit.family == "ip6" and culprit.backend != "nftables" else ""
    return f"table {table_words(culprit.backend, culprit.family, culprit.table)}{program}"


def hook_words(culprit: Culprit) -> str:
    """Return `INPUT in node, device eth0`, as far as it is known."""
    device = f", device {culprit.device}" if culprit.device else ""
    return f"{culprit.hook} in {culprit.netns}{device}" if culprit.hook else f"in {culprit.netns}{device}"
