"""SpliceAI's table of transcripts, over the bundle's chromosome and over a made one."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from ntviz import benchmark, data
from ntviz.benchmark import chr20, spliceai
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

BASES = "".join(np.random.default_rng(4).choice(list("ACGT"), 400))


@pytest.fixture
def made(tmp_path):
    """Two contigs of 400 bp, and a gene on each strand."""
    (tmp_path / "g.fa").write_text(f">chr1\n{BASES}\n>chr2\n{BASES}\n")
    with Reference(tmp_path / "g.fa") as reference:
        yield tmp_path, reference


def line(
    name: str, paralog: int, chrom: str, strand: str, start: int, end: int, ends: str, starts: str
) -> str:
    return "\t".join(map(str, (name, paralog, chrom, strand, start, end, ends, starts))) + "\n"


def test_places_are_those_of_the_exons(made):
    folder, reference = made
    # 1-based: the exons of both are 101 to 120 and 151 to 260, cut at 230 from 241 on.
    table = folder / "t.txt.gz"
    with gzip.open(table, "wt") as handle:
        handle.write(line("PLUS", 0, "chr2", "+", 101, 260, "120,230,", "151,241,"))
        handle.write(line("MINUS", 0, "chr2", "-", 101, 260, "120,230,", "151,241,"))
    task = spliceai.read_spliceai(table, reference, length=100)
    assert (task.kind, task.classes) == ("per_base", ("none", "acceptor", "donor"))
    assert task.test is None
    assert task.train.ids.tolist() == ["PLUS:1", "PLUS:101", "MINUS:1", "MINUS:101"]
    plus, minus = (np.concatenate(task.train.labels[i : i + 2]) for i in (0, 2))
    # Along the strand, 0-based: base 120 is the 20th, 1-based, of the transcript.
    assert np.flatnonzero(plus == 2).tolist() == [19, 129]
    assert np.flatnonzero(plus == 1).tolist() == [50, 140]
    assert (plus[160:] == -1).all()
    assert np.flatnonzero(minus == 2).tolist() == [260 - 241, 260 - 151]
    assert np.flatnonzero(minus == 1).tolist() == [260 - 230, 260 - 120]
    assert task.train.sequences[0] + task.train.sequences[1] == BASES[100:300]
    assert task.train.sequences[2] + task.train.sequences[3] == reverse_complement(BASES[60:260])
    assert set(task.train.groups) == {"PLUS", "MINUS"}


def test_the_ends_of_a_contig_are_n(made):
    folder, reference = made
    (folder / "t.txt").write_text(
        line("A", 0, "2", "+", 351, 400, "", "") + line("B", 0, "2", "-", 1, 30, "", "")
    )
    task = spliceai.read_spliceai(folder / "t.txt", reference, length=60)
    assert task.train.sequences.tolist() == [
        BASES[350:] + "N" * 10,
        reverse_complement("N" * 30 + BASES[:30]),
    ]
    assert (task.train.labels[1][30:] == -1).all()


def test_what_is_left_out_is_said(made):
    folder, reference = made
    (folder / "t.txt").write_text(
        line("TRAIN", 1, "chr2", "+", 1, 100, "", "")
        + line("TEST", 0, "chr1", "+", 1, 100, "", "")
        + line("TWIN", 1, "chr1", "+", 1, 100, "", "")
        + line("FAR", 0, "chr9", "+", 1, 100, "", "")
        + line("LONG", 0, "chr2", "+", 1, 500, "", "")
    )
    task = spliceai.read_spliceai(folder / "t.txt", reference, length=100)
    assert (task.train.groups.tolist(), task.test.groups.tolist()) == (["TRAIN"], ["TEST"])
    told = " ".join(task.notes)
    for name, reason in (
        ("TWIN", "of the test part that have paralogs"),
        ("FAR", "on contigs that the reference lacks"),
        ("LONG", "that end beyond their contig"),
    ):
        assert f"1 transcripts {reason}" in told
        assert f"the first is {name}" in told


@pytest.mark.parametrize(
    "text",
    [
        "GENE\t0\tchr2\t+\t1\t100\t50\n",
        line("GENE", 0, "chr2", "?", 1, 100, "", ""),
        line("GENE", 0, "chr2", "+", 1, 100, "500", "20"),
        line("GENE", 0, "chr2", "+", 1, 100, "50,60", "70"),
        line("GENE", 0, "chr2", "+", 100, 1, "", ""),
    ],
)
def test_lines_that_are_none_are_refused(made, text):
    folder, reference = made
    (folder / "t.txt").write_text(text)
    with pytest.raises(ValueError, match=r"Line 1 of t.txt must be name, paralog.*received 'GENE"):
        spliceai.read_spliceai(folder / "t.txt", reference)


def test_places_that_are_not_there_are_refused(made):
    folder, reference = made
    with pytest.raises(FileNotFoundError, match="there is none at"):
        spliceai.read_spliceai(folder / "none.txt", reference)
    (folder / "t.txt").write_text(line("FAR", 0, "chr9", "+", 1, 100, "", ""))
    with pytest.raises(ValueError, match=r"none could be used; 1 on contigs that the reference lacks"):
        spliceai.read_spliceai(folder / "t.txt", reference)
    with pytest.raises(ValueError, match="length must be at least one base; got 0"):
        spliceai.read_spliceai(folder / "t.txt", reference, length=0)


def test_real_introns_begin_with_gt_and_end_with_ag_and_it_can_be_run(tmp_path):
    """The bundle's transcripts, written in the published layout."""
    rows = []
    short = [(strand, parts) for strand, parts in chr20._exons() if parts[-1][1] - parts[0][0] < 6_000]
    for number, (strand, parts) in enumerate(short[:120]):
        ends = ",".join(str(end) for _, end in parts[:-1])
        starts = ",".join(str(start + 1) for start, _ in parts[1:])
        rows.append(line(f"T{number}", 0, "chr20", strand, parts[0][0] + 1, parts[-1][1], ends, starts))
    (tmp_path / "canonical_dataset.txt").write_text("".join(rows))
    with Reference(data.bundle("chr20")) as reference:
        task = spliceai.read_spliceai(tmp_path / "canonical_dataset.txt", reference, length=1_000)
    after, before = [], []
    for text, labels in zip(task.train.sequences, task.train.labels, strict=True):
        after += [text[place + 1 : place + 3] for place in np.flatnonzero(labels == 2) if place < 998]
        before += [text[place - 2 : place] for place in np.flatnonzero(labels == 1) if place >= 2]
    assert len(after) > 100
    assert np.mean(np.array(after) == "GT") > 0.9
    assert np.mean(np.array(before) == "AG") > 0.9
    table = benchmark.run(
        tmp_path / "out", tasks=[task], methods=["majority", "cnn"],
        settings=benchmark.Settings(n_folds=2, steps=5, bootstrap=20),
    )  # fmt: skip
    assert table["status"].tolist() == ["ok", "ok"], table["error"].tolist()
    assert set(table["metric"]) == {"top_k"}
