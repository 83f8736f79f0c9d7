"""DeepSTARR's, DeepSEA's (in both versions of MATLAB's format) and SpliceAI's files, made small, read and solved."""

from __future__ import annotations

import gzip

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from ntviz import benchmark, data
from ntviz.benchmark import chr20
from ntviz.benchmark import tracks as published
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference


@pytest.fixture
def folder(tmp_path):
    """Activities that follow the words AAAAAA (developmental) and GGGGGG (housekeeping)."""
    rng = np.random.default_rng(0)
    for name, n in (("Train", 160), ("Val", 40), ("Test", 80)):
        fasta, table = [], ["Dev_log2_enrichment\tHk_log2_enrichment\tother"]
        for row in range(n):
            text = "".join(rng.choice(list("ACGT"), 60))
            dev, hk = rng.integers(0, 2, 2)
            text = ("AAAAAA" * 2 if dev else text[:12]) + text[12:48] + ("GGGGGG" * 2 if hk else text[48:])
            fasta.append(f">chr2L_{row * 10_000}_{row * 10_000 + 60}_+_peak\n{text.lower() if row == 3 else text}")
            table.append(f"{dev + 0.1 * rng.normal():.3f}\t{2 * hk + 0.1 * rng.normal():.3f}\tx")
        (tmp_path / f"Sequences_{name}.fa").write_text("\n".join(fasta) + "\n")
        (tmp_path / f"Sequences_activity_{name}.txt").write_text("\n".join(table) + "\n")
    return tmp_path


def test_files_are_read_in_order(folder):
    task = published.read_deepstarr(folder)
    assert (task.kind, task.classes) == ("regression", ("developmental", "housekeeping"))
    assert (len(task.train), len(task.test)) == (200, 80)
    lines = (folder / "Sequences_activity_Val.txt").read_text().splitlines()[1].split("\t")
    np.testing.assert_allclose(task.train.labels[160], [float(value) for value in lines[:2]])
    assert task.train.sequences[3].isupper() and task.train.groups[:2].tolist() == ["chr2L:0Mb", "chr2L:0Mb"]
    assert len(task.facts["files"]) == 6


def test_it_is_solved_by_counting_words_and_its_metric_is_pearson(folder, tmp_path):
    settings = benchmark.Settings(permutations=4, draws=0, bootstrap=50, steps=120)
    tasks, methods = [published.read_deepstarr(folder)], ["kmer3", "majority", "cnn"]
    table = benchmark.run(tmp_path / "out", tasks=tasks, methods=methods, settings=settings)
    rows = table.set_index("method")
    assert table["status"].tolist() == ["ok"] * 3, table["error"].tolist()
    assert set(table["metric"]) == {"pearson"} and rows.loc["kmer3", "value"] > 0.8
    assert rows.loc["cnn", "value"] > 0.8 and rows.loc["kmer3", "p"] == pytest.approx(1 / 5)
    assert np.isnan(rows.loc["majority", "value"])


def test_damaged_files_are_refused(folder):
    table = folder / "Sequences_activity_Test.txt"
    good = table.read_text()
    table.write_text(good.replace("Hk_log2_enrichment", "Hk"))
    with pytest.raises(ValueError, match="it lacks Hk_log2_enrichment and has Dev_log2_enrichment, Hk, o"):
        published.read_deepstarr(folder)
    table.write_text(good + "1\t2\tx\n")
    with pytest.raises(ValueError, match="must have a row each; received 80 and 81"):
        published.read_deepstarr(folder)
    lines = good.splitlines()
    table.write_text("\n".join([*lines[:2], "nothing\t1\tx", *lines[3:]]) + "\n")
    (note,) = published.read_deepstarr(folder).notes
    assert note == "1 rows of Sequences_activity_Test.txt without numbers were left out, the first in line 3."
    table.unlink()
    with pytest.raises(FileNotFoundError, match="must have Sequences_activity_Test.txt"):
        published.read_deepstarr(folder)


def encoded(texts: list[str]) -> np.ndarray:
    """One-hot [sequence, 4, position] in the published order; N is nothing."""
    letters = np.array([list(text) for text in texts])
    return (letters[:, None] == np.array(list("AGCT"))[:, None]).astype(np.uint8)


