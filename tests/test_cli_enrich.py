"""`ntviz enrich` as a person, or a job among many, types it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from ntviz.cli import app

CASES = Path(__file__).parent / "cases" / "reference"
ELSEWHERE = CASES / "elsewhere.bed"  # on a contig and in a region not looked at
BROKEN = CASES / "broken.bed"  # lines 2 and 4 of four
LOST = "2 of 4 lines of broken.bed could not be read (lines 2, 4); the first, line 2: the start must be an integer"

QUICK = (
    *("--within", "chr20:1-1,000,000", "--around", "promoter", "--windows", "3", "--length", "300"),
    *("--nulls", "shift", "--shifts", "19", "--bootstrap", "20", "--kinds", "promoter,exon"),
)


def asked(*words):
    return CliRunner().invoke(app, ["enrich", *map(str, words)])


def test_shards_write_what_one_run_writes(tmp_path, command):
    one, many = tmp_path / "one.parquet", tmp_path / "many.parquet"
    first = asked("--out", one, *QUICK)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.split() == [
        str(one.with_suffix(end)) for end in (".parquet", ".windows.parquet", ".json")
    ]
    assert "3 of 3 windows" in first.stderr
    part = asked("--out", many, *QUICK, "--shard", "1/2")
    assert part.exit_code == 0, part.stderr
    assert "pieces are in" in part.stderr
    assert part.stdout == ""
    assert not many.exists()
    assert asked("--out", many, *QUICK, "--shard", "2/2").exit_code == 0
    # The whole as a process of its own, as a cluster starts it.
    answer = command("enrich", "--out", many, *QUICK, timeout=300)
    assert answer.returncode == 0, answer.stderr
    for end in (".parquet", ".windows.parquet", ".json"):
        assert one.with_suffix(end).read_bytes() == many.with_suffix(end).read_bytes(), end
    assert not (tmp_path / "many.parquet.parts").exists()
    table = pd.read_parquet(many)
    assert len(table) == 4 * 8 * 2
    assert {"ratio", "shift_ratio", "significant"} <= set(table)
    again = asked("--out", many, *QUICK)
    assert again.exit_code == 2
    assert "must not be there yet" in again.stderr


def test_what_is_lost_of_files_is_told_and_kept(tmp_path):
    out = tmp_path / "a.tsv"
    words = ("--beds", BROKEN, "--genes", CASES / "broken.gtf", "--kinds", "broken,exon")
    answer = asked("--out", out, *QUICK, *words, "--nulls", "none")
    assert answer.exit_code == 0, answer.stderr
    notes = json.loads(out.with_suffix(".json").read_text())["notes"]
    genes = "1 of 5 lines of broken.gtf could not be read; the first, line 4: "
    assert [sum(note.startswith(text) for note in notes) for text in (LOST, genes)] == [1, 1]
    assert "Elements are those that overlap chr20:1-1,000,000; 2 of 2 features of broken.bed do." in notes
    for note in notes:
        assert answer.stderr.count(note) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "a.xlsx"), "must go to .parquet, .tsv, .csv; received a.xlsx"),
        (("--out", "a.tsv", "--shard", "3/2"), "--shard must be i/n with i from 1 to n, but '3/2' came"),
        (("--out", "a.tsv", "--shard", "²/3"), "--shard must be i/n"),
        (("--out", "a.tsv", "--model", "ntviz-mimi"), "Did you mean ntviz-mini"),
        (("--out", "a.tsv", "--beds", "nowhere.bed"), "there is none at nowhere.bed"),
        (("--out", "a.tsv", "--beds", str(ELSEWHERE)), "nothing of elsewhere.bed (on chr5, chr20) lies on"),
        (("--out", "a.tsv", "--genes", str(CASES / "other.gtf")), "nothing of other.gtf (on c9) lies on"),
        (("--out", "a.tsv", "--reference", "nowhere.fa"), "nowhere.fa"),
        (("--out", "a.tsv", "--around", "promotor"), "--around must be among five_prime_utr"),
        (("--out", "a.tsv", "--around", ","), "--around must be among five_prime_utr"),
        (("--out", "a.tsv", "--nulls", "shfit"), "nulls must be different ones of"),
        (("--out", "a.tsv", "--motifs", "NOSUCH"), "NOSUCH"),
        (("--out", "a.tsv", "--windows", "0"), "n must be at least 1"),
    ],
)
def test_wrong_arguments_end_with_two_and_a_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    near = ("--within", "chr20:1-1,000,000", "--windows", "2", "--around", "promoter")
    answer = asked(*near, *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in answer.stderr
    assert "\nntviz: " in f"\n{answer.stderr}"
    assert list(tmp_path.iterdir()) == []
