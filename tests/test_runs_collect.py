"""runs.collect: one table over many runs, and what becomes of the broken ones."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from ntviz import cli
from ntviz.runs import collect, jobs, report
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


def submitted(folder, **rows):
    """A folder of `ntviz submit` whose rows are done: of each what it runs, its files, and seconds of its jobs."""
    samples = {}
    for name, (run, files, seconds) in rows.items():
        place = folder / name
        for file, text in files.items():
            place.mkdir(parents=True, exist_ok=True)
            (place / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        result = next(iter(files), "report.html")
        samples[name] = {
            "shards": len(seconds) - (len(seconds) > 1), "words": [run], "inputs": [], "models": [], "given": {}, "run": run,
            "notebook": False, "name": name, "result": result, "report": "",
        }  # fmt: skip
    config = {"schema": jobs.SCHEMA, "base": str(folder), "keep": False, "packs": {}, "samples": samples}
    config["job"] = {"cores": 4, "gpus": 1}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for job in jobs.of(folder, config):
        for path in (job.log, job.benchmark):
            path.parent.mkdir(parents=True, exist_ok=True)
        *shards, last = rows[job.sample][2]
        spent = last if job.stem == "merge" else shards[int(job.name.split()[1]) - 1]
        job.benchmark.write_text(f"s\tmax_rss\n{spent}\t100\n")
        with job.log.with_name(jobs.STARTS).open("a") as starts:
            starts.write(json.dumps({"job": job.name, "slurm": {"a": "7", "b": "8", "c": "8"}[job.sample]}) + "\n")
        jobs.mark(job.mark, job.words, job.parts())
    return folder


def test_scored_and_read_rows_have_their_numbers_and_all_rows_their_hours(tmp_path, monkeypatch):
    arrays = {"probability": np.array([0.5, 0.25, np.nan]), "correct": np.array([1.0, 0.0, np.nan])}
    np.savez(tmp_path / "x.npz", **arrays)
    counts = json.dumps({"alleles": {"ok": 7, "no_ref": 1}})
    folder = submitted(
        tmp_path, a=("score", {"scored.vcf.gz": "", "scored.json": counts}, [3600, 1800, 900]),
        b=("landscape", {"landscape.npz": (tmp_path / "x.npz").read_bytes()}, [3600]), c=("enrich", {"x.tsv": ""}, [36]),
    )  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    by_run = collect.runs(folder).set_index("run")
    assert by_run["status"].tolist() == ["ok"] * 3
    a, b = by_run.loc["a"], by_run.loc["b"]
    assert [a[f"metric.{name}"] for name in ("alleles", "alleles ok", "alleles no_ref")] == [8, 7, 1]
    assert [b[f"metric.{name}"] for name in ("bases", "probability", "accuracy")] == [2, 0.375, 0.5]
    # Of 1.75 h on 4 cores, a GPU has been asked for by the shards alone.
    assert (a["core_hours"], a["gpu_hours"], a["hours_from"]) == (7, 1.5, "benchmarks")
    tool = tmp_path / "bin" / "sacct"
    tool.parent.mkdir()
    lines = ["7|7200|billing=2,cpu=2,gres/gpu=1,gres/gpu:a100=1,mem=4G", "7|3600|cpu=2,mem=4G", "8|3600|cpu=4,mem=1G"]
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    table = collect.runs(folder).set_index("run")[["core_hours", "gpu_hours", "hours_from"]]
    # A try that was lost counts; two rows share job 8.
    assert table.loc["a"].tolist() == [6, 2, "sacct"]
    assert table.loc["b"].tolist() == table.loc["c"].tolist() == [2, 0, "sacct"]
    assert collect.runs(folder, accounting=False)["hours_from"].tolist() == ["benchmarks"] * 3
    tool.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    assert collect.runs(folder)["hours_from"].tolist() == ["benchmarks"] * 3


def test_the_page_has_median_quartiles_and_outliers_of_each_number(tmp_path):
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 60.0, None, True]
    for number, loss in enumerate(losses):
        place = tmp_path / "runs" / f"s {number}"
        place.mkdir(parents=True)
        metrics = {"loss": loss, "same": 2} | ({"rare": 1} if number < 2 else {})
        Manifest(status="ok", notebook="toy", metrics=metrics, seconds=5.0 if number else 6.0).write(place)
        (place / "report.html").write_text("")
    Manifest(status="failed", notebook="toy", metrics={"loss": -1e9}).write(tmp_path / "runs" / "s 0" / "..")
    table = collect.runs(tmp_path)
    spreads = {row["name"]: row for row in report._spreads(table, tmp_path)}
    loss = spreads["loss"]
    assert [loss[part] for part in ("what", "number", "median", "low", "high")] == ["toy", 6, "3.5", "2.25", "4.75"]
    assert loss["outliers"] == [("s 5", "runs/s%205/report.html", "60")]
    assert spreads["same"]["outliers"] == [] and "rare" not in spreads
    # Where most are equal, the mean distance is the measure.
    assert [name for name, _, _ in spreads["seconds"]["outliers"]] == ["s 0"]
    page = collect.save_index(table, tmp_path / "index.html", title="x").read_text()
    assert '<a href="runs/s%205/report.html">s 5</a> 60' in page and "2.25 to 4.75" in page
    assert str(tmp_path) not in page
