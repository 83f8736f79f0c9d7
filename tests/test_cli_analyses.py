"""`ntviz enrich`, `ntviz landscape` and `ntviz benchmark` as a person, or a job among many, types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ntviz import benchmark
from ntviz.cli import app
from ntviz.cli.benchmark_report import report
from ntviz.landscape import Landscape

CASES = Path(__file__).parent / "cases" / "reference"
BROKEN = ("--beds", CASES / "broken.bed", "--genes", CASES / "broken.gtf")  # lines 2 and 4 of four; line 4 of five
LOST = (
    "2 of 4 lines of broken.bed could not be read (lines 2, 4); the first, line 2: the start must be an integer",
    "1 of 5 lines of broken.gtf could not be read; the first, line 4: ",
)
REGION = "chr20:1,000,001-1,002,000"
HIDDEN = ("--window", "300", "--piece", "600")
COUNTED = (
    *("--within", "chr20:1-1,000,000", "--around", "promoter", "--windows", "3", "--length", "300"),
    *("--nulls", "shift", "--shifts", "19", "--bootstrap", "20", "--kinds", "promoter,exon"),
)


def asked(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def done(*words):
    answer = asked(*words)
    assert answer.exit_code == 0, answer.stderr
    return answer


@pytest.mark.parametrize(
    ("words", "more", "endings", "summary"),
    [
        (("enrich", *COUNTED), (), (".parquet", ".windows.parquet", ".json"), "3 of 3 windows"),
        (("landscape", REGION, *HIDDEN), ("--by-element",), (".npz", ".elements.tsv", ".json"), "2,000 bases"),
    ],
    ids=["enrich", "landscape"],
)
def test_shards_write_what_one_run_writes(tmp_path, words, more, endings, summary):
    one, many = (tmp_path / f"{name}{endings[0]}" for name in ("one", "many"))
    first = done(*words, "--out", one, *more)
    assert first.stdout.split() == [str(tmp_path / f"one{end}") for end in endings] and summary in first.stderr
    for shard in ("2/2", "1/2"):
        part = done(*words, "--out", many, "--shard", shard)
        assert part.stdout == "" and "pieces are in" in part.stderr and not many.exists()
    done(*words, "--out", many, *more)
    for end in endings:
        assert (tmp_path / f"one{end}").read_bytes() == (tmp_path / f"many{end}").read_bytes(), end
    assert len(list(tmp_path.iterdir())) == 2 * len(endings)
    again = asked(*words, "--out", many)
    assert again.exit_code == 2 and "must not be there yet" in again.stderr


def test_a_track_is_that_of_the_arrays_and_a_whole_contig_is_named_alone(tmp_path):
    path = tmp_path / "small.fa"
    path.write_text(">tiny\n" + "ACGTTGCAAC" * 60 + "\n")
    words = ("landscape", "tiny", "--reference", path, *HIDDEN, "--out")
    done(*words, tmp_path / "one.npz")
    done(*words, tmp_path / "one.bedgraph", "--track", "entropy", "--bin", "100")
    landscape = Landscape.load(tmp_path / "one.npz")
    assert landscape.interval.label() == "tiny:1-600" and len(landscape) == 600
    rows = pd.read_csv(tmp_path / "one.bedgraph", sep="\t", header=None)
    assert (rows[1].min(), rows[2].max()) == (0, 600)
    assert rows.loc[0, 3] == pytest.approx(np.nanmean(landscape.entropy[:100]), rel=1e-4)
    genes = asked(*words, tmp_path / "one.npz", "--by-element", "--overwrite")
    assert genes.exit_code == 2 and "--genes must name the genes of the genome that --reference is" in genes.stderr


@pytest.mark.parametrize(
    ("out", "words", "near"),
    [
        ("a.tsv", ("enrich", *COUNTED, "--kinds", "broken,exon", "--nulls", "none"), "chr20:1-1,000,000; 2 of 2"),
        ("a.npz", ("landscape", "chr20:300,001-300,600", *HIDDEN, "--by-element"), "chr20:300,001-300,600; 1 of 2"),
    ],
    ids=["enrich", "landscape"],
)
def test_what_is_lost_of_files_is_said_and_kept(tmp_path, out, words, near):
    answer = done(*words, "--out", tmp_path / out, *BROKEN)
    notes = json.loads((tmp_path / "a.json").read_text())["notes"]
    for text in (*LOST, f"Elements are those that overlap {near} features of broken.bed do."):
        assert sum(note.startswith(text) for note in notes) == answer.stderr.count(text) == 1
    if out == "a.npz":
        table = pd.read_csv(tmp_path / "a.elements.tsv", sep="\t").query("measure == 'probability'")
        assert table.set_index("element").loc[["broken", "exon"], "n"].tolist() == [400, 300]
        desert = asked("landscape", REGION, "--out", tmp_path / "b.npz", *HIDDEN, "--by-element", *BROKEN[2:])
        assert "Nothing of broken.gtf lies on chr20:1,000,001-1,002,000." in desert.stderr


NEAR = ("enrich", "--out", "a.tsv", "--within", "chr20:1-1,000,000", "--windows", "2", "--around", "promoter")
HERE = ("landscape", REGION, "--out", "a.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*NEAR, "--shard", "3/2"), "--shard must be i/n with i from 1 to n, but '3/2' came"),
        ((*NEAR, "--shard", "²/3"), "--shard must be i/n"),
        ((*NEAR, "--beds", "nowhere.bed"), "there is none at nowhere.bed"),
        ((*NEAR, "--beds", CASES / "elsewhere.bed"), "nothing of elsewhere.bed (on chr5, chr20) lies on"),
        ((*NEAR, "--genes", CASES / "other.gtf"), "nothing of other.gtf (on c9) lies on"),
        ((*NEAR, "--reference", "nowhere.fa"), "nowhere.fa"),
        ((*NEAR, "--around", "promotor"), "--around must be among five_prime_utr"),
        ((*NEAR, "--motifs", "NOSUCH"), "NOSUCH"),
        ((*NEAR, "--windows", "0"), "n must be at least 1"),
        ((*HERE, "--shard", "0/2"), "--shard must be i/n with i from 1 to n"),
        (("landscape", "chr21:1-60", "--out", "a.npz"), "chr21"),
        (("landscape", "chr20:1-600", "--out", "a.npz"), "holds only N"),
        (("landscape", "chr20:0-5", "--out", "a.npz"), "chr20:0-5"),
        ((*HERE, "--track", "height"), "Invalid value for '--track'"),
    ],
)
def test_wrong_arguments_end_with_two_and_a_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = asked(*words)
    assert (answer.exit_code, answer.stdout) == (2, "") and message in answer.stderr
    assert answer.stderr.startswith(("ntviz: ", "Usage: ")) or "\nntviz: " in answer.stderr
    assert list(tmp_path.iterdir()) == []


# ntviz benchmark ------------------------------------------------------------------------------------------------------


def benchmarked(*words):
    return asked("benchmark", *words)


def test_a_matrix_is_run_shown_and_gone_on_with(tmp_path, monkeypatch):
    out = tmp_path / "matrix"
    options = ("--methods", "gc,majority", "--permutations", "2", "--folds", "4")
    words = ("run", "--out", str(out), "--tasks", "chr20_promoter_all", *options)
    monkeypatch.setattr(sys, "argv", ["ntviz", "benchmark", *words])
    first, table = benchmarked(*words), pd.read_parquet(out / "results.parquet")
    assert first.exit_code == 0, first.stderr
    assert "1 of 2: chr20_promoter_all, GC and length: mcc 0." in first.stderr and "GC and length" in first.stdout
    page = (out / "report.html").read_text()
    assert "ntviz benchmark run --out" in page and page.count('class="ntviz-figure"') == 1
    assert 'class="ntviz-plotlyjs">H4sI' in page  # gzipped, so that the page opens offline
    assert "DNABERT-2" in page[page.index("What others reported") :]
    assert "Layers" not in page  # no probe of a model: nothing to choose a layer from
    assert "http://" not in page.replace("http://www.w3.org", "") and table["status"].tolist() == ["ok", "ok"]
    assert benchmarked(*words).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), table)
    shown = benchmarked("show", out)
    assert "selectivity" in shown.stdout and "chr20_promoter_all" in shown.stdout


def test_what_fails_is_said_and_the_exit_code_tells(tmp_path):
    words = ("--tasks", "chr20_promoter_all,no<where>", "--methods", "majority", "--folds", "3")
    answer = benchmarked("run", "--out", tmp_path / "m", *words)
    assert answer.exit_code == 1
    assert "failed: no<where>, -, majority: ValueError: A task must be one of chr20" in answer.stderr
    page = (tmp_path / "m" / "report.html").read_text()
    assert "no&lt;where&gt;" in page and "no<where>" not in page
    run = ("run", "--out", tmp_path / "n", "--tasks", "chr20_coding")
    for words, message in (
        ((*run, "--methods", "kmers"), "received 'kmers'. Did you mean kmer"),
        ((*run, "--shard", "3/2"), "--shard must be i/n with i from 1 to n"),
        (("show", tmp_path), "must hold results.parquet"),
        (("check", "nowhere"), "A task must be one of"),
    ):
        answer = benchmarked(*words)
        assert answer.exit_code == 2 and message in answer.stderr


def test_tasks_are_listed():
    answer = benchmarked("tasks")
    assert answer.exit_code == 0, answer.stderr
    assert all(text in answer.stdout for text in ("chr20_splice_sites_all", "none, acceptor, donor", "by folds"))


def test_a_task_is_checked(tmp_path):
    rows = [f">a{i}|{i % 2}\n{'ACGTTGCA' * (3 + i % 2)}\n" for i in range(8)]
    (tmp_path / "train.fna").write_text("".join(rows))
    (tmp_path / "test.fna").write_text(f">b|1\n{'ACGTTGCA' * 3}\n>c|0\n{'TTTTGGGG' * 4}\n")
    answer = benchmarked("check", tmp_path)
    assert answer.exit_code == 1 and "Exact or reverse-complement duplicates across splits" in answer.stdout
    assert answer.stdout.index("fail") < answer.stdout.index("unknown")


def test_layers_are_drawn_beside_the_randomly_initialised_model_with_plotlyjs_once():
    about = {"model": "m<1>", "method": "logistic", "metric": "mcc", "value": 0.5, "low": 0.4, "high": 0.6}
    tasks = pd.DataFrame([{"task": task, "entry": "probe"} | about for task in ("a", "b")])
    failed = pd.DataFrame(columns=["task", "model", "method", "status", "error"])
    board = benchmark.Leaderboard(tasks, tasks, tasks.drop_duplicates("entry"), failed)
    rows = [("m<1>", layer, twin, 0.1 * layer) for layer in range(3) for twin in (False, True)]
    layers = pd.DataFrame(rows, columns=["model", "layer", "twin", "score"])
    page = report(board, pd.DataFrame({"first": ["a"], "note": [""]}), layers, "ntviz benchmark run")
    assert page.count('class="ntviz-figure"') == 2 and page.count('class="ntviz-plotlyjs">H4sI') == 1
    assert "m&lt;1&gt;: inner score by layer, mean over tasks." in page
    assert "randomly initialised model lowest 0 at 0, highest 0.2 at 2" in page and "m<1>" not in page
