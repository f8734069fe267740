from __future__ import annotations

import pytest

from tracer.text import printable


@pytest.mark.parametrize(
    "name, shown",
    [
        ("eth0", "eth0"),
        ("größe", "größe"),
        (b"b\xfe\xffd", r"b\xfe\xffd"),
        ("b\udcfed", r"b\xfed"),  # how os.listdir gives an undecodable byte
        ("a\x1b[31m\n\u202eb", r"a\x1b[31m\n\u202eb"),
    ],
)
def test_names_are_shown_without_control_characters(name, shown):
    assert printable(name) == shown
