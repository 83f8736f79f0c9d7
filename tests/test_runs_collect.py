"""runs.collect: one table over many runs, and what becomes of the broken ones."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from ntviz.runs import collect
from ntviz.runs.manifest import Manifest


@pytest.fixture
def runs(tmp_path):
    """Three runs of one notebook, one of another, and three that did not end as they should."""
    folder = tmp_path / "runs"

    def write(name, **facts):
        place = folder / name
        place.mkdir(parents=True)
        Manifest(
            **{"status": "ok", "notebook": name.split("/")[0], "seconds": 1.5, "profile": "ci"} | facts
        ).write(place)
        return place

    for number, loss in enumerate((7.5, 7.25, None)):
        write(
            f"toy/{number}",
            started=f"2026-11-2{number}T00:00:00+00:00",
            parameters={"seed": number, "chrom": "20", "kinds": ["exon"]},
            metrics={"loss": loss} if loss else {},
            models=[{"name": "ntviz-mini"}],
            peak_memory_bytes=250_000_000,
        )
    error = {"cell": 4, "cell_id": "x", "name": "ValueError", "message": "no\nmore"}
    write("other/a", status="failed", started="2026-11-23T00:00:00+00:00", error=error)
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    lost = write(
        "other/b", status="running", started="2026-11-24T00:00:00+00:00", pid=int(ended.stdout), seconds=None
    )
    (lost / "records.jsonl").write_text('{"kind": "metrics", "value": {"loss": 9.5}}\n')
    write(
        "other/c",
        status="running",
        started="2026-11-25T00:00:00+00:00",
        pid=int(ended.stdout),
        host="another-node",
    )
    broken = folder / "toy" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text('{"schema": "ntviz-run/1", "status"')
    return folder


def test_every_run_has_its_row(runs):
    table = collect.runs(runs)
    assert table["status"].tolist() == ["broken", "ok", "ok", "ok", "failed", "lost", "running"]
    assert table["run"].tolist() == ["broken", "0", "1", "2", "a", "b", "c"]
    by_run = table.set_index("run")
    assert by_run.loc["1", "metric.loss"] == 7.25
    assert by_run.loc["b", "metric.loss"] == 9.5
    assert by_run.loc["1", "param.chrom"] == "20"
    assert by_run.loc["1", "param.kinds"] == "['exon']"
    assert by_run.loc["1", "peak_memory_mb"] == 250
    assert by_run.loc["1", "model"] == "ntviz-mini"
    assert by_run.loc["a", "error"] == "cell 4: ValueError: no\nmore"
    assert "must be JSON" in by_run.loc["broken", "error"]
    assert by_run.loc["broken", "notebook"] == "toy"


def test_folders_may_overlap(runs):
    assert len(collect.runs(runs, runs / "toy")) == 7


def test_no_runs_give_an_empty_table(tmp_path):
    table = collect.runs(tmp_path)
    assert table.empty
    assert "status" in table.columns
    with pytest.raises(FileNotFoundError, match="runs are collected from folders, but .*nothing is not one"):
        collect.runs(tmp_path / "nothing")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_tables_are_saved_and_come_back(runs, tmp_path, ending):
    table = collect.runs(runs)
    path = collect.save(table, tmp_path / f"table{ending}")
    back = (pd.read_csv if ending == ".csv" else pd.read_parquet)(path)
    assert back["status"].tolist() == table["status"].tolist()
    assert back["metric.loss"].dropna().tolist() == [7.5, 7.25, 9.5]


def test_columns_of_mixed_types_can_be_saved(tmp_path):
    table = pd.DataFrame({"param.a": [1, "x", None]})
    back = pd.read_parquet(collect.save(table, tmp_path / "t.parquet"))
    assert back["param.a"].tolist()[:2] == ["1", "x"]
    with pytest.raises(ValueError, match=r"saved as .csv or .parquet, but 't.xlsx' came"):
        collect.save(table, tmp_path / "t.xlsx")


def test_a_terminal_gets_what_tells_the_runs_apart(runs):
    shown = collect.brief(collect.runs(runs / "toy"))
    assert list(shown.columns) == [
        "status",
        "notebook",
        "run",
        "seconds",
        "metric.loss",
        "param.seed",
        "error",
    ]
    same = collect.brief(collect.runs(runs / "toy").query("status == 'ok'"))
    assert list(same.columns) == ["status", "notebook", "run", "seconds", "metric.loss", "param.seed"]
    assert same["metric.loss"].tolist() == ["7.5", "7.25", ""]
    assert same["param.seed"].tolist() == ["0", "1", "2"]


def test_the_command(runs, command, tmp_path):
    answer = command("collect", runs, "--out", tmp_path / "all.csv")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].split()[:3] == ["status", "notebook", "run"]
    assert lines[-1].startswith("7 runs: ")
    assert "3 ok" in lines[-1]
    assert "1 broken" in lines[-1]
    assert len(pd.read_csv(tmp_path / "all.csv")) == 7
    assert command("collect", tmp_path / "nothing").returncode == 2
    assert command("collect", runs, "--out", "table.xlsx").returncode == 2
