"""Signals of bedGraph files: every base beside brute force, aliases, gzip, and what is wrong with a line."""

from __future__ import annotations

import gzip
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pybigtools
import pytest

from ntviz import annotation
from ntviz.genome import Interval


def written(folder: Path, text: str, name: str = "toy.bedgraph") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_every_base_is_that_of_a_loop_over_the_lines(tmp_path):
    rng = np.random.default_rng(0)
    edges = np.sort(rng.choice(2_000, size=300, replace=False))
    pairs = pairwise(edges.tolist())
    lines = [(a, b, round(float(rng.normal()), 3)) for a, b in pairs if rng.random() < 0.6]
    shuffled = [lines[at] for at in rng.permutation(len(lines))]
    head = "# made up\nbrowser position chr20\ntrack type=bedGraph name=toy\n"
    path = written(tmp_path, head + "".join(f"chr20\t{a}\t{b}\t{value}\n" for a, b, value in shuffled))
    signal = annotation.read_signal(path)
    assert len(signal) == len(lines)
    plain = np.full(2_100, np.nan)
    for a, b, value in lines:
        for base in range(a, b):
            plain[base] = value
    inside = rng.integers(0, 1_000, (20, 2)) + np.array([0, 1_000])
    for start, end in [(0, 2_100), (0, 1), (edges[-1], edges[-1] + 3), *inside]:
        for strand, step in (("+", 1), ("-", -1)):
            values = signal.values(Interval("20", int(start), int(end), strand))
            np.testing.assert_array_equal(values, plain[start:end][::step])
    near = annotation.read_signal(path, within=Interval("NC_000020.10", 500, 520))
    assert len(near) < 20
    np.testing.assert_array_equal(near.values(Interval("chr20", 500, 520)), plain[500:520])


def test_aliases_gzip_and_missing_values_and_a_file_that_is_missing_or_cut_off(tmp_path):
    path = tmp_path / "toy.bg.gz"
    path.write_bytes(gzip.compress(b"NC_000020.10 5 7 1e2\r\n\nchr2 0 1 -1\nchr20 7 8 nan\n20 8 9 NA\n"))
    signal = annotation.read_signal(path)
    assert signal.values(Interval("chr20", 4, 10)).tolist()[1:3] == [100, 100]
    assert np.isnan(signal.values(Interval("20", 7, 10))).all()
    assert signal.values(Interval("2", 0, 1)).tolist() == [-1]
    assert np.isnan(signal.values(Interval("chrUn_1", 0, 5))).all()
    assert repr(signal) == "Signal(toy.bg.gz: 2 stretches, 3 bp; 20, 2)"
    with pytest.raises(FileNotFoundError, match="must be a file; received .*none.bg"):
        annotation.read_signal(tmp_path / "none.bg")
    path.write_bytes(gzip.compress(b"chr20 1 2 0.123456\n" * 50)[:-12])
    with pytest.raises(ValueError, match="must be a whole gzip file"):
        annotation.read_signal(path)


