"""How the trace was made: what it changed on the node, what it missed, by which means."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from tracer.document import Change, TraceDocument
from tracer.report.charset import Charset
from tracer.report.rows import Row, row, title


def environment_block(document: TraceDocument, charset: Charset) -> Iterator[RenderableType]:
    """Yield changes, losses, notes and means."""
    capture, shown = document.capture, charset.shown
    yield Text()
    yield title("This trace")
    if capture.lost:
        yield row("  ", (lost_words(capture.lost), "bold yellow"))
    for note in capture.notes:
        yield row("  note: ", shown(note))
    for change in capture.changes:
        yield _change_row(change, charset)
    rules = " and ".join(capture.rules) or "nothing"
    means = f"netfilter by {capture.netfilter}, devices by {capture.veth}, rules by {rules}; {capture.events} events"
    host = document.host
    yield row("  ", (shown(means), "dim"))
    yield row("  ", (shown(f"{host.tool} on {host.node}, kernel {host.kernel}, {host.started}"), "dim"))


def lost_words(lost: int) -> str:
    """Return a warning for a trace with gaps."""
    return f"{lost} event{'' if lost == 1 else 's'} found no room and were lost: hops or rules may be missing above"


def _change_row(change: Change, charset: Charset) -> Row:
    before, after = change.before or "absent", change.after or "present"
    restored = ("restored", "green") if change.restored else ("NOT RESTORED", "bold red")
    text = f"{change.what}: {before} {charset.arrow} {after}, "
    return row(f"  changed in {charset.shown(change.netns)}: ", charset.shown(text), restored)
