"""The README's Python runs as it stands, and its commands name what exists."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("command", sorted(set(re.findall(r"ntviz (run|collect|doctor|models|data|kernel)\b", TEXT))))
def test_the_commands_of_the_readme_exist(command):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0, result.output


def test_the_files_of_the_readme_exist():
    for path in set(re.findall(r"(?:notebooks|data|benchmarks)/[\w./-]+\w", TEXT)):
        assert (TOP / path).exists(), path


def test_the_readme_says_how_good_the_shipped_model_is():
    record = json.loads((TOP / "data" / "ntviz-mini" / "training.json").read_text(encoding="utf-8"))
    overall = next(row for row in record["held_out"] if row["element"] == "all" and row["measure"] == "loss")
    counted = {(row["model"], row["order"]): row["nats"] for row in record["baselines"]}
    best = min(value for (model, _), value in counted.items() if model == "Markov")
    for number in (overall["value"], counted["unigram", 6], best):
        assert f"{number:.2f}" in TEXT
