"""DeepSTARR's and DeepSEA's files, made small (in both versions of MATLAB's format), read and solved."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from ntviz import benchmark
from ntviz.benchmark import tracks as published
from ntviz.genome.sequence import reverse_complement


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
            fasta.append(
                f">chr2L_{row * 10_000}_{row * 10_000 + 60}_+_peak\n{text.lower() if row == 3 else text}"
            )
            table.append(f"{dev + 0.1 * rng.normal():.3f}\t{2 * hk + 0.1 * rng.normal():.3f}\tx")
        (tmp_path / f"Sequences_{name}.fa").write_text("\n".join(fasta) + "\n")
        (tmp_path / f"Sequences_activity_{name}.txt").write_text("\n".join(table) + "\n")
    return tmp_path


def test_files_are_read_in_order(folder):
    task = published.read_deepstarr(folder)
    assert (task.kind, task.classes, len(task.train), len(task.test)) == (
        "regression",
        ("developmental", "housekeeping"),
        200,
        80,
    )
    lines = (folder / "Sequences_activity_Val.txt").read_text().splitlines()[1].split("\t")
    np.testing.assert_allclose(task.train.labels[160], [float(value) for value in lines[:2]])
    assert task.train.sequences[3].isupper()
    assert task.train.groups[:2].tolist() == ["chr2L:0Mb", "chr2L:0Mb"]
    assert len(task.facts["files"]) == 6


def test_it_is_solved_by_counting_words_and_its_metric_is_pearson(folder, tmp_path):
    table = benchmark.run(
        tmp_path / "out", tasks=[published.read_deepstarr(folder)], methods=["kmer3", "majority", "cnn"],
        settings=benchmark.Settings(permutations=4, draws=0, bootstrap=50, steps=200), seeds=[0],
    )  # fmt: skip
    rows = table.set_index("method")
    assert table["status"].tolist() == ["ok"] * 3, table["error"].tolist()
    assert set(table["metric"]) == {"pearson"}
    assert rows.loc["kmer3", "value"] > 0.8
    assert rows.loc["cnn", "value"] > 0.8
    assert rows.loc["kmer3", "p"] == pytest.approx(1 / 5)
    assert np.isnan(rows.loc["majority", "value"])


def test_damaged_files_are_refused(folder):
    table = folder / "Sequences_activity_Test.txt"
    good = table.read_text()
    table.write_text(good.replace("Hk_log2_enrichment", "Hk"))
    with pytest.raises(
        ValueError, match="it lacks Hk_log2_enrichment and has Dev_log2_enrichment, Hk, other"
    ):
        published.read_deepstarr(folder)
    table.write_text(good + "1\t2\tx\n")
    with pytest.raises(ValueError, match="must have a row each; received 80 and 81"):
        published.read_deepstarr(folder)
    lines = good.splitlines()
    table.write_text("\n".join([*lines[:2], "nothing\t1\tx", *lines[3:]]) + "\n")
    assert (
        "1 rows of Sequences_activity_Test.txt without numbers were left out, the first in line 3."
        in published.read_deepstarr(folder).notes
    )
    table.unlink()
    with pytest.raises(FileNotFoundError, match="must have Sequences_activity_Test.txt"):
        published.read_deepstarr(folder)


# DeepSEA --------------------------------------------------------------------------------------------------------------

ORDER = "AGCT"


def encoded(texts: list[str]) -> np.ndarray:
    """One-hot [sequence, 4, position] in the published order; N is nothing."""
    found = np.zeros((len(texts), 4, len(texts[0])), dtype=np.uint8)
    for row, text in enumerate(texts):
        for place, letter in enumerate(text):
            if letter != "N":
                found[row, ORDER.index(letter), place] = 1
    return found


def planted(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Sequences and two tracks: the first has a word of A or T, the second one of G or C; strands are alike."""
    rng = np.random.default_rng(seed)
    texts, tracks = [], rng.integers(0, 2, (n, 2)).astype(np.uint8)
    for first, second in tracks:
        middle = "".join(rng.choice(list("ACGT"), 36))
        texts.append(
            ("AAAATTTTAAAA" if first else "ACGTCAGTACGT")
            + middle
            + ("GGGGCCCCGGGG" if second else "TGCATGACTGCA")
        )
    both = texts + [reverse_complement(text) for text in texts]
    return both, np.vstack([tracks, tracks])


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


def test_both_formats_are_read(matlab):
    task = published.read_deepsea(matlab)
    assert (task.kind, task.metric, len(task.train), len(task.test)) == ("multilabel", "auroc", 280, 80)
    train, train_tracks = planted(80, 3)
    valid, valid_tracks = planted(60, 1)
    assert task.train.sequences.tolist() == train + valid
    np.testing.assert_array_equal(task.train.labels, np.vstack([train_tracks, valid_tracks]).astype(bool))
    assert task.test.sequences.tolist() == planted(40, 2)[0]
    # Both strands of a place are one group.
    groups = task.train.groups.tolist()
    assert groups[0] == groups[80] == "train_0"
    assert len(set(groups)) == 140
    assert "There are 2 tracks; 919 were expected." in task.notes
    assert set(task.facts["files"]) == {"train.mat", "valid.mat", "test.mat"}


def test_some_are_taken_with_both_strands(matlab):
    task = published.read_deepsea(matlab, n_train=20, n_test=10)
    assert (len(task.train), len(task.test)) == (40, 10)
    texts = dict(zip(task.train.ids.tolist(), task.train.sequences.tolist(), strict=True))
    assert texts["train_8"] == planted(80, 3)[0][8]
    assert reverse_complement(texts["train_8"]) == texts["train_88"]
    assert "20 of 160 sequences of train.mat were taken." in task.notes


def test_it_is_solved_by_counting_words_and_its_metric_is_auroc(matlab, tmp_path):
    table = benchmark.run(
        tmp_path / "out", tasks=[str(matlab)], methods=["kmer4", "gc"],
        settings=benchmark.Settings(permutations=4, draws=0, bootstrap=50),
    )  # fmt: skip
    rows = table.set_index("method")
    assert table["status"].tolist() == ["ok"] * 2, table["error"].tolist()
    assert rows.loc["kmer4", "value"] > 0.95
    assert rows.loc["gc", "value"] < rows.loc["kmer4", "value"]


def test_strands_that_do_not_match_are_said(matlab):
    texts, tracks = planted(40, 2)
    savemat(matlab / "test.mat", {"testxdata": encoded([texts[1], texts[0], *texts[2:]]), "testdata": tracks})
    task = published.read_deepsea(matlab)
    assert any("test.mat does not hold each sequence on both strands" in note for note in task.notes)
    assert len(set(task.test.groups)) == 80


def test_an_unknown_base_is_n(matlab):
    texts, tracks = planted(40, 2)
    texts[0] = "N" + texts[0][1:]
    savemat(matlab / "test.mat", {"testxdata": encoded(texts), "testdata": tracks})
    assert published.read_deepsea(matlab).test.sequences[0].startswith("N")


def test_damaged_matlab_files_are_refused(matlab):
    texts, tracks = planted(4, 0)
    cases = {
        "must be one-hot, in the order A, G, C, T; a position has 2": {
            "testxdata": encoded(texts) + encoded(texts)[:, ::-1],
            "testdata": tracks,
        },
        "lacks testdata": {"testxdata": encoded(texts)},
        "received shapes": {"testxdata": encoded(texts)[:, :3], "testdata": tracks},
    }
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
