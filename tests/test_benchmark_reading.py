"""Reading tasks: every layout, and nothing lost without a word."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pandas as pd
import pytest

from ntviz import benchmark, data
from ntviz.benchmark import reading, registry
from ntviz.benchmark.reading import part_of
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

ROWS = [("chr20:1,000,001-1,000,008", "ACGTACGT", 1), ("b", "TTTTACGT", 0), ("c", "GGGGACGT", 1), ("d", "CCCCAAAA", 0)]


def fasta(rows, ending="\n"):
    return "".join(f">{name}|{y}{ending}{text[:4]}{ending}{text[4:]}{ending}" for name, text, y in rows)


def write(path, rows, **columns):
    """Rows as the ending of the file says."""
    table = pd.DataFrame(rows, columns=["id", "sequence", "label"]).assign(**columns)
    if path.suffix in (".fa", ".fna"):
        path.write_text(fasta(rows))
    elif path.suffix == ".parquet":
        table.astype({"label": str}).to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if "tsv" in path.name else ",", index=False)
    return path


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
    assert (len(task.test) if task.test is not None else 0) == test and task.kind == "binary"
    assert task.classes == ("0", "1")


def test_a_task_folder_and_a_folder_of_tasks(folder):
    task = reading.read(folder)
    check(task)
    assert task.name == "promoter_all" and task.train.groups.tolist() == ["chr20:1Mb", "b", "c", "d"]
    assert sorted(task.facts["files"]) == ["test.fna", "train.fna"]
    assert len(task.facts["files"]["train.fna"]) == 64 and task.notes == ()
    check(reading.read(folder.parent, task="promoter_all"))
    check(benchmark.find_task(f"{folder.parent}#promoter_all"))
    message = "holds 1 tasks; say which: promoter_all. Received 'promotor'. Did you mean promoter_all"
    with pytest.raises(ValueError, match=message):
        reading.read(folder.parent, task="promotor")
    with pytest.raises(ValueError, match="Received none"):
        reading.read(folder.parent)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("packed", [False, True])
def test_line_ends_and_compression(tmp_path, ending, packed):
    for part, rows in (("train", ROWS), ("test", ROWS[:2])):
        raw = fasta(rows, ending).encode()
        (tmp_path / f"{part}.fna{'.gz' if packed else ''}").write_bytes(gzip.compress(raw) if packed else raw)
    check(reading.read(tmp_path))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "csv.gz"])
def test_one_table_of_all_tasks(tmp_path, suffix):
    rows = [*ROWS, *ROWS[:2]]
    other = [(name, text, 1 - label) for name, text, label in rows]
    about = {"split": (["train"] * 4 + ["test"] * 2) * 2, "task": ["promoter_all"] * 6 + ["H3"] * 6}
    path = write(tmp_path / f"all.{suffix}", rows + other, **about)
    check(reading.read(path, task="promoter_all"))
    assert reading.read(path, task="H3").train.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="holds 2 tasks; say which: H3, promoter_all. Received 'h33'"):
        reading.read(path, task="h33")


def test_tables_by_part_and_a_file_without_a_test_part(tmp_path):
    table = pd.DataFrame(ROWS, columns=["id", "Sequence", "Label"])
    table.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    table[:2].to_parquet(tmp_path / "test-00000-of-00001.parquet")
    check(reading.read(tmp_path))
    (tmp_path / "mine.fa").write_text(fasta(ROWS))
    task = reading.read(tmp_path / "mine.fa")
    check(task, test=0)
    assert task.name == "mine" and "There is no test part: folds by group are used." in task.notes


def test_names_of_classes_and_groups_and_missing_ones(tmp_path):
    (tmp_path / "t.csv").write_text("sequence,label,group\nACGT,weak,x\nACGT,none,x\nACGT,strong,y\nACGT,weak,y\n")
    task = reading.read(tmp_path / "t.csv")
    assert (task.kind, task.classes) == ("multiclass", ("none", "strong", "weak"))
    assert task.train.labels.tolist() == [2, 0, 1, 2] and task.train.groups.tolist() == list("xxyy")
    assert task.train.ids.tolist() == ["train1", "train2", "train3", "train4"]
    (tmp_path / "t.csv").write_text("sequence,label\nACGT,none\nACGA,donor\nACGG,none\nACGC,donor\n")
    assert reading.read(tmp_path / "t.csv").classes == ("donor", "none")
    path = write(tmp_path / "t.fa", [("a", "ACGT", 1), ("b", "ACGT", 0), ("c", "ACGT", 0)])
    assert "Class 1 has 1 examples to learn from." in reading.read(path).notes
    (tmp_path / "t.csv").write_text("id,sequence,label,group\na,NA,1,x\nb,ACGT,1,NA\nc,ACGA,0,NA\nd,ACGG,0,x\n")
    task = reading.read(tmp_path / "t.csv")
    assert task.train.ids.tolist() == ["b", "c", "d"] and task.train.groups.tolist() == ["b", "c", "x"]
    assert any("1 rows whose sequence is empty or no bases were left out" in note for note in task.notes)


def test_a_bed_is_read_along_its_strands(tmp_path):
    with Reference(data.bundle("chr20")) as reference:
        text = reference.fetch("chr20:1000001-1000020").sequence
        rows = "".join(
            f"chr20\t1000000\t1000020\t{name}\t0\t{strand}\n" for name, strand in (("yes", "+"), ("no", "-"))
        )
        (tmp_path / "peaks.bed").write_text(f"track name=x\n{rows}chr20\tx\t5\tno\n")
        task = reading.read(tmp_path / "peaks.bed", reference=reference)
    assert task.train.sequences.tolist() == [text, reverse_complement(text)] and task.classes == ("no", "yes")
    assert task.train.groups.tolist() == ["chr20:1Mb", "chr20:1Mb"]
    assert "1 rows without a label were left out, the first at peaks.bed, line 4" in task.notes[0]
    with pytest.raises(ValueError, match="need a reference"):
        reading.read(tmp_path / "peaks.bed")


def test_nothing_is_lost_without_a_word(tmp_path):
    rows = [
        ("a", "acgtACGT", 1), ("a", "ACRTACGT", 0), ("c", "ACGT??GT", 1), ("d", "", 0), ("e", "ACGTNACG", 1), ("f", "ACGTACG", 0),
    ]  # fmt: skip
    (tmp_path / "t.fa").write_text(fasta(rows) + ">nolabel\nACGT\n")
    task = reading.read(tmp_path / "t.fa")
    assert task.train.ids.tolist() == ["a", "a#2", "e", "f"]
    assert task.train.sequences.tolist() == ["ACGTACGT", "ACNTACGT", "ACGTNACG", "ACGTACG"]
    told = " ".join(task.notes)
    for text in (
        "1 rows without a label were left out, the first at t.fa, line 19", "2 sequences hold N", "Lengths differ: 7 to 8 bp",
        "2 rows whose sequence is empty or no bases were left out, the first at t.fa, line 7",
        "1 sequences with lower-case letters were upper-cased", "1 sequences had IUPAC letters or gaps, which became N",
        "1 names stood before and got a number",
    ):  # fmt: skip
        assert text in told


PANDAS = ("NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None")
OTHERS = ("NaT", "na", "NAN", "Null", "n.a.", "?", ".", "#VALUE!", "#DIV/0!")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "fa"])
def test_missing_labels_are_no_class(tmp_path, suffix):
    """What R, pandas, Weka and spreadsheets write; pandas' own reader takes its own words for missing, too."""
    path = tmp_path / f"t.{suffix}"
    for word in (*PANDAS, *OTHERS):
        write(path, [*ROWS, ("e", "ACGTAAAA", word), ("f", "ACGTAAAC", f" {word}")])
        task = reading.read(path)
        check(task, test=0)
        (note,) = (note for note in task.notes if "missing" in note)
        assert note.startswith(f"2 rows whose label is missing ({word}) were left out, the first at t.{suffix}, ")
        assert suffix != "csv" or word in OTHERS or pd.read_csv(path)["label"].isna()[4]


