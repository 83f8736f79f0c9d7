"""`ntviz enrich` and `ntviz landscape` as a person, or a job among many, types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ntviz.cli import app
from ntviz.landscape import Landscape

CASES = Path(__file__).parent / "cases" / "reference"
BROKEN = (
    "--beds",
    CASES / "broken.bed",
    "--genes",
    CASES / "broken.gtf",
)  # lines 2 and 4 of four; line 4 of five
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


@pytest.mark.parametrize(
    ("words", "more", "endings", "summary"),
    [
        (("enrich", *COUNTED), (), (".parquet", ".windows.parquet", ".json"), "3 of 3 windows"),
        (
            ("landscape", REGION, *HIDDEN),
            ("--by-element",),
            (".npz", ".elements.tsv", ".json"),
            "2,000 bases",
        ),
    ],
    ids=["enrich", "landscape"],
)
def test_shards_write_what_one_run_writes(tmp_path, command, words, more, endings, summary):
    one, many = (tmp_path / f"{name}{endings[0]}" for name in ("one", "many"))
    first = asked(*words, "--out", one, *more)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.split() == [str(tmp_path / f"one{end}") for end in endings]
    assert summary in first.stderr
    for shard in ("2/2", "1/2"):
        part = asked(*words, "--out", many, "--shard", shard)
        assert (part.exit_code, part.stdout) == (0, ""), part.stderr
        assert "pieces are in" in part.stderr
        assert not many.exists()
    # The whole as a process of its own, as a cluster starts it.
    answer = command(*words, "--out", many, *more, timeout=300)
    assert answer.returncode == 0, answer.stderr
    for end in endings:
        assert (tmp_path / f"one{end}").read_bytes() == (tmp_path / f"many{end}").read_bytes(), end
    assert len(list(tmp_path.iterdir())) == 2 * len(endings)
    again = asked(*words, "--out", many)
    assert again.exit_code == 2
    assert "must not be there yet" in again.stderr


def test_a_track_is_that_of_the_arrays(tmp_path):
    region = "chr20:1,000,001-1,000,600"
    for name, more in ("one.npz", ()), ("one.bedgraph", ("--track", "entropy", "--bin", "100")):
        answer = asked("landscape", region, "--out", tmp_path / name, *HIDDEN, *more)
        assert answer.exit_code == 0, answer.stderr
    landscape = Landscape.load(tmp_path / "one.npz")
    assert landscape.interval.label() == region
    rows = pd.read_csv(tmp_path / "one.bedgraph", sep="\t", header=None)
    assert (rows[1].min(), rows[2].max()) == (1_000_000, 1_000_600)
    assert rows.loc[0, 3] == pytest.approx(np.nanmean(landscape.entropy[:100]), rel=1e-4)


@pytest.mark.parametrize(
    ("out", "words", "near"),
    [
        (
            "a.tsv",
            ("enrich", *COUNTED, "--kinds", "broken,exon", "--nulls", "none"),
            "chr20:1-1,000,000; 2 of 2 features of broken.bed do.",
        ),
        (
            "a.npz",
            ("landscape", "chr20:300,001-300,600", *HIDDEN, "--by-element"),
            "chr20:300,001-300,600; 1 of 2 features of broken.bed do.",
        ),
    ],
)
def test_what_is_lost_of_files_is_said_and_kept(tmp_path, out, words, near):
    answer = asked(*words, "--out", tmp_path / out, *BROKEN)
    assert answer.exit_code == 0, answer.stderr
    notes = json.loads((tmp_path / "a.json").read_text())["notes"]
    for text in (*LOST, f"Elements are those that overlap {near}"):
        assert sum(note.startswith(text) for note in notes) == 1
        assert answer.stderr.count(text) == 1
    if out == "a.npz":
        table = pd.read_csv(tmp_path / "a.elements.tsv", sep="\t").query("measure == 'probability'")
        assert table.set_index("element").loc[["broken", "exon"], "n"].tolist() == [400, 300]
        desert = ("landscape", REGION, "--out", tmp_path / "b.npz", *HIDDEN, "--by-element", *BROKEN[2:])
        assert "Nothing of broken.gtf lies on chr20:1,000,001-1,002,000." in asked(*desert).stderr


def test_a_whole_contig_is_named_alone(tmp_path):
    path = tmp_path / "small.fa"
    path.write_text(">tiny\n" + "ACGTTGCAAC" * 60 + "\n")
    words = ("landscape", "tiny", "--reference", path, "--out", tmp_path / "a.npz", *HIDDEN)
    answer = asked(*words)
    assert answer.exit_code == 0, answer.stderr
    assert len(Landscape.load(tmp_path / "a.npz")) == 600
    genes = asked(*words, "--by-element", "--overwrite")
    assert genes.exit_code == 2
    assert "--genes must name the genes of the genome that --reference is" in genes.stderr


NEAR = ("enrich", "--out", "a.tsv", "--within", "chr20:1-1,000,000", "--windows", "2", "--around", "promoter")
HERE = ("landscape", REGION, "--out", "a.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*NEAR, "--out", "a.xlsx"), "must go to .parquet, .tsv, .csv; received a.xlsx"),
        ((*NEAR, "--shard", "3/2"), "--shard must be i/n with i from 1 to n, but '3/2' came"),
        ((*NEAR, "--shard", "²/3"), "--shard must be i/n"),
        ((*NEAR, "--model", "ntviz-mimi"), "Did you mean ntviz-mini"),
        ((*NEAR, "--beds", "nowhere.bed"), "there is none at nowhere.bed"),
        ((*NEAR, "--beds", CASES / "elsewhere.bed"), "nothing of elsewhere.bed (on chr5, chr20) lies on"),
        ((*NEAR, "--genes", CASES / "other.gtf"), "nothing of other.gtf (on c9) lies on"),
        ((*NEAR, "--reference", "nowhere.fa"), "nowhere.fa"),
        ((*NEAR, "--around", "promotor"), "--around must be among five_prime_utr"),
        ((*NEAR, "--around", ","), "--around must be among five_prime_utr"),
        ((*NEAR, "--nulls", "shfit"), "nulls must be different ones of"),
        ((*NEAR, "--motifs", "NOSUCH"), "NOSUCH"),
        ((*NEAR, "--windows", "0"), "n must be at least 1"),
        ((*HERE, "--shard", "0/2"), "--shard must be i/n with i from 1 to n"),
        ((*HERE, "--bin", "0"), "bins of at least 1 bp"),
        ((*HERE, "--window", "9"), "A window must have 3 tokens"),
        ((*HERE, "--by-element", "--genes", "no.gtf"), "there is none at no.gtf"),
        (("landscape", "chr21:1-60", "--out", "a.npz"), "chr21"),
        (("landscape", "chr20", "--out", "a.npz", "--reference", "nowhere.fa"), "nowhere.fa"),
        (("landscape", "chr20:1-600", "--out", "a.npz"), "holds only N"),
        (("landscape", "chr20:0-5", "--out", "a.npz"), "chr20:0-5"),
        ((*HERE, "--track", "height"), "Invalid value for '--track'"),
        ((*HERE, "--share", "much"), "Invalid value for '--share'"),
    ],
)
def test_wrong_arguments_end_with_two_and_a_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = asked(*words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in answer.stderr
    assert answer.stderr.startswith(("ntviz: ", "Usage: ")) or "\nntviz: " in answer.stderr
    assert list(tmp_path.iterdir()) == []
