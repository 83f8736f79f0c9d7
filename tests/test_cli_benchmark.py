"""`ntviz benchmark` as a person types it."""

from __future__ import annotations

import shlex

import pandas as pd
from typer.testing import CliRunner

from ntviz import benchmark
from ntviz.cli import app
from ntviz.cli.benchmark_report import report


def asked(*words):
    return CliRunner().invoke(app, ["benchmark", *map(str, words)])


def test_a_matrix_is_run_shown_and_gone_on_with(command, tmp_path):
    out = tmp_path / "matrix"
    words = "--tasks chr20_promoter_all --methods gc,majority --permutations 2 --folds 4"
    given = ("benchmark", "run", "--out", out, *shlex.split(words))
    first = command(*given, timeout=300)
    assert first.returncode == 0, first.stderr
    assert "1 of 2: chr20_promoter_all, GC and length: mcc 0." in first.stderr
    assert "GC and length" in first.stdout
    page = (out / "report.html").read_text()
    assert "ntviz benchmark run --out" in page
    assert page.count('class="ntviz-figure"') == 1
    assert 'class="ntviz-plotlyjs">H4sI' in page  # gzipped, so that the page opens offline
    assert "DNABERT-2" in page[page.index("What others reported") :]
    assert "Layers" not in page  # no probe of a model: nothing to choose a layer from
    assert "http://" not in page.replace("http://www.w3.org", "")
    table = pd.read_parquet(out / "results.parquet")
    assert table["status"].tolist() == ["ok", "ok"]
    again = asked(*given[1:])
    assert again.exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), table)
    shown = asked("show", out)
    assert "selectivity" in shown.stdout
    assert "chr20_promoter_all" in shown.stdout


def test_what_fails_is_said_and_the_exit_code_tells(tmp_path):
    answer = asked("run", "--out", tmp_path / "m", "--tasks", "chr20_promoter_all,no<where>", "--methods", "majority", "--folds", "3")  # fmt: skip
    assert answer.exit_code == 1
    assert "failed: no<where>, -, majority: ValueError: A task must be one of chr20" in answer.stderr
    page = (tmp_path / "m" / "report.html").read_text()
    assert "no&lt;where&gt;" in page
    assert "no<where>" not in page


def test_wrong_arguments_end_with_two(tmp_path):
    for more, message in (
        (("--methods", "kmers"), "received 'kmers'. Did you mean kmer"),
        (("--shard", "3/2"), "--shard must be i/n with i from 1 to n"),
    ):
        answer = asked("run", "--out", tmp_path / "m", "--tasks", "chr20_coding", *more)
        assert answer.exit_code == 2
        assert message in answer.stderr
    nothing = asked("show", tmp_path)
    assert nothing.exit_code == 2
    assert "must hold results.parquet" in nothing.stderr


def test_tasks_are_listed():
    answer = asked("tasks")
    assert answer.exit_code == 0, answer.stderr
    assert "chr20_splice_sites_all" in answer.stdout
    assert "none, acceptor, donor" in answer.stdout
    assert "by folds" in answer.stdout


def test_a_task_is_checked(tmp_path):
    rows = [f">a{i}|{i % 2}\n{'ACGTTGCA' * (3 + i % 2)}\n" for i in range(8)]
    (tmp_path / "train.fna").write_text("".join(rows))
    (tmp_path / "test.fna").write_text(f">b|1\n{'ACGTTGCA' * 3}\n>c|0\n{'TTTTGGGG' * 4}\n")
    answer = asked("check", tmp_path)
    assert answer.exit_code == 1
    assert "Exact or reverse-complement duplicates across splits" in answer.stdout
    assert answer.stdout.index("fail") < answer.stdout.index("unknown")
    nothing = asked("check", "nowhere")
    assert nothing.exit_code == 2
    assert "A task must be one of" in nothing.stderr


def test_layers_are_drawn_beside_the_randomly_initialised_model_with_plotlyjs_once():
    about = {"model": "m<1>", "method": "logistic", "metric": "mcc", "value": 0.5, "low": 0.4, "high": 0.6}
    tasks = pd.DataFrame([{"task": task, "entry": "probe"} | about for task in ("a", "b")])
    failed = pd.DataFrame(columns=["task", "model", "method", "status", "error"])
    board = benchmark.Leaderboard(tasks, tasks, tasks.drop_duplicates("entry"), failed)
    rows = [("m<1>", layer, twin, 0.1 * layer) for layer in range(3) for twin in (False, True)]
    layers = pd.DataFrame(rows, columns=["model", "layer", "twin", "score"])
    page = report(board, pd.DataFrame({"first": ["a"], "note": [""]}), layers, "ntviz benchmark run")
    assert page.count('class="ntviz-figure"') == 2
    assert page.count('class="ntviz-plotlyjs">H4sI') == 1
    assert "m&lt;1&gt;: inner score by layer, mean over tasks." in page
    assert "randomly initialised model lowest 0 at 0, highest 0.2 at 2" in page
    assert "m<1>" not in page
