import subprocess
import sys

import click
import pytest
from support.cli import Cli

from broadcaster.cli import cli as group

COMMANDS = group.list_commands(click.Context(group))
HEAVY = {"aiohttp", "aiolimiter", "msgspec", "numpy", "orjson", "pandas", "phonenumbers", "pyarrow", "pydantic", "rich",
         "sqlite3", "tenacity", "uvloop"}  # fmt: skip


def _imported(cli: Cli, statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after *statement*."""
    program = f"{statement}\nimport sys\nsys.stderr.write('\\n'.join(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program], env=cli.environment, cwd=cli.home, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in found.stderr.split()}


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command_every_exit_code_and_an_example(cli: Cli, flag: str) -> None:
    shown = cli(flag)
    assert shown.code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    listed = {line[0] for line in lines if line}
    assert set(OPTIONS) <= set(COMMANDS) <= listed
    assert {"0", "1", "2", "3", "4", "5", "65", "74", "75", "77", "78"} <= listed
    assert "broadcaster run jobs/spring_sale.toml --simulate" in shown.stdout
    assert "SENT_DM_API_KEY" in shown.stdout
    assert shown.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(cli: Cli, name: str) -> None:
    shown = cli(name, "--help")
    assert shown.code == 0
    assert "Example:" in shown.stdout
    assert f"  broadcaster {name} " in shown.stdout.split("Example:")[1]
    assert shown.stderr == ""


OPTIONS = {
    "run": "--run-dir --yes --expect-recipients --strict --extend --simulate --sandbox --json --no-preflight --date "
    "--dry-run --new-date",
    "send": "--campaign --template-id --phone --region --channel --param --run-dir --yes --expect-recipients --strict "
    "--extend --simulate --sandbox --json --no-preflight --date",
    "plan": "--run-dir --expect-recipients --strict --extend --simulate --sandbox --json --date",
    "test": "--to --simulate --sandbox --json",
    "resume": "--yes --expect-recipients --simulate --sandbox --json --no-preflight",
    "retry-failed": "--yes --expect-recipients --simulate --sandbox --json --no-preflight",
    "status": "--json",
    "verify": "--json",
    "manifest": "--json",
    "purge": "--yes --json",
    "simulate": "--host --port --state",
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_documents_the_options_that_scripts_depend_on(cli: Cli, name: str) -> None:
    shown = cli(name, "--help").stdout
    assert [option for option in OPTIONS[name].split() if option not in shown] == []


def test_no_arguments_show_the_help_as_a_mistake(cli: Cli) -> None:
    shown = cli()
    assert shown.code == 2
    assert "Commands:" in shown.stdout + shown.stderr


def test_the_version_is_told(cli: Cli) -> None:
    shown = cli("--version")
    assert shown.code == 0
    assert shown.stdout.strip().startswith("broadcaster")


@pytest.mark.parametrize(
    "statement",
    [
        "import broadcaster",
        "from broadcaster.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass",
        "from broadcaster.cli import main\ntry:\n    main(['run', '--help'])\nexcept SystemExit:\n    pass",
    ],
    ids=["the package", "broadcaster --help", "broadcaster run --help"],
)
def test_nothing_heavy_is_imported_for(cli: Cli, statement: str) -> None:
    loaded = _imported(cli, statement)
    assert "broadcaster" in loaded
    assert loaded & HEAVY == set()


def test_every_public_name_can_be_imported_and_used(cli: Cli) -> None:
    program = (
        "import broadcaster\n"
        "assert broadcaster.__all__ and set(broadcaster.__all__) <= set(dir(broadcaster))\n"
        "assert {'load_job', 'plan', 'run', 'read_manifest'} <= set(broadcaster.__all__)\n"
        "for name in broadcaster.__all__:\n"
        "    exec(f'from broadcaster import {name}')\n"
        "    assert callable(getattr(broadcaster, name)), name\n"
        "assert not hasattr(broadcaster, 'nonsense')\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=cli.environment, cwd=cli.home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
