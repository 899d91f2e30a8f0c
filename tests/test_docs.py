"""The README tells the truth: every command, every setting with its default, every path it names."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ion.cli import app
from ion.config import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def _commands(group: Any, prefix: str = "ion") -> list[str]:
    names = []
    for name, command in group.commands.items():
        path = f"{prefix} {name}"
        if not hasattr(command, "commands") or command.invoke_without_command:
            names.append(path)
        if hasattr(command, "commands"):
            names += _commands(command, path)
    return names


ROOT_GROUP: Any = typer.main.get_command(app)
COMMANDS = _commands(ROOT_GROUP)


def _table(heading: str) -> str:
    return README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_stands_in_the_table_of_commands(command: str) -> None:
    assert f"`{command}`" in _table("Commands")


def test_the_table_of_commands_names_no_command_that_does_not_exist() -> None:
    named = re.findall(r"`(ion [a-z -]+?)`", "".join(line for line in _table("Commands").splitlines() if "|" in line))
    assert set(named) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_gives_an_example(command: str) -> None:
    found = ROOT_GROUP
    for name in command.split()[1:]:
        found = found.commands[name]
    assert getattr(found, "help", None), f"{command} has no help"
    assert "Example:" in (getattr(found, "epilog", "") or ""), f"{command} has no example"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_the_table_with_its_default_and_meaning(name: str) -> None:
    info = Settings.model_fields[name]
    rows = [line for line in _table("Settings").splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    assert info.description and rows[0].endswith(f"| {info.description} |")
    if name != "data_dir":
        assert ("| unset |" if info.default is None else f"| `{info.default}` |") in rows[0]


def test_the_table_of_settings_names_no_setting_that_does_not_exist() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \|", _table("Settings"), re.MULTILINE)) == set(Settings.model_fields)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:ion|templates|tests|sample_emails)/[\w./-]*)`", README))))
def test_every_path_the_readme_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_picture_and_link_in_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readme_marks_its_two_commands() -> None:
    for name in ("demo", "tests"):
        assert re.search(rf"<!-- command: {name} -->\n```sh\n.+\n```\n", README), name
