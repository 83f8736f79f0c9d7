"""Signals of bedGraph files: every base beside brute force, aliases, gzip, and what is wrong with a line."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
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
    lines = [
        (int(a), int(b), round(float(rng.normal()), 3)) for a, b in pairwise(edges) if rng.random() < 0.6
    ]
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
        found = signal.values(Interval("20", int(start), int(end)))
        np.testing.assert_array_equal(found, plain[start:end])
        turned = signal.values(Interval("20", int(start), int(end), "-"))
        np.testing.assert_array_equal(turned, plain[start:end][::-1])
    near = annotation.read_signal(path, within=Interval("NC_000020.10", 500, 520))
    assert len(near) < 20
    np.testing.assert_array_equal(near.values(Interval("chr20", 500, 520)), plain[500:520])


def test_aliases_gzip_and_missing_values(tmp_path):
    path = tmp_path / "toy.bg.gz"
    path.write_bytes(gzip.compress(b"NC_000020.10 5 7 1e2\r\n\nchr2 0 1 -1\nchr20 7 8 nan\n20 8 9 NA\n"))
    signal = annotation.read_signal(path)
    assert signal.values(Interval("chr20", 4, 10)).tolist()[1:3] == [100, 100]
    assert np.isnan(signal.values(Interval("20", 7, 10))).all()
    assert signal.values(Interval("2", 0, 1)).tolist() == [-1]
    assert np.isnan(signal.values(Interval("chrUn_1", 0, 5))).all()
    assert repr(signal) == "Signal(toy.bg.gz: 2 stretches, 3 bp; 20, 2)"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("chr20 5 7", "it has 3 columns: 'chr20 5 7'"),
        ("chr20 5 7 1 2", "it has 5 columns"),
        ("chr20 five 7 1", "the start must be an integer and is 'five'"),
        ("chr20 7 7 1", "the start must be at least 0 and before the end, and they are 7 and 7"),
        ("chr20 -1 7 1", "and they are -1 and 7"),
        ("chr20 5 7 high", "the value must be a number and is 'high'"),
        ("chr20 5 7 inf", "the value must be finite and is 'inf'"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, says):
    path = written(tmp_path, f"chr20 1 2 0\n{line}\n")
    with pytest.raises(
        ValueError, match=f"Line 2 of toy.bedgraph must be contig, start, end and value, but .*{says}"
    ):
        annotation.read_signal(path)


def test_what_is_no_signal_is_said(tmp_path):
    overlapping = written(tmp_path, "chr20 8 10 1\nchr20 1 2 1\n20 4 9 2\n")
    with pytest.raises(ValueError, match="lines 1 and 3 of toy.bedgraph both hold 20:9"):
        annotation.read_signal(overlapping)
    with pytest.raises(ValueError, match="toy.bedgraph must hold at least one stretch"):
        annotation.read_signal(written(tmp_path, "track type=bedGraph\n"))
    with pytest.raises(FileNotFoundError, match="must be a file; received .*none.bg"):
        annotation.read_signal(tmp_path / "none.bg")
    cut = tmp_path / "cut.bg.gz"
    cut.write_bytes(gzip.compress(b"chr20 1 2 0.123456\n" * 50)[:-12])
    with pytest.raises(ValueError, match="must be a whole gzip file"):
        annotation.read_signal(cut)
