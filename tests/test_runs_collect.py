"""runs.collect: one table over many runs, and what becomes of the broken ones."""

from __future__ import annotations

import subprocess

import pandas as pd
import pytest
from typer.testing import CliRunner

from ntviz import cli
from ntviz.runs import collect
from ntviz.runs.manifest import Manifest


@pytest.fixture
def runs(tmp_path):
    """Three runs of one notebook, one of another, and three that did not end as they should."""
    folder = tmp_path / "runs"

    def write(name, day, **facts):
        place = folder / name
        place.mkdir(parents=True)
        usual = {"status": "ok", "notebook": name.split("/")[0], "seconds": 1.5, "profile": "ci"}
        Manifest(**usual | facts, started=f"2026-11-{day}T00:00:00+00:00").write(place)
        return place

    for number, loss in enumerate((7.5, 7.25, None)):
        write(
            f"toy/{number}", 20 + number, parameters={"seed": number, "chrom": "20", "kinds": ["exon"]},
            metrics={"loss": loss} if loss else {}, models=[{"name": "ntviz-mini"}], peak_memory_bytes=250_000_000,
        )  # fmt: skip
    error = {"cell": 4, "cell_id": "x", "name": "ValueError", "message": "no\nmore"}
    write("other/a", 23, status="failed", error=error)
    ended = subprocess.Popen(["true"])
    ended.wait()
    lost = write("other/b", 24, status="running", pid=ended.pid, seconds=None)
    (lost / "records.jsonl").write_text('{"kind": "metrics", "value": {"loss": 9.5}}\n')
    write("other/c", 25, status="running", pid=ended.pid, host="another-node")
    broken = folder / "toy" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text('{"schema": "ntviz-run/1", "status"')
    return folder


def test_every_run_has_its_row(runs):
    table = collect.runs(runs)
    assert table["status"].tolist() == ["broken", "ok", "ok", "ok", "failed", "lost", "running"]
    assert table["run"].tolist() == ["broken", "0", "1", "2", "a", "b", "c"]
    by_run = table.set_index("run")
    one, failed, broken = (by_run.loc[name] for name in ("1", "a", "broken"))
    assert (one["metric.loss"], by_run.loc["b", "metric.loss"]) == (7.25, 9.5)
    assert (one["param.chrom"], one["param.kinds"]) == ("20", "['exon']")
    assert (one["peak_memory_mb"], one["model"]) == (250, "ntviz-mini")
    assert failed["error"] == "cell 4: ValueError: no\nmore"
    assert (broken["notebook"], "must be JSON" in broken["error"]) == ("toy", True)
    assert len(collect.runs(runs, runs / "toy")) == 7  # folders may overlap


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
    usual = ["status", "notebook", "run", "seconds", "metric.loss", "param.seed"]
    assert list(shown.columns) == [*usual, "error"]
    same = collect.brief(collect.runs(runs / "toy").query("status == 'ok'"))
    assert list(same.columns) == usual
    assert same["metric.loss"].tolist() == ["7.5", "7.25", ""]
    assert same["param.seed"].tolist() == ["0", "1", "2"]


def test_the_command(runs, tmp_path):
    def invoke(*words):
        return CliRunner().invoke(cli.app, ["collect", *map(str, words)])

    answer = invoke(runs, "--out", tmp_path / "all.csv")
    assert answer.exit_code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].split()[:3] == ["status", "notebook", "run"]
    assert lines[-1].startswith("7 runs: ") and "3 ok" in lines[-1] and "1 broken" in lines[-1]
    assert len(pd.read_csv(tmp_path / "all.csv")) == 7
    assert invoke(tmp_path / "nothing").exit_code == 2
    assert invoke(runs, "--out", "table.xlsx").exit_code == 2
