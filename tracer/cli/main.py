"""The `tracer` command: its subcommands are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import NoReturn

import click

from tracer import __version__
from tracer.errors import TracerError

_COMMANDS = {
    "trace": "Send one probe and say where it ended.",
    "replay": "Build a scenario's lab and run its probes.",
    "hooks": "Show what runs at each netfilter hook, in true order.",
    "doctor": "Say whether this machine can trace, and what is missing.",
    "cleanup": "Undo what a killed run has left.",
}
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class LazyGroup(click.Group):
    """A group that knows its commands' names and first lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are used."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's module and return its command."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"tracer.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tracer")
def cli() -> None:
    """Follow one packet between a pod and its node, and name the rule that ended it.

    Exit status: 0 every probe arrived (replay: did what the scenario expects), 1 not, 2 wrong usage,
    3 could not trace.
    """


def main() -> NoReturn:
    """Run the command line; turn our errors into one sentence on stderr and an exit status."""
    # A shell started with `su` has no /usr/sbin, where nft, ipset and iptables are.
    os.environ["PATH"] = os.pathsep.join(filter(None, (os.environ.get("PATH"), "/usr/sbin", "/sbin")))
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TracerError as error:
        _say(str(error))
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        _say("Interrupted: everything that was set is undone")
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(sentence: str) -> None:
    from tracer.text import printable

    click.echo(f"tracer: {printable(sentence)}", err=True)
