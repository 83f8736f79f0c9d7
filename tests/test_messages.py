"""What a message tells a person to do must be possible where they are: a command has each option that its messages name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command

from ntviz import cli

PACKAGE = Path(cli.__file__).parents[1]
_COMMANDS_OF = {
    "variants": ["score"],
    "attention": ["enrich"],
    "landscape": ["landscape"],
    "storage.py": ["enrich", "landscape"],
    "pretraining": ["pretrain"],
    "benchmark": ["run"],
    "data/downloads.py": ["fetch"],
    "runs/execute.py": ["run"],
    "runs/submitting.py": ["submit"],
    "runs/kernel.py": ["install"],
}
"""Commands whose person reads what these parts of the library raise."""
_OTHERS = re.compile(r"`(?!ntviz)[^`]*`|pip install [^.]*")
"""Commands of other programs."""


def commands(group=None) -> dict[str, tuple[str, set[str]]]:
    """Module and options of each command, by its last word; the two called run are told apart by their modules."""
    found = {}
    for name, command in (group or get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            found |= commands(command)
        else:
            options = {word for entry in command.params for word in (*entry.opts, *entry.secondary_opts)}
            found[name if name != "run" else command.callback.__module__] = (
                command.callback.__module__,
                options,
            )
    return found


def named(node: ast.AST) -> set[str]:
    """Options that the texts below a node name."""
    texts = [
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _OTHERS.sub("", " ".join(texts))))


def messages(path: Path) -> list[ast.AST]:
    """What is raised, and the functions and properties that put a summary in words."""
    found = ast.walk(ast.parse(path.read_text()))
    return [
        one
        for one in found
        if isinstance(one, ast.Raise)
        or (isinstance(one, ast.FunctionDef) and one.name in ("text", "warnings", "doubts"))
    ]


@pytest.mark.parametrize("place", _COMMANDS_OF)
def test_messages_of_the_library_name_options_of_their_command(place):
    known = commands()
    names = [
        "ntviz.cli.benchmark" if place == "benchmark" else "ntviz.cli" if name == "run" else name
        for name in _COMMANDS_OF[place]
    ]
    target = PACKAGE / place
    for path in sorted(target.rglob("*.py")) if target.is_dir() else [target]:
        for message in messages(path):
            for name in names:
                assert named(message) <= known[name][1], (path.name, message.lineno, name)


def test_messages_of_commands_name_their_own_options():
    known = commands()
    of_module: dict[str, list[set[str]]] = {}
    for module, options in known.values():
        of_module.setdefault(module.removeprefix("ntviz.").replace(".", "/"), []).append(options)
    seen = set()
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        module = "cli" if path.stem == "__init__" else f"cli/{path.stem}"
        for message in filter(named, messages(path)):
            # A part that several commands share is read by the people of those that call it.
            readers = of_module.get(module) or _callers(path, message, of_module)
            options = set.union(*readers) if module in of_module else set.intersection(*readers)
            assert named(message) <= options, (path.name, message.lineno)
            seen |= named(message)
    assert {"--shard", "--genes", "--motifs", "--piece"} <= seen


def _callers(path: Path, message: ast.AST, of_module: dict[str, list[set[str]]]) -> list[set[str]]:
    functions = [one for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)]
    (inside,) = (one.name for one in functions if one.lineno <= message.lineno <= (one.end_lineno or 0))
    call = re.compile(rf"\b{path.stem}\.{inside}\b|\b{inside}\(")
    return [
        set.union(*options)
        for module, options in of_module.items()
        if call.search((PACKAGE / f"{module}.py").read_text() if module != "cli" else "")
    ]
