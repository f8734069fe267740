"""Read a scenario's folder: strict YAML, every file it names, and all that can be wrong with them."""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import yaml

from tracer import resources
from tracer.errors import UsageError
from tracer.scenario import model, rulefile
from tracer.scenario.check import problems
from tracer.scenario.model import LoadRules, LoadSets, Scenario
from tracer.text import printable

FILE = "scenario.yaml"
_MAX_YAML_BYTES = 1024 * 1024


@dataclass(frozen=True)
class LoadedScenario:
    """A checked scenario, the folder it was read from, and the text of its rule files by the name they go by."""

    folder: Path
    scenario: Scenario
    files: Mapping[str, str]


def available() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the tool."""
    return tuple(sorted(path.parent.name for path in resources.folder("scenarios").glob(f"*/{FILE}")))


def find(spec: str) -> Path:
    """Return the folder of the scenario `spec`: a folder, its scenario.yaml, or the name of one that comes along.

    Raise UsageError when there is no such scenario.
    """
    path = Path(spec)
    folder = path.parent if path.name == FILE else path
    candidates = [folder] if "/" in spec else [folder, resources.folder("scenarios") / spec]
    for candidate in candidates:
        try:
            if (candidate / FILE).is_file():
                return candidate
        except OSError as error:
            raise UsageError(f"cannot read {candidate} ({error.strerror})", "Give the folder of a scenario") from error
    raise UsageError(
        f"there is no scenario {spec!r}", f"Give a folder with a {FILE}, or one of: {', '.join(available())}"
    )


def load(folder: Path) -> LoadedScenario:
    """Read and check the scenario in `folder`; raise UsageError naming file and key for the first thing wrong."""
    path = folder / FILE
    text = _read(path, _MAX_YAML_BYTES)
    scenario = decode(text, str(path))
    return LoadedScenario(folder, scenario, _read_files(folder, scenario, str(path)))


def decode(text: str, origin: str) -> Scenario:
    """Decode and check the text of a scenario.yaml; `origin` is what errors call it."""
    try:
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  (it is a SafeLoader)
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), origin) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError for a day such as 2025-02-30
        raise UsageError(f"{origin} is not the YAML of a scenario: {_yaml_reason(error)}", "Correct it") from error
    for problem in problems(scenario):
        raise UsageError(f"{origin}: {problem.path}: {problem.cause}", problem.way_out)
    return scenario


def _misfit(message: str, origin: str) -> UsageError:
    """Return the error for what msgspec says: `Expected `str`, got `int` - at `$.pods[0].name``."""
    cause, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").removeprefix(".") or "top level"
    way_out = f"Compare with {resources.folder('scenarios') / 'healthy' / FILE}"
    if unknown := re.search(r"unknown field `(.*)`", cause):
        parts = (part for part in vars(model).values() if isinstance(part, msgspec.StructMeta))
        known = {field for part in parts for field in part.__struct_fields__}
        for meant in difflib.get_close_matches(unknown.group(1), known, n=1):
            way_out = f"Did you mean `{meant}`?"
    return UsageError(f"{origin}: {where}: {printable(cause[0].lower() + cause[1:])}", way_out)


class _StrictLoader(yaml.SafeLoader):
    """YAML without what can hide or multiply things: no repeated keys, no anchors and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            keys.add(str(key.value))
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _yaml_reason(error: yaml.YAMLError | ValueError | RecursionError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return printable(f"line {error.problem_mark.line + 1}: {error.problem}")
    return "it is nested too deep" if isinstance(error, RecursionError) else printable(str(error).partition("\n")[0])


def _read_files(folder: Path, scenario: Scenario, origin: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for steps in ("history", "remedy"):
        for number, step in enumerate(getattr(scenario, steps)):
            if isinstance(step, LoadSets | LoadRules):
                path = _inside(folder, step.file, f"{origin}: {steps}[{number}].file")
                files[step.file] = text = _read(path, rulefile.MAX_BYTES)
                _refuse_outside(step, text, str(path))
    return files


def _inside(folder: Path, name: str, where: str) -> Path:
    """Return the path of a rule file; raise UsageError when it is not in the scenario's own folder."""
    relative = PurePosixPath(name)
    way_out = "Name a file below the scenario's folder, without `..`"
    if not name or relative.is_absolute() or ".." in relative.parts or not name.isprintable():
        raise UsageError(f"{where}: {name!r} is not a path below the scenario's folder", way_out)
    try:
        resolved = (folder / relative).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links go round"
        raise UsageError(f"{where}: cannot read {name} ({reason})", "Put the rule file there") from error
    if not resolved.is_relative_to(folder.resolve()):
        raise UsageError(f"{where}: {name} leads out of the scenario's folder", way_out)
    return resolved


def _read(path: Path, limit: int) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is no regular file", "Put a text file there")
        if status.st_size > limit:
            raise UsageError(f"{path} is larger than {limit // 1024} KiB", "A scenario keeps to what reproduces it")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror})", "Give the folder of a scenario") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", "Save it as UTF-8") from error


def _refuse_outside(step: LoadSets | LoadRules, text: str, path: str) -> None:
    check: Callable[[str], rulefile.Refusal | None] = rulefile.check_xtables
    if isinstance(step, LoadSets):
        check = rulefile.check_ipset
    elif step.backend == "nftables":
        check = rulefile.check_nft
    if refusal := check(text):
        raise UsageError(
            f"{path}, line {refusal.line}: {refusal.why}", "A rule file may hold rules for the lab's namespaces only"
        )
