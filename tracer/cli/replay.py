"""`tracer replay`: a scenario's probes, in its lab or from its recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tracer.cli.options import json_option
from tracer.privileges import require_privileges

if TYPE_CHECKING:
    from tracer.scenario.load import LoadedScenario
    from tracer.scenario.run import ReplayDocument

_TIMEOUT_S = 5.0


@click.command()
@click.argument("scenario")
@click.option("--recorded", is_flag=True, help="Judge the recorded events again: no root, no lab.")
@json_option
def replay(scenario: str, recorded: bool, json_path: str | None) -> int:
    """Build SCENARIO's lab, run its probes, apply its remedy and run them again.

    SCENARIO is a folder, or the name of a scenario that comes with tracer.
    """
    from tracer.scenario.load import find, load

    loaded = load(find(scenario))
    if not recorded:
        require_privileges()
    from tracer.report.console import out_and_err
    from tracer.report.replay import print_replay

    document = _recorded(loaded) if recorded else _live(loaded, json_path)
    print_replay(document, out_and_err(json_path)[0])
    if json_path:
        from tracer.document_file import write_json

        write_json(document, json_path)
    return 0 if document.as_expected else 1


def _live(loaded: LoadedScenario, json_path: str | None) -> ReplayDocument:
    from tracer.preparation import preparing
    from tracer.report.console import out_and_err
    from tracer.report.progress import progress

    with progress(out_and_err(json_path)[1]) as tell, preparing() as preparation:
        from tracer.scenario.live import replay_live

        return replay_live(loaded, preparation, _TIMEOUT_S, tell)


def _recorded(loaded: LoadedScenario) -> ReplayDocument:
    from tracer.scenario.recording import replay_recorded

    return replay_recorded(loaded)