@pytest.mark.parametrize("label", [None, np.nan, pd.NA])
def test_missing_values_of_parquet_are_no_class(tmp_path, label):
    kind = "Int64" if label is pd.NA else object if label is None else float
    table = pd.DataFrame({"sequence": ["ACGT"] * 5, "label": pd.Series([1, 0, 1, 0, label], dtype=kind)})
    table.to_parquet(tmp_path / "t.parquet")
    task = reading.read(tmp_path / "t.parquet")
    assert (task.kind, task.classes, len(task.train)) == ("binary", ("0", "1"), 4)
    assert any("1 rows without a label were left out" in note for note in task.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("name", "separator", "ends"), [
    ("t.csv", ";", "\n"), ("t.csv", "\t", "\r\n"), ("t.tsv", ",", "\n"), ("t.csv.gz", ";", "\r\n"),
])  # fmt: skip
def test_separators_are_those_of_the_header(tmp_path, name, separator, encoding, ends):
    rows = [*((*row, "train") for row in ROWS), ("x", "ACGT", 1, "test")]
    table = pd.DataFrame(rows, columns=["ID", "Sequence", "Label", "fold"])
    text = table.to_csv(sep=separator, index=False, lineterminator=ends).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    task = reading.read(tmp_path / name)
    check(task, test=1)
    assert task.test.ids.tolist() == ["x"]


