"""`ntviz landscape`, and the forecasts of its siblings, as a person or a job among many types it."""

from __future__ import annotations

import gzip
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
    for shard in ("2/3", "1/3"):
        part = asked("landscape", REGION, "--out", many, *QUICK, "--shard", shard)
        assert (part.exit_code, part.stdout) == (0, ""), part.stderr
    for more in (("--shard", "3/3"), ("--by-element",)):
        answer = command("landscape", REGION, "--out", many, *QUICK, *more, timeout=300)
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
    for text in (
        *lost,
        "Elements are those that overlap chr20:300,001-300,600; 1 of 2 features of broken.bed do.",
    ):
        assert sum(note.startswith(text) for note in notes) == 1
        assert answer.stderr.count(text) == 1
    table = (
        pd.read_csv(tmp_path / "a.elements.tsv", sep="\t")
        .query("measure == 'probability'")
        .set_index("element")
    )
    assert table.loc[["broken", "exon"], "n"].tolist() == [400, 300]
    desert = asked(
        "landscape",
        REGION,
        "--out",
        tmp_path / "b.npz",
        *QUICK,
        "--by-element",
        "--genes",
        CASES / "broken.gtf",
    )
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


def test_a_plan_is_json_and_writes_nothing(tmp_path):
    answer = asked("landscape", REGION, "--out", tmp_path / "a.npz", *QUICK, "--plan", "--rate", "1e9")
    assert answer.exit_code == 0, answer.stderr
    plan = json.loads(answer.stdout)
    # 2,000 bp in cores of 300 - 2 x 72 bp, each read 7 times as 50 words and <cls>.
    assert plan["units"] == 13 * 7 * 51
    # Pieces of 3 cores, 468 bp, are cut at multiples of that: 1,000,116, 1,000,584 ... 1,001,988.
    assert plan["pieces"] == 6
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_measured_where_no_rate_is_given(tmp_path):
    answer = asked("landscape", REGION, "--out", tmp_path / "a.npz", *QUICK, "--plan", "--device", "cpu")
    assert answer.exit_code == 0, answer.stderr
    assert 0.001 < json.loads(answer.stdout)["seconds"] < 3_600


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((REGION, "--out", "a.txt"), "must go to .npz or .bedgraph; received a.txt"),
        ((REGION, "--out", "a.npz", "--shard", "0/2"), "--shard must be i/n with i from 1 to n"),
        ((REGION, "--out", "a.npz", "--track", "height"), "track must be one of"),
        ((REGION, "--out", "a.npz", "--bin", "0"), "bins of at least 1 bp"),
        ((REGION, "--out", "a.npz", "--share", "0.9"), "share must lie above 0 and up to 0.5"),
        ((REGION, "--out", "a.npz", "--control", "luck"), "A control must be one of composition, shuffled"),
        ((REGION, "--out", "a.npz", "--window", "9"), "A window must have 3 tokens"),
        ((REGION, "--out", "a.npz", "--piece", "0"), "piece must be at least 1 bp"),
        ((REGION, "--out", "a.npz", "--model", "dnabert-2"), "must read k-mers for this"),
        ((REGION, "--out", "a.npz", "--dtype", "int8"), "--dtype must be one of"),
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


# The forecasts of score and benchmark ---------------------------------------------------------------------------------


def test_score_says_what_it_would_take(tmp_path):
    path = tmp_path / "in.vcf.gz"
    rows = [f"20\t{pos}\t.\tA\tC\t.\t.\t." for pos in range(1_000_000, 1_000_012)]
    head = ["##fileformat=VCFv4.3", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    path.write_bytes(gzip.compress(("\n".join([*head, *rows]) + "\n").encode()))
    out = tmp_path / "out.vcf.gz"
    words = ("score", path, "--out", out, "--scores", "llr", "--piece", "5", "--plan", "--rate", "1e9")
    answer = asked(*words)
    assert answer.exit_code == 0, answer.stderr
    plan = json.loads(answer.stdout)
    # 1,530 bp are 255 words: each of 12 alleles is read on both strands.
    assert (plan["units"], plan["pieces"]) == (12 * 2 * 256, 3)
    assert [one.name for one in tmp_path.iterdir()] == ["in.vcf.gz"]
    wrong = asked(*words, "--frames", "2")
    assert wrong.exit_code == 2
    assert "frames must be 1 or 6" in wrong.stderr


def test_a_matrix_says_what_it_would_take(tmp_path):
    words = (
        "benchmark",
        "run",
        "--out",
        tmp_path / "m",
        "--tasks",
        "chr20_promoter_all",
        "--plan",
        "--rate",
        "1e9",
    )
    plain = asked(*words, "--methods", "gc,majority")
    assert plain.exit_code == 0, plain.stderr
    plan = json.loads(plain.stdout)
    assert (plan["units"], plan["seconds"], plan["pieces"]) == (0, 0, 2)
    probed = asked(*words, "--methods", "logistic", "--models", "ntviz-mini")
    assert json.loads(probed.stdout)["pieces"] == 2  # the model and its random twin
    assert json.loads(probed.stdout)["units"] > 1_000
    assert list(tmp_path.iterdir()) == []
    wrong = asked(*words, "--methods", "gc", "--tasks", "nowhere")
    assert wrong.exit_code == 2
    assert "A task must be one of" in wrong.stderr
