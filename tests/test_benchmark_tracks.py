"""DeepSTARR's files, made small, read and solved."""

from __future__ import annotations

import numpy as np
import pytest

from ntviz import benchmark
from ntviz.benchmark import tracks


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
    task = tracks.read_deepstarr(folder)
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
        tmp_path / "out", tasks=[tracks.read_deepstarr(folder)], methods=["kmer3", "majority", "cnn"],
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
        tracks.read_deepstarr(folder)
    table.write_text(good + "1\t2\tx\n")
    with pytest.raises(ValueError, match="must have a row each; received 80 and 81"):
        tracks.read_deepstarr(folder)
    lines = good.splitlines()
    table.write_text("\n".join([*lines[:2], "nothing\t1\tx", *lines[3:]]) + "\n")
    assert (
        "1 rows of Sequences_activity_Test.txt without numbers were left out, the first in line 3."
        in tracks.read_deepstarr(folder).notes
    )
    table.unlink()
    with pytest.raises(FileNotFoundError, match="must have Sequences_activity_Test.txt"):
        tracks.read_deepstarr(folder)