@pytest.mark.parametrize(("lines", "message"), [
    (["", "chr20 5 7"], "it has 3 columns: 'chr20 5 7'"),
    (["", "chr20 5 7 1 2"], "it has 5 columns"),
    (["", "chr20 five 7 1"], "the start must be an integer and is 'five'"),
    (["", "chr20 7 7 1"], "the start must be at least 0 and before the end, and they are 7 and 7"),
    (["", "chr20 -1 7 1"], "and they are -1 and 7"),
    (["", "chr20 5 7 high"], "the value must be a number and is 'high'"),
    (["", "chr20 5 7 inf"], "Line 2 of toy.bedgraph must be contig, start, end and value, but the value must be finite and is 'inf'"),
    (["chr20 8 10 1", "chr20 1 2 1", "20 4 9 2"], "lines 1 and 3 of toy.bedgraph both hold 20:9"),
    (["track type=bedGraph"], "toy.bedgraph must hold at least one stretch"),
])  # fmt: skip
def test_what_is_no_signal_is_said(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        annotation.read_signal(written(tmp_path, "".join(f"{line or 'chr20 1 2 0'}\n" for line in lines)))


def lines_of(rows: list[tuple]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def big(path: Path, rows: list[tuple]) -> Path:
    """A bigWig or bigBed, by the name of the file, as pybigtools writes it."""
    writer = pybigtools.open(str(path), "w")
    writer.write({"chr20": 5_000, "chrM": 100}, rows)
    return path


def test_a_bigwig_holds_what_the_bedgraph_of_its_lines_holds(tmp_path):
    rng = np.random.default_rng(1)
    edges = np.sort(rng.choice(2_000, size=200, replace=False)).tolist()
    rows = [("chr20", a, b, float(np.float32(rng.normal()))) for a, b in pairwise(edges) if rng.random() < 0.6]
    rows += [("chr20", 3_000, 3_004, float("nan")), ("chrM", 0, 3, -1.5)]
    plain = annotation.read_signal(written(tmp_path, lines_of(rows)))
    # What a file holds tells what it is, whatever its name.
    path = big(tmp_path / "toy.bw", rows).rename(tmp_path / "toy.signal")
    signal = annotation.read_signal(path, within=Interval("20", 0, 10))
    spans = [(0, 2_100), (0, 1), (edges[-1], edges[-1] + 3), (2_990, 3_010), (4_990, 5_010)]
    for start, end in [*spans, *rng.integers(0, 1_000, (20, 2)) + np.array([0, 1_000])]:
        for strand in "+-":
            place = Interval("NC_000020.10", int(start), int(end), strand)
            np.testing.assert_array_equal(signal.values(place), plain.values(place))
    assert signal.values(Interval("MT", 0, 4)).tolist()[:3] == [-1.5] * 3
    assert np.isnan(signal.values(Interval("7", 0, 4))).all() and len(signal) == len(rows)
    assert repr(signal) == "Signal(toy.signal: bigWig; 20, MT)"


def test_a_bigbed_is_a_bed_file(tmp_path):
    rows = [("chr20", 1, 5, "peak1\t5\t+"), ("chr20", 10, 15, "peak2\t7\t-"), ("chrM", 3, 9, "peak3\t1\t.")]
    path = big(tmp_path / "peaks.bigBed", rows)
    bed = written(tmp_path, lines_of(rows), "peaks.bed")
    for within in (None, Interval("20", 12, 13)):
        found, plain = (annotation.read(file, element="peak", within=within) for file in (path, bed))
        assert found.table.equals(plain.table)
    assert list(annotation.named([path])) == ["peaks"]
    # Nothing near is an answer, as it is of a BED file.
    assert len(annotation.read(path, within=Interval("20", 900, 901)).table) == 0
    with pytest.raises(ValueError, match="peaks.bigBed is bigBed, which holds regions. Give it as beds="):
        annotation.read_signal(path)
    with pytest.raises(ValueError, match=r"bigWig, which holds numbers. Read it with annotation.read_signal"):
        annotation.read(big(tmp_path / "a.bw", [("chr20", 1, 5, 0.5)]), format="bed")


def test_a_bigwig_that_is_cut_or_damaged_and_one_without_pybigtools(tmp_path, monkeypatch, capfd):
    path = big(tmp_path / "a.bw", [("chr20", at, at + 1, at / 7) for at in range(4_000)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match="a.bw must be a whole bigWig file.*fetch it again"):
        annotation.read_signal(path)
    middle = len(whole) // 4
    path.write_bytes(whole[:middle] + bytes(50) + whole[middle + 50 :])
    with pytest.raises(ValueError, match="a.bw must be a whole bigWig file.*fetch it again"):
        annotation.read_signal(path).values(Interval("20", 0, 4_000))
    path.write_bytes(whole)
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    with pytest.raises(ImportError, match=r"pybigtools must be installed.*pip install 'ntviz\[bigwig\]'"):
        annotation.read_signal(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_signal_as_spreadsheets_and_r_write_it(tmp_path, encoding, end, zipped):
    # write.table of R writes 100000 as 1e+05.
    lines = ["20\t99999\t1e+05\t0.4", "20\t1e+05\t100002\t-5e-01", "20\t4.31e+07\t43100001\tNA"]
    raw = end.join(lines).encode(encoding)
    path = tmp_path / "in.bedgraph"
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    found = annotation.read_signal(path).values(Interval("20", 99_998, 100_003))
    np.testing.assert_array_equal(found, [np.nan, 0.4, -0.5, -0.5, np.nan])
