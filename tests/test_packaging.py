from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text()
PROVISION = CHECKOUT / "vagrant" / "provision.sh"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The checkout's wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=True)
    [archive] = folder.glob("*.whl")
    zipfile.ZipFile(archive).extractall(folder / "unpacked")
    return folder / "unpacked"


def run_from(wheel, *arguments):
    """Run Python on the wheel's tracer, not the checkout's; return its stdout."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=wheel,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def files_under(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("name", ["bpf", "scenarios"])
def test_wheel_carries_the_data_where_tracer_looks_for_it(wheel, name):
    program = f"from tracer.resources import folder; print(folder({name!r}))"
    found = Path(run_from(wheel, "-c", program).strip())
    assert found.is_relative_to(wheel)
    assert files_under(found) == files_under(CHECKOUT / name) != {}


def test_wheel_carries_all_of_tracer_and_nothing_beside_it(wheel):
    modules = files_under(CHECKOUT / "tracer")
    assert {path: text for path, text in files_under(wheel / "tracer").items() if path.parts[0] != "data"} == modules
    assert {path.name.partition("-")[0] for path in wheel.iterdir()} == {"tracer"}


def test_command_of_the_wheel_runs(wheel):
    program = (
        "import sys; from importlib.metadata import entry_points\n"
        "[command] = entry_points(group='console_scripts', name='tracer')\n"
        "sys.argv = ['tracer', '--help']\n"
        "command.load()()\n"
    )
    assert "replay" in run_from(wheel, "-c", program)


def readme_command(name):
    [command] = re.findall(rf"^<!-- command: {name} -->\n```sh\n(.+)\n```$", README, re.MULTILINE)
    return command


def test_readme_command_for_the_tests_is_what_ci_runs():
    extracted = subprocess.run([CHECKOUT / ".ci/readme-command", "tests"], capture_output=True, text=True, check=True)
    assert extracted.stdout == readme_command("tests") + "\n"
    assert "tests=$(.ci/readme-command tests)" in (CHECKOUT / ".ci/run").read_text()
    assert readme_command("tests").startswith("vagrant/provision.sh --tests && ")
    assert readme_command("tests").endswith("/bin/python -m pytest")


def test_readme_command_for_the_demo_replays_a_scenario_that_exists():
    provision, replay = readme_command("demo").split(" && ")
    assert provision == "vagrant/provision.sh"
    command, subcommand, scenario = replay.split()
    assert (command, subcommand) == ("tracer", "replay")
    assert (CHECKOUT / scenario).exists()


def test_readme_and_ci_name_the_environment_that_provision_makes():
    [home] = re.findall(r"^readonly home=(.+)$", PROVISION.read_text(), re.MULTILINE)
    assert f"{home}/venv/bin/python" in readme_command("tests")
    assert f"bin={home}/venv/bin\n" in (CHECKOUT / ".ci/run").read_text()


def test_readme_command_that_is_missing_is_an_error():
    run = subprocess.run([CHECKOUT / ".ci/readme-command", "other"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert "other" in run.stderr


@pytest.mark.parametrize("arguments", [["--test"], ["--tests", "now"]])
def test_provision_refuses_arguments_that_it_does_not_know(arguments):
    run = subprocess.run([PROVISION, *arguments], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "usage:" in run.stderr