def planted(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Sequences and two tracks: the first has a word of A or T, the second one of G or C; strands are alike."""
    rng = np.random.default_rng(seed)
    texts, tracks = [], rng.integers(0, 2, (n, 2)).astype(np.uint8)
    for first, second in tracks:
        middle = "".join(rng.choice(list("ACGT"), 36))
        words = ("ACGTCAGTACGT", "AAAATTTTAAAA")[first], ("TGCATGACTGCA", "GGGGCCCCGGGG")[second]
        texts.append(middle.join(words))
    return texts + [reverse_complement(text) for text in texts], np.vstack([tracks, tracks])


@pytest.fixture
def matlab(tmp_path):
    for part, n, seed in (("valid", 60, 1), ("test", 40, 2)):
        texts, tracks = planted(n, seed)
        savemat(tmp_path / f"{part}.mat", {f"{part}xdata": encoded(texts), f"{part}data": tracks})
    texts, tracks = planted(80, 3)
    write_hdf5(tmp_path / "train.mat", encoded(texts), tracks)
    return tmp_path


def write_hdf5(path, bases: np.ndarray, tracks: np.ndarray) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["trainxdata"] = bases.transpose(2, 1, 0)
        file["traindata"] = tracks.T
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def test_both_formats_are_read_whole_or_in_part(matlab):
    task = published.read_deepsea(matlab)
    assert (task.kind, task.metric, len(task.train), len(task.test)) == ("multilabel", "auroc", 280, 80)
    train, train_tracks = planted(80, 3)
    valid, valid_tracks = planted(60, 1)
    assert task.train.sequences.tolist() == train + valid
    np.testing.assert_array_equal(task.train.labels, np.vstack([train_tracks, valid_tracks]).astype(bool))
    assert task.test.sequences.tolist() == planted(40, 2)[0]
    # Both strands of a place are one group.
    groups = task.train.groups.tolist()
    assert groups[0] == groups[80] == "train_0" and len(set(groups)) == 140
    assert "There are 2 tracks; 919 were expected." in task.notes
    assert set(task.facts["files"]) == {"train.mat", "valid.mat", "test.mat"}
    task = published.read_deepsea(matlab, n_train=20, n_test=10)
    assert (len(task.train), len(task.test)) == (40, 10)
    texts = dict(zip(task.train.ids.tolist(), task.train.sequences.tolist(), strict=True))
    assert texts["train_8"] == planted(80, 3)[0][8]
    assert reverse_complement(texts["train_8"]) == texts["train_88"]
    assert "20 of 160 sequences of train.mat were taken." in task.notes


def test_it_is_solved_by_counting_words_and_its_metric_is_auroc(matlab, tmp_path):
    settings = benchmark.Settings(permutations=4, draws=0, bootstrap=50)
    table = benchmark.run(tmp_path / "out", tasks=[str(matlab)], methods=["kmer4", "gc"], settings=settings)
    rows = table.set_index("method")
    assert table["status"].tolist() == ["ok"] * 2, table["error"].tolist()
    assert rows.loc["kmer4", "value"] > 0.95 and rows.loc["gc", "value"] < rows.loc["kmer4", "value"]


def test_damaged_matlab_files_are_refused(matlab):
    texts, tracks = planted(40, 2)
    texts = [texts[1], "N" + texts[0][1:], *texts[2:]]
    savemat(matlab / "test.mat", {"testxdata": encoded(texts), "testdata": tracks})
    task = published.read_deepsea(matlab)
    assert any("test.mat does not hold each sequence on both strands" in note for note in task.notes)
    assert len(set(task.test.groups)) == 80 and task.test.sequences.tolist() == texts
    texts, tracks = planted(4, 0)
    bases = encoded(texts)
    cases = {
        "must be one-hot, in the order A, G, C, T; a position has 2": {"testxdata": bases + bases[:, ::-1], "testdata": tracks},
        "lacks testdata": {"testxdata": bases},
        "received shapes": {"testxdata": bases[:, :3], "testdata": tracks},
    }  # fmt: skip
    for message, held in cases.items():
        savemat(matlab / "test.mat", held)
        with pytest.raises(ValueError, match=message):
            published.read_deepsea(matlab)
    (matlab / "test.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="could not be read as a MATLAB file"):
        published.read_deepsea(matlab)
    (matlab / "test.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"must have test.mat, .*has train.mat, valid.mat"):
        published.read_deepsea(matlab)


BASES = "".join(np.random.default_rng(4).choice(list("ACGT"), 400))


@pytest.fixture
def made(tmp_path):
    """Two contigs of 400 bp, and a gene on each strand."""
    (tmp_path / "g.fa").write_text(f">chr1\n{BASES}\n>chr2\n{BASES}\n")
    with Reference(tmp_path / "g.fa") as reference:
        yield tmp_path, reference


def line(*cells) -> str:
    """Name, paralog, contig, strand, start, end, exon ends and exon starts."""
    return "\t".join(map(str, cells)) + "\n"


def test_places_are_those_of_the_exons(made):
    folder, reference = made
    # 1-based: the exons of both are 101 to 120 and 151 to 260, cut at 230 from 241 on.
    table = folder / "t.txt.gz"
    with gzip.open(table, "wt") as handle:
        handle.write(line("PLUS", 0, "chr2", "+", 101, 260, "120,230,", "151,241,"))
        handle.write(line("MINUS", 0, "chr2", "-", 101, 260, "120,230,", "151,241,"))
    task = published.read_spliceai(table, reference, length=100)
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
    (folder / "t.txt").write_text(line("A", 0, "2", "+", 351, 400, "", "") + line("B", 0, "2", "-", 1, 30, "", ""))
    task = published.read_spliceai(folder / "t.txt", reference, length=60)
    ends = BASES[350:] + "N" * 10, "N" * 30 + BASES[:30]
    assert task.train.sequences.tolist() == [ends[0], reverse_complement(ends[1])]
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
    task = published.read_spliceai(folder / "t.txt", reference, length=100)
    assert (task.train.groups.tolist(), task.test.groups.tolist()) == (["TRAIN"], ["TEST"])
    told = " ".join(task.notes)
    for name, reason in (
        ("TWIN", "of the test part that have paralogs"),
        ("FAR", "on contigs that the reference lacks"),
        ("LONG", "that end beyond their contig"),
    ):
        assert f"1 transcripts {reason}" in told
        assert f"the first is {name}" in told


def test_lines_that_are_none_are_refused(made):
    folder, reference = made
    for text in (
        "GENE\t0\tchr2\t+\t1\t100\t50\n",
        line("GENE", 0, "chr2", "?", 1, 100, "", ""),
        line("GENE", 0, "chr2", "+", 1, 100, "500", "20"),
        line("GENE", 0, "chr2", "+", 1, 100, "50,60", "70"),
        line("GENE", 0, "chr2", "+", 100, 1, "", ""),
    ):
        (folder / "t.txt").write_text(text)
        with pytest.raises(ValueError, match=r"Line 1 of t.txt must be name, paralog.*received 'GENE"):
            published.read_spliceai(folder / "t.txt", reference)


def test_places_that_are_not_there_are_refused(made):
    folder, reference = made
    with pytest.raises(FileNotFoundError, match="there is none at"):
        published.read_spliceai(folder / "none.txt", reference)
    (folder / "t.txt").write_text(line("FAR", 0, "chr9", "+", 1, 100, "", ""))
    with pytest.raises(ValueError, match=r"none could be used; 1 on contigs that the reference lacks"):
        published.read_spliceai(folder / "t.txt", reference)
    with pytest.raises(ValueError, match="length must be at least one base; got 0"):
        published.read_spliceai(folder / "t.txt", reference, length=0)


def test_real_introns_begin_with_gt_and_end_with_ag_and_it_can_be_run(tmp_path):
    """The bundle's transcripts, written in the published layout."""
    rows = []
    short = [(strand, parts) for strand, parts in chr20._exons() if parts[-1][1] - parts[0][0] < 6_000]
    for number, (strand, parts) in enumerate(short[:60]):
        ends = ",".join(str(end) for _, end in parts[:-1])
        starts = ",".join(str(start + 1) for start, _ in parts[1:])
        rows.append(line(f"T{number}", 0, "chr20", strand, parts[0][0] + 1, parts[-1][1], ends, starts))
    (tmp_path / "canonical_dataset.txt").write_text("".join(rows))
    with Reference(data.bundle("chr20")) as reference:
        task = published.read_spliceai(tmp_path / "canonical_dataset.txt", reference, length=1_000)
    after, before = [], []
    for text, labels in zip(task.train.sequences, task.train.labels, strict=True):
        after += [text[place + 1 : place + 3] for place in np.flatnonzero(labels == 2) if place < 998]
        before += [text[place - 2 : place] for place in np.flatnonzero(labels == 1) if place >= 2]
    assert len(after) > 50
    assert np.mean(np.array(after) == "GT") > 0.9
    assert np.mean(np.array(before) == "AG") > 0.9
    table = benchmark.run(
        tmp_path / "out", tasks=[task], methods=["majority", "cnn"],
        settings=benchmark.Settings(n_folds=2, steps=5, bootstrap=20),
    )  # fmt: skip
    assert table["status"].tolist() == ["ok", "ok"], table["error"].tolist()
    assert set(table["metric"]) == {"top_k"}
