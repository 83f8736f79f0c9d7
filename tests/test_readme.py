"""The README's Python runs as it stands, and its commands name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ntviz import cli

TOP = Path(__file__).parents[1]
TEXT = (TOP / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(monkeypatch):
    monkeypatch.chdir(TOP)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, object] = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["seen"].probabilities.shape == (501, 4)
    assert str(names["locus"]).startswith("20:")


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"ntviz (run|collect|doctor|models|data|kernel)\b", TEXT)))
)
def test_the_commands_of_the_readme_exist(command):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0, result.output


def test_the_files_of_the_readme_exist():
    for path in set(re.findall(r"(?:notebooks|data|benchmarks)/[\w./-]+\w", TEXT)):
        assert (TOP / path).exists(), path
