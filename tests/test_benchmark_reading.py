"""Reading tasks: every layout, and nothing lost without a word."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from ntviz import benchmark, data
from ntviz.benchmark import reading, registry
from ntviz.reference import Reference
from ntviz.sequence import reverse_complement

ROWS = [
    ("chr20:1,000,001-1,000,008", "ACGTACGT", 1),
    ("b", "TTTTACGT", 0),
    ("c", "GGGGACGT", 1),
    ("d", "CCCCAAAA", 0),
]


def fasta(rows, ending="\n"):
    return (
        ending.join(f">{name}|{label}{ending}{text[:4]}{ending}{text[4:]}" for name, text, label in rows)
        + ending
    )


@pytest.fixture
def folder(tmp_path):
    one = tmp_path / "tasks" / "promoter_all"
    one.mkdir(parents=True)
    (one / "train.fna").write_text(fasta(ROWS))
    (one / "test.fna").write_text(fasta(ROWS[:2]))
    return one


def check(task, test=2):
    assert task.train.sequences.tolist() == [row[1] for row in ROWS]
    assert task.train.labels.tolist() == [1, 0, 1, 0]
    assert (len(task.test) if task.test is not None else 0) == test
    assert task.kind == "binary"
    assert task.classes == ("0", "1")


def test_a_task_folder(folder):
    task = reading.read(folder)
    check(task)
    assert task.name == "promoter_all"
    assert task.train.groups.tolist() == ["chr20:1Mb", "b", "c", "d"]
    assert sorted(task.facts["files"]) == ["test.fna", "train.fna"]
    assert len(task.facts["files"]["train.fna"]) == 64
    assert task.notes == ()


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("packed", [False, True])
def test_line_ends_and_compression(tmp_path, ending, packed):
    for part, rows in (("train", ROWS), ("test", ROWS[:2])):
        raw = fasta(rows, ending).encode()
        (tmp_path / f"{part}.fna{'.gz' if packed else ''}").write_bytes(gzip.compress(raw) if packed else raw)
    check(reading.read(tmp_path))


def test_a_folder_of_tasks(folder):
    check(reading.read(folder.parent, task="promoter_all"))
    check(benchmark.find_task(f"{folder.parent}#promoter_all"))
    with pytest.raises(
        ValueError,
        match="holds 1 tasks; say which: promoter_all. Received 'promotor'. Did you mean promoter_all",
    ):
        reading.read(folder.parent, task="promotor")
    with pytest.raises(ValueError, match="Received none"):
        reading.read(folder.parent)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "csv.gz"])
def test_one_table_of_all_tasks(tmp_path, suffix):
    table = pd.DataFrame(ROWS + ROWS[:2], columns=["name", "sequence", "label"])
    table["split"] = ["train"] * 4 + ["test"] * 2
    other = table.assign(task="H3", label=1 - table["label"])
    both = pd.concat([table.assign(task="promoter_all"), other], ignore_index=True)
    path = tmp_path / f"all.{suffix}"
    if suffix == "parquet":
        both.to_parquet(path)
    else:
        both.to_csv(path, sep="\t" if suffix == "tsv" else ",", index=False)
    check(reading.read(path, task="promoter_all"))
    assert reading.read(path, task="H3").train.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="holds 2 tasks; say which: H3, promoter_all. Received 'h33'"):
        reading.read(path, task="h33")


def test_tables_by_part(tmp_path):
    table = pd.DataFrame(ROWS, columns=["id", "Sequence", "Label"])
    table.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    table[:2].to_parquet(tmp_path / "test-00000-of-00001.parquet")
    check(reading.read(tmp_path))


def test_a_file_without_a_test_part(tmp_path):
    (tmp_path / "mine.fa").write_text(fasta(ROWS))
    task = reading.read(tmp_path / "mine.fa")
    check(task, test=0)
    assert task.name == "mine"
    assert "There is no test part: folds by group are used." in task.notes


def test_names_of_classes_and_groups(tmp_path):
    table = pd.DataFrame(
        {"sequence": ["ACGT"] * 4, "label": ["weak", "none", "strong", "weak"], "group": list("xxyy")}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    task = reading.read(tmp_path / "t.csv")
    assert (task.kind, task.classes) == ("multiclass", ("none", "strong", "weak"))
    assert task.train.labels.tolist() == [2, 0, 1, 2]
    assert task.train.groups.tolist() == list("xxyy")
    assert task.train.ids.tolist() == ["train1", "train2", "train3", "train4"]


def test_a_bed_is_read_along_its_strands(tmp_path):
    with Reference(data.bundle("chr20")) as reference:
        text = reference.fetch("chr20:1000001-1000020").sequence
        (tmp_path / "peaks.bed").write_text(
            "track name=x\nchr20\t1000000\t1000020\tyes\t0\t+\nchr20\t1000000\t1000020\tno\t0\t-\nchr20\tx\t5\tno\n"
        )
        task = reading.read(tmp_path / "peaks.bed", reference=reference)
    assert task.train.sequences.tolist() == [text, reverse_complement(text)]
    assert task.classes == ("no", "yes")
    assert task.train.groups.tolist() == ["chr20:1Mb", "chr20:1Mb"]
    assert any(
        "1 rows without a label were left out, the first at peaks.bed, line 4" in note for note in task.notes
    )
    with pytest.raises(ValueError, match="need a reference"):
        reading.read(tmp_path / "peaks.bed")


def test_nothing_is_lost_without_a_word(tmp_path):
    rows = [
        ("a", "acgtACGT", 1),
        ("a", "ACRTACGT", 0),
        ("c", "ACGT??GT", 1),
        ("d", "", 0),
        ("e", "ACGTNACG", 1),
        ("f", "ACGTACG", 0),
    ]
    (tmp_path / "t.fa").write_text(fasta(rows) + ">nolabel\nACGT\n")
    task = reading.read(tmp_path / "t.fa")
    assert task.train.ids.tolist() == ["a", "a#2", "e", "f"]
    assert task.train.sequences.tolist() == ["ACGTACGT", "ACNTACGT", "ACGTNACG", "ACGTACG"]
    told = " ".join(task.notes)
    assert "1 rows without a label were left out, the first at t.fa, line 19" in told
    assert "2 rows whose sequence is empty or no bases were left out, the first at t.fa, line 7" in told
    assert "1 sequences with lower-case letters were upper-cased" in told
    assert "1 sequences had IUPAC letters, which became N" in told
    assert "2 sequences hold N" in told
    assert "1 names stood before and got a number" in told
    assert "Lengths differ: 7 to 8 bp" in told


def test_a_published_task_is_held_to_its_spec(folder):
    spec = registry.find("promoter_all")
    task = reading.read(folder, spec=spec)
    assert (task.category, task.split) == ("promoters", spec.split)
    told = " ".join(task.notes)
    assert "train has 4 examples; 30,000 were expected (read)" in told
    assert "6 sequences are not 300 bp long" in told
    (folder / "train.fna").write_text(fasta([*ROWS, ("e", "ACGT", "l"), ("f", "ACGT", "l")]))
    with pytest.raises(ValueError, match=r"Labels of promoter_all must be 0, 1; .* has 'l' \(2\)"):
        reading.read(folder, spec=spec)


def test_a_published_task_is_named_with_its_generation(folder):
    held = benchmark.find_task(f"{folder}@revised")
    assert held.category == "promoters"
    assert held.facts["expected"]["length"] == 300
    assert benchmark.find_task(f"{folder.parent}#promoter_all@original").facts["expected"]["train"] == 53_276
    assert "expected" not in benchmark.find_task(str(folder)).facts
    (folder / "train.fna").write_text(fasta([("a", "ACGT", 0), ("b", "ACGT", 1), ("c", "ACGT", 7)]))
    with pytest.raises(ValueError, match=r"Labels of promoter_all must be 0, 1; .*'7' \(1\)"):
        benchmark.find_task(f"{folder}@revised")


def test_a_rare_class_is_said(tmp_path):
    (tmp_path / "t.fa").write_text(fasta([("a", "ACGT", 1), ("b", "ACGT", 0), ("c", "ACGT", 0)]))
    assert "Class 1 has 1 examples to learn from." in reading.read(tmp_path / "t.fa").notes


def write(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("t.fa", b"", ValueError, "must be a FASTA with headers such as >name.label"),
        (
            "t.fa",
            b">a|1\nACGT\n>b|1\nACGT\n",
            ValueError,
            "There must be two classes; all 2 examples .* of class '1'",
        ),
        ("t.fa", b">a\nACGT\n", ValueError, "no row of it could be used. 1 rows without a label"),
        ("t.fa.gz", b"\x1f\x8bbroken", ValueError, "must be whole gzip"),
        ("t.fa", b">a|1\n\xff\xfe\n", ValueError, "must be text in UTF-8"),
        ("t.csv", b"seq,label\nACGT,1\n", ValueError, "lacks sequence and has seq, label"),
        ("t.csv", b"", ValueError, "must be a table; reading it failed"),
        ("t.parquet", b"PAR1broken", ValueError, "must be a table; reading it failed"),
        ("t.doc", b"x", ValueError, "must be in .fna, .fa, .*; received t.doc"),
        (
            "t.csv",
            b"sequence,label\n" + b"".join(b"ACGT,%d.5\n" % i for i in range(60)),
            ValueError,
            "60 different ones",
        ),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, name, content, error, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        reading.read(tmp_path / name)


def test_places_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none at .*nowhere"):
        reading.read(tmp_path / "nowhere")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match="must hold train.fna .*holds readme.txt"):
        reading.read(tmp_path)


def test_what_was_read_can_be_run(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"r{i}", "".join(rng.choice(list("ACGT"), 40)) + "AAAA" * (i % 2), i % 2) for i in range(60)]
    (tmp_path / "train.fna").write_text(fasta(rows))
    (tmp_path / "test.fna").write_text(fasta(rows[:30]))
    quick = benchmark.Settings(permutations=0, draws=0, bootstrap=20)
    table = benchmark.run(tmp_path / "out", tasks=[str(tmp_path)], methods=["kmer3"], settings=quick)
    assert table["status"].tolist() == ["ok"]
