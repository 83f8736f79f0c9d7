"""`ntviz landscape` as a person or a job among many types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ntviz import landscape
from ntviz.cli import app

REGION = "chr20:1,000,001-1,002,000"
CASES = Path(__file__).parent / "cases" / "reference"
QUICK = ("--window", "300", "--piece", "600")


def asked(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_shards_write_what_one_run_writes(tmp_path, command):
    one, many = tmp_path / "one.npz", tmp_path / "many.npz"
    first = asked("landscape", REGION, "--out", one, *QUICK, "--by-element")
    assert first.exit_code == 0, first.stderr
    assert first.stdout.split() == [str(tmp_path / f"one{end}") for end in (".npz", ".elements.tsv", ".json")]
    assert "2,000 bases" in first.stderr
    for shard in ("2/2", "1/2"):
        part = asked("landscape", REGION, "--out", many, *QUICK, "--shard", shard)
        assert (part.exit_code, part.stdout) == (0, ""), part.stderr
    # The whole as a process of its own, as a cluster starts it.
    answer = command("landscape", REGION, "--out", many, *QUICK, "--by-element", timeout=300)
    assert answer.returncode == 0, answer.stderr
    for end in (".npz", ".elements.tsv", ".json"):
        assert one.with_suffix(end).read_bytes() == many.with_suffix(end).read_bytes(), end
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}{end}" for name in ("many", "one") for end in (".elements.tsv", ".json", ".npz")
    ]
    found = landscape.Landscape.load(many)
    assert found.interval.label() == REGION
    assert "all" in set(pd.read_csv(tmp_path / "one.elements.tsv", sep="\t")["element"])
    track = tmp_path / "one.bedgraph"
    answer = asked("landscape", REGION, "--out", track, *QUICK, "--track", "entropy", "--bin", "100")
    assert answer.exit_code == 0, answer.stderr
    rows = pd.read_csv(track, sep="\t", header=None)
    assert (rows[1].min(), rows[2].max()) == (1_000_000, 1_002_000)
    assert rows.loc[0, 3] == pytest.approx(np.nanmean(found.entropy[:100]), rel=1e-4)


def test_what_is_lost_of_files_is_told_and_kept(tmp_path):
    out = tmp_path / "a.npz"
    words = ("--by-element", "--beds", CASES / "broken.bed", "--genes", CASES / "broken.gtf")
    answer = asked("landscape", "chr20:300,001-300,600", "--out", out, *QUICK, *words)
    assert answer.exit_code == 0, answer.stderr
    notes = json.loads(out.with_suffix(".json").read_text())["notes"]
    lost = (
        "2 of 4 lines of broken.bed could not be read (lines 2, 4); ",
        "1 of 5 lines of broken.gtf could not be read; ",
    )
    near = "Elements are those that overlap chr20:300,001-300,600; 1 of 2 features of broken.bed do."
    for text in (*lost, near):
        assert sum(note.startswith(text) for note in notes) == 1
        assert answer.stderr.count(text) == 1
    table = pd.read_csv(tmp_path / "a.elements.tsv", sep="\t").query("measure == 'probability'")
    table = table.set_index("element")
    assert table.loc[["broken", "exon"], "n"].tolist() == [400, 300]
    words = ("--by-element", "--genes", CASES / "broken.gtf")
    desert = asked("landscape", REGION, "--out", tmp_path / "b.npz", *QUICK, *words)
    assert desert.exit_code == 0, desert.stderr
    assert "Nothing of broken.gtf lies on chr20:1,000,001-1,002,000." in desert.stderr


def test_a_whole_contig_is_named_alone(tmp_path):
    path = tmp_path / "small.fa"
    path.write_text(">tiny\n" + "ACGTTGCAAC" * 60 + "\n")
    words = ("landscape", "tiny", "--reference", path, "--out", tmp_path / "a.npz", *QUICK)
    answer = asked(*words)
    assert answer.exit_code == 0, answer.stderr
    assert len(landscape.Landscape.load(tmp_path / "a.npz")) == 600
    genes = asked(*words, "--by-element", "--overwrite")
    assert genes.exit_code == 2
    assert "--genes must name the genes of the genome that --reference is" in genes.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((REGION, "--out", "a.npz", "--shard", "0/2"), "--shard must be i/n with i from 1 to n"),
        ((REGION, "--out", "a.npz", "--bin", "0"), "bins of at least 1 bp"),
        ((REGION, "--out", "a.npz", "--window", "9"), "A window must have 3 tokens"),
        (("chr21:1-60", "--out", "a.npz"), "chr21"),
        (("chr20", "--out", "a.npz", "--reference", "nowhere.fa"), "nowhere.fa"),
        (("chr20:1-600", "--out", "a.npz"), "holds only N"),
        (("chr20:0-5", "--out", "a.npz"), "chr20:0-5"),
        ((REGION, "--out", "a.npz", "--by-element", "--genes", "no.gtf"), "there is none at no.gtf"),
    ],
)
def test_wrong_arguments_end_with_two_and_a_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = asked("landscape", *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in answer.stderr
    assert answer.stderr.startswith("ntviz: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--track", "height"), ("--dtype", "int8"), ("--share", "much")])
def test_options_of_a_type_name_what_they_take(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = asked("landscape", REGION, "--out", "a.npz", *words)
    assert answer.exit_code == 2
    assert f"Invalid value for '{words[0]}'" in answer.stderr
