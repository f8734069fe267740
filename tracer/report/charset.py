"""The characters that a report is written with: the reader's terminal may not have all of them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import ConsoleOptions

from tracer.text import printable


@dataclass(frozen=True)
class Charset:
    """The report's own symbols, and whether text of others must be kept to ASCII."""

    arrow: str
    line: str
    marker: str
    microseconds: str
    ascii_only: bool

    def shown(self, text: str) -> str:
        """Return untrusted text with all escaped that would act on the terminal, or that it cannot show."""
        safe = printable(text)
        return safe.encode("ascii", "backslashreplace").decode() if self.ascii_only else safe

    def pointer(self, width: int) -> str:
        """Return a mark that is `width` columns wide, as `───────► `."""
        return f"{self.line * (width - 2)}{self.marker} "


UNICODE = Charset(arrow="→", line="─", marker="►", microseconds="µs", ascii_only=False)
ASCII = Charset(arrow="->", line="-", marker=">", microseconds="us", ascii_only=True)


def charset_of(options: ConsoleOptions) -> Charset:
    """Return the characters that the stream behind a console can carry."""
    return ASCII if options.ascii_only else UNICODE
