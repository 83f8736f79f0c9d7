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
    "variants": ["score"], "attention": ["enrich"], "landscape": ["landscape"], "storage.py": ["enrich", "landscape"],
    "pretraining": ["pretrain"], "benchmark": ["benchmark.run"], "data/downloads.py": ["fetch"],
    "runs/execute.py": ["run"], "runs/submitting.py": ["submit"], "runs/kernel.py": ["install"],
}  # fmt: skip
"""Commands whose person reads what these parts of the library raise."""
_OTHERS = re.compile(r"`(?!ntviz)[^`]*`|pip install [^.]*")
"""Commands of other programs."""


def commands(group=None, prefix: str = "") -> dict[str, set[str]]:
    """Options of each command, by the name of its function; those of `ntviz benchmark` begin with it."""
    found = {}
    for name, command in (group or get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, "benchmark." if name == "benchmark" else "")
        else:
            words = (word for entry in command.params for word in (*entry.opts, *entry.secondary_opts))
            found[prefix + command.callback.__name__] = set(words)
    return found


def named(node: ast.AST) -> set[str]:
    """Options that the texts below a node name."""
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _OTHERS.sub("", " ".join(texts))))


def messages(tree: ast.AST) -> list[ast.AST]:
    """What is raised, texts that are put into it, and the functions and properties that put a summary in words."""
    summaries = ("text", "warnings", "doubts")
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        or (isinstance(node, ast.FunctionDef) and node.name in summaries)
        or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr))
    ]


@pytest.mark.parametrize("place", _COMMANDS_OF)
def test_messages_of_the_library_name_options_of_their_command(place):
    known = commands()
    target = PACKAGE / place
    for path in sorted(target.rglob("*.py")) if target.is_dir() else [target]:
        for message in messages(ast.parse(path.read_text())):
            for name in _COMMANDS_OF[place]:
                assert named(message) <= known[name], (path.name, message.lineno, name)


def test_messages_of_commands_name_their_own_options():
    known, seen = commands(), set()
    functions = {}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        prefix = "benchmark." if path.stem == "benchmark" else ""
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                functions[prefix + node.name] = node

    def readers(name: str) -> set[str]:
        """Commands that are this function or call it: a part that several share is read by the people of each."""
        if name in known:
            return {name}
        call = re.compile(rf"\b{name.rpartition('.')[2]}\(")
        callers = [other for other, node in functions.items() if other != name and call.search(ast.unparse(node))]
        return set().union(*map(readers, callers))

    for name, node in functions.items():
        for message in filter(named, messages(node)):
            people = readers(name)
            assert people
            for command in people:
                assert named(message) <= known[command], (name, message.lineno, command)
            seen |= named(message)
    assert {"--shard", "--genes", "--motifs", "--piece"} <= seen