@pytest.mark.parametrize(("labels", "alike"), [
    (("Promoter", "promoter"), "'Promoter' and 'promoter'"),
    (("True", "TRUE", "1"), "'1' and 'TRUE' and 'True'"), (("False", "0", "1"), "'0' and 'False'"),
    (("1", "01"), "'1' and '01'|'01' and '1'"), (("T", "TRUE", "F"), "'T' and 'TRUE'"), (("Y", "yes", "no"), "'Y' and 'yes'"),
    (("TATA box", "TATA-box"), "'TATA box' and 'TATA-box'"),
    *((names, None) for names in (("T", "F"), ("1", "-1"), ("+", "-"), ("H3K4me1", "H3K4me3"))),
])  # fmt: skip
def test_names_that_may_be_one_class_are_told(tmp_path, labels, alike):
    rows = [(f"r{i}", "ACGT", label) for i, label in enumerate(labels * 2)]
    (tmp_path / "t.fa").write_text(fasta(rows))
    told = " ".join(reading.read(tmp_path / "t.fa").notes)
    assert re.search(f"({alike}) are probably one class: correct the labels if so.", told) or not alike
    assert ("one class" in told) == bool(alike)


@pytest.mark.parametrize(("names", "part"), [
    (("train_set", "Training", "trainset", "train_1", "TRAIN-00000-of-00002", "promoters_train", "trainData", "trn"), "train"),
    (("test_set", "Testing", "testset", "test_1", "test-00001-of-00002", "H3_test", "holdout", "held_out", "hold-out", "HeldOut", "test_ood", "ood_test"), "test"),
    (("val", "valid", "validation", "validation_set", "dev", "Dev2", "val_ood", "development"), "validation"),
    (("latest", "contest", "restrained", "extra", "all", "eval", "train_test", "values", "device", ""), ""),
])  # fmt: skip
def test_parts_are_known_by_their_words(names, part):
    for name in names:
        assert part_of(name, alone=False) == part, name
        table = name not in ("promoters_train", "H3_test")
        assert part_of(name, alone=True) == (part if table else ""), name


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "parquet", "fna"])
@pytest.mark.parametrize(("train", "test"), [
    ("train_set", "test_set"), ("train_1", "test_1"), ("H3.Training", "H3.Holdout"), ("trainset", "held-out"),
])  # fmt: skip
def test_files_are_parts_by_their_names(tmp_path, train, test, suffix):
    for name, rows in ((train, ROWS), (test, ROWS[:2])):
        write(tmp_path / f"{name}.{suffix}", rows)
    task = reading.read(tmp_path)
    check(task)
    assert task.notes == ()


def test_what_is_put_together_or_not_read_is_said(tmp_path):
    parts = {"train_1": ROWS[:2], "train_2": ROWS[2:], "dev": [("v", "ACGTTTTT", 1)], "metadata": ROWS}
    for name, rows in parts.items():
        write(tmp_path / f"{name}.fna", rows)
    task = reading.read(tmp_path)
    assert task.train.ids.tolist() == [*(row[0] for row in ROWS), "v"]
    assert task.notes[:3] == (
        "metadata.fna was not read: its name is none of a part.",
        "The part train is train_1.fna and train_2.fna together.",
        "1 examples of the part validation are learned from: choosing is done inside.",
    )


