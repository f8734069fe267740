"""The `tracer` command: its subcommands are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

import click

from tracer import __version__
from tracer.cli import interrupts
from tracer.errors import CannotTraceError, TracerError

_COMMANDS = {
    "trace": "Send one probe and say where it ended.",
    "replay": "Build a scenario's lab and run its probes.",
    "hooks": "Show what runs at each netfilter hook, in true order.",
    "doctor": "Say whether this machine can trace, and what is missing.",
    "cleanup": "Undo what a killed run has left.",
}
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_SBIN = ("/usr/sbin", "/sbin")  # where nft, ipset and iptables are; a shell started with `su` lacks them


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


@click.group(cls=LazyGroup, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tracer")
def cli() -> None:
    """Follow one packet between a pod and its node, and name the rule that ended it.

    Exit status: 0 every probe arrived (replay: did what the scenario expects), 1 not, 2 wrong usage,
    3 could not trace.
    """


def main() -> NoReturn:
    """Run the command line; turn our errors into one sentence on stderr and an exit status."""
    _prepare_streams()
    os.environ["PATH"] = os.pathsep.join(filter(None, (os.environ.get("PATH"), *_SBIN)))
    interrupts.listen()
    status = _run()
    interrupts.ignore()  # all is undone
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    if status == EXIT_INTERRUPTED:
        # Interrupted twice, we have not waited for the compiler's thread, and C++ would tidy up under its feet.
        os._exit(status)
    sys.exit(status)


def _run() -> int:
    try:
        status = cli.main(prog_name="tracer", standalone_mode=False)
    except click.ClickException as error:
        _say(_sentence(error))
        return error.exit_code
    except TracerError as error:
        _say(str(error))
        return error.exit_status
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "tracer":
            raise
        _say(f"the Python module {error.name} is missing. Install tracer together with what it needs: see README.md")
        return CannotTraceError.exit_status
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted: everything that was set is undone")
        return EXIT_INTERRUPTED
    return status if isinstance(status, int) else 0


def _prepare_streams() -> None:
    """Open standard streams that the caller has closed, and give `sys.stderr` a descriptor of its own.

    Otherwise the first files that are opened would be taken for streams, and what is said to the user would be lost
    while `tracer.capture.stderr` has descriptor 2.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123  (for the whole run)
    sys.stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w", 1, sys.stderr.encoding, sys.stderr.errors, closefd=False)


def _flush(stream: TextIO) -> None:
    """Let what a stream does not take go nowhere: Python would try again as it ends, and complain."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _sentence(error: click.ClickException) -> str:
    """Return what click has to say in one sentence, and where to read more in another."""
    message = error.format_message()
    cause = message if message.endswith(("?", ".")) else f"{message}."
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "tracer"
    return f"{cause[:1].lower()}{cause[1:]} `{command} --help` shows how it is called"


def _say(sentence: str) -> None:
    from tracer.text import printable

    with suppress(OSError):  # nobody listens any more
        click.echo(f"tracer: {printable(sentence)}", err=True)
