"""`tracer doctor`: can this machine trace, by which means, and what to do about what it lacks."""

from __future__ import annotations

import click

from tracer.cli.options import json_option
from tracer.errors import CannotTraceError


@click.command("doctor")
@json_option
def doctor(json_path: str | None) -> int:
    """Try all that a trace needs, on this machine and without touching anything of it.

    Exit status: 0 when it can trace, 3 when it cannot.
    """
    from tracer.doctor.diagnose import diagnose
    from tracer.report.console import out_and_err
    from tracer.report.doctor import print_doctor

    diagnosis = diagnose()
    print_doctor(diagnosis, out_and_err(json_path)[0])
    if json_path:
        from tracer.document_file import write_json

        write_json(diagnosis, json_path)
    return 0 if diagnosis.can_trace else CannotTraceError.exit_status