@pytest.mark.parametrize(("files", "message"), [
    (("H3", "H4"), "must be named by their parts .*train: train, training, trn; .* holds H3.csv, H4.csv"),
    (("promoters", "promoters_test"), "must have a file of the part train; .* holds promoters.csv, promoters_te"),
    (("train_test", "other"), "must be named by their parts"),
])  # fmt: skip
def test_files_of_no_part_are_refused(tmp_path, files, message):
    for name in files:
        write(tmp_path / f"{name}.csv", ROWS)
    with pytest.raises(ValueError, match=message):
        reading.read(tmp_path)


@pytest.mark.parametrize("column", reading.SPLITS)
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "HELD_OUT"), ("trn", "test_ood")])
def test_a_column_says_the_part(tmp_path, column, train, test):
    path, rows, parts = tmp_path / "t.csv", [*ROWS, *ROWS[:2]], [train] * 4 + [test] * 2
    check(reading.read(write(path, rows, **{column: parts})))
    for wrong, message in (
        ("extra", "The column .* must hold parts .*t.csv, row 5 has 'extra'"),
        (None, "row 5 has ''"),
    ):
        parts[4] = wrong
        with pytest.raises(ValueError, match=message):
            reading.read(write(path, rows, **{column: parts}))


@pytest.mark.parametrize("words", [["K562"] * 4, [1, 1, 2, 2]])
def test_a_column_of_other_words_is_no_split_and_must_agree_with_the_file(tmp_path, words):
    check(reading.read(write(tmp_path / "t.csv", ROWS, set=words)), test=0)
    for name in ("train", "test"):
        write(tmp_path / f"{name}.csv", ROWS, split="train")
    with pytest.raises(ValueError, match="the part of its name; test.csv, row 1 is of the part train"):
        reading.read(tmp_path)


def test_a_published_task_is_held_to_its_spec_and_named_with_its_generation(folder):
    spec = registry.find("promoter_all")
    task = reading.read(folder, spec=spec)
    assert (task.category, task.split) == ("promoters", spec.split)
    told = " ".join(task.notes)
    assert "train has 4 examples; 30,000 were expected (read)" in told
    assert "6 sequences are not 300 bp long" in told

    held = benchmark.find_task(f"{folder}@revised")
    assert held.category == "promoters" and held.facts["expected"]["length"] == 300
    assert benchmark.find_task(f"{folder.parent}#promoter_all@original").facts["expected"]["train"] == 53_276
    assert "expected" not in benchmark.find_task(str(folder)).facts
    (folder / "train.fna").write_text(fasta([("a", "ACGT", 0), ("b", "ACGT", 1), ("c", "ACGT", 7)]))
    with pytest.raises(ValueError, match=r"Labels of promoter_all must be 0, 1; .*'7' \(1\)"):
        benchmark.find_task(f"{folder}@revised")


@pytest.mark.parametrize(("name", "content", "message"), [
    ("t.fa", b"", "must be a FASTA with headers such as >name.label"),
    ("t.fa", b">a|1\nACGT\n>b|1\nACGT\n", "There must be two classes; all 2 examples .* of class '1'"),
    ("t.fa", b">a\nACGT\n", "no row of it could be used. 1 rows without a label"),
    ("t.fa.gz", b"\x1f\x8bbroken", "must be a whole gzip"),
    ("t.fa", b">a|1\n\xff\xfe\n", "could be used. 1 rows whose sequence is empty or no bases"),
    ("t.csv", b"seq,label\nACGT,1\n", "lacks sequence and has seq, label"),
    ("t.csv", b"", "must be a table; reading it failed"),
    ("t.parquet", b"PAR1broken", "must be a table; reading it failed"),
    ("t.doc", b"x", "must be in .fna, .fa, .*; received t.doc"),
    ("t.csv", b"sequence,label\n" + b"".join(b"ACGT,%d.5\n" % i for i in range(60)), "60 different ones"),
])  # fmt: skip
def test_files_that_are_none_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        reading.read(tmp_path / name)


def test_places_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none at .*nowhere"):
        reading.read(tmp_path / "nowhere")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match="must hold train.fna .*holds readme.txt"):
        reading.read(tmp_path)
