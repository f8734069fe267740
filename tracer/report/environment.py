"""How the trace was made: what it changed on the node, what it missed, by which means."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.document import Change, TraceDocument
from tracer.report.rows import ARROW, Row, empty, listed, row, title


def environment_block(document: TraceDocument) -> Iterator[Row]:
    """Yield changes, losses, notes and means."""
    capture, host = document.capture, document.host
    yield empty()
    yield title("This trace")
    if capture.lost:
        yield row("  ", (lost_words(capture.lost), "bold yellow"))
    for note in capture.notes:
        yield row("  note: ", note)
    for change in capture.changes:
        yield _change_row(change)
    means = listed((f"netfilter {capture.netfilter}", capture.veth, *capture.rules))
    yield row("  ", (f"{capture.events} events, seen by {means}", "dim"))
    yield row("  ", (f"tracer {host.tool} on {host.node}, kernel {host.kernel}, {host.started}", "dim"))


def lost_words(lost: int) -> str:
    """Return a warning for a trace with gaps."""
    return f"{lost} event{'' if lost == 1 else 's'} found no room and were lost: hops or rules may be missing"


def _change_row(change: Change) -> Row:
    what = f"{change.netns}: {change.what}: {change.before or 'absent'} {ARROW} {change.after or 'absent'}, "
    restored = ("restored", "green") if change.restored else ("NOT RESTORED", "bold red")
    return row("  changed in ", what, restored)
