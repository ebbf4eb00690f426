import subprocess
import sys
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from argosy.cli.main import build_app
from argosy.cli.shell import OF_ISTIOCTL

# The command-line contract: what must be there, whatever else there is.
CONTRACT = """
demo up down apply delete diff history rollback get validate analyze ps logs exec scale restart proxy-status
proxy-config graph metrics dashboard check pilot galley citadel mixer agent
"""


def commands() -> dict[str, object]:
    root = typer.main.get_command(build_app())
    assert isinstance(root, typer.core.TyperGroup)
    found = {}
    for name, command in root.commands.items():
        inner = dict(command.commands) if isinstance(command, typer.core.TyperGroup) else {"": command}
        if isinstance(command, typer.core.TyperGroup) and command.invoke_without_command:
            inner[""] = command
        found.update({f"{name} {one}".strip(): what for one, what in inner.items()})
    return found


def test_every_command_of_the_contract_is_there():
    assert set(CONTRACT.split()) <= set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_with_an_example(name: str):
    result = CliRunner().invoke(build_app(), [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"\n    argosy {name}" in result.stdout
    assert "\x1b" not in result.stdout


def test_the_list_of_commands_is_by_family():
    text = CliRunner().invoke(build_app(), ["--help"]).stdout
    assert text.index("Mesh:") < text.index("  up ") < text.index("Configuration:") < text.index("  apply ")
    assert "..." not in text.split("Mesh:")[1], "every summary is a whole sentence"


def test_the_programs_that_people_do_not_call_are_listed_last():
    result = CliRunner().invoke(build_app(), ["--help"])
    assert result.stdout.index("Security:") < result.stdout.index("Programs:")


def test_a_command_of_a_group_is_summarised_in_a_whole_sentence():
    result = CliRunner().invoke(build_app(), ["ca", "--help"])
    assert "..." not in result.stdout.partition("Commands:")[2]


def test_the_version_is_the_package_s():
    assert CliRunner().invoke(build_app(), ["--version"]).stdout == f"argosy {version('argosy')}\n"


def test_unknown_commands_and_options_are_usage_errors():
    assert CliRunner().invoke(build_app(), ["aply"]).exit_code == 2
    assert CliRunner().invoke(build_app(), ["apply", "--nothing"]).exit_code == 2
    assert CliRunner().invoke(build_app(), ["apply"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("get vs -o yml", "'yml' is none of table, wide, json, yaml; did you mean yaml?"),
        ("graph --type foo", "'foo' is none of app, versionedApp, workload, service"),
        ("trace --limit 0", "'--limit': must be at least 1"),
        ("trace --limit 5000", "'--limit': must be at most 1000"),
        ("rollback x", "'REVISION': write a whole number"),
        ("tap --duration x", "'--duration': write a number"),
        ("apply routes.yaml", "Missing option '-f' / '--file'. Write `-f routes.yaml`"),
        ("diff manifests/", "Write `-f manifests/`"),
        ("apply", "Missing option '-f' / '--file'."),
        ("version", "No such command 'version'. Here it is `argosy --version`."),
        ("describe pod x", "Here it is `argosy effective`."),
        ("graph describe", "No such command 'describe'."),
    ],
)
def test_usage_errors_are_in_words_of_people(arguments: str, words: str):
    result = CliRunner().invoke(build_app(), arguments.split())
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_help_imports_nothing_heavy():
    """Start-up is what a person feels; libraries are imported by the commands that need them."""
    script = (
        "import sys; from typer.testing import CliRunner; from argosy.cli.main import build_app;"
        "CliRunner().invoke(build_app(), ['--help']);"
        "heavy = ('msgspec', 'yaml', 'rich', 'httpx', 'grpc', 'starlette', 'cryptography');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_words_of_istioctl_are_here_is_there():
    commands = typer.main.get_command(build_app()).commands
    assert all(meant.split()[0] in {*commands, "--version"} for meant in OF_ISTIOCTL.values())
    assert not OF_ISTIOCTL.keys() & commands.keys()
