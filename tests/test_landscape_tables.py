"""Landscapes as files, tracks and tables by element, counted by hand and by brute force."""

from __future__ import annotations

import gc
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, landscape
from ntviz.genome import Interval
from ntviz.landscape import Landscape
from ntviz.landscape.resampling import Circle
from ntviz.landscape.tracks import track_rows

PLACE = Interval("20", 600, 1_201)
ARRAYS = ("probability", "correct", "entropy")


@pytest.fixture(scope="module")
def toy():
    return ToyModel(max_tokens=64)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), n=[("20", 1_000, 1_013), ("20", 3_000, 6_000)])


def made(model, reference, place=PLACE, **options):
    return landscape.reconstruct(
        model, reference, place, **{"window": 240, "flank": 60, "what": None, **options}
    )


def same(one, other, **options):
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), **options)


# The result -----------------------------------------------------------------------------------------------------------


def test_save_and_load(toy, reference, tmp_path):
    found = made(toy, reference, control=("composition", "shuffled"))
    again = Landscape.load(found.save(tmp_path / "one.npz"))
    assert again.interval == found.interval and again.settings == found.settings
    assert (again.model, again.contig_length) == ("toy of nt-v1", 6_000)
    same(again, found, rtol=0)
    for name, values in found.controls.items():
        np.testing.assert_array_equal(again.controls[name], values)
        assert values.dtype == np.float32
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"of format 1 that Landscape.save wrote; .*bad.npz is not"):
        Landscape.load(tmp_path / "bad.npz")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        Landscape.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"correct has shape \[3\]"):
        replace(found, correct=found.correct[:3])


def test_a_file_cut_off_or_changed_is_refused_wherever_it_happened(tmp_path):
    """Each ends with one error, whatever the archive says of it, and leaves no file open: its warning is an error here."""
    path = tmp_path / "one.npz"
    whole = small().save(path).read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"one.npz is not, or is damaged .*Make it again"):
            Landscape.load(path)
    refusals = []
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            # Times in the archive may change without harm; what is read then is what was saved.
            same(Landscape.load(path), small(), rtol=0)
        except ValueError as error:
            refusals.append(str(error))
    assert all(re.search(r"one.npz is not, or is damaged .*Make it again", text) for text in refusals)
    assert len(refusals) > len(whole) / 5 / 2
    gc.collect()


def small():
    values = np.array([0.5, 0.5, np.nan, 0.25, 0.25, 1.0, 0.0], np.float32)
    return Landscape(Interval("20", 9, 16), values, np.round(values), values, "toy", 100)


def test_tracks(tmp_path):
    found = small()
    lines = found.bedgraph(tmp_path / "p.bedGraph").read_text().splitlines()
    assert lines == ["20\t9\t11\t0.5", "20\t12\t14\t0.25", "20\t14\t15\t1", "20\t15\t16\t0"]
    coarse = found.bedgraph(tmp_path / "c.bedGraph", "entropy", bin=4, chrom="chr20").read_text()
    assert coarse.splitlines() == ["chr20\t9\t12\t0.5", "chr20\t12\t16\t0.375"]
    assert found.bedgraph(tmp_path / "x", "perplexity").read_text().splitlines()[0] == "20\t9\t11\t2"
    assert found.chrom_sizes(tmp_path / "sizes", chrom="chr20").read_text() == "chr20\t100\n"
    with pytest.raises(ValueError, match="one of probability, entropy, correct, perplexity; received 'loss'"):
        found.bedgraph(tmp_path / "y", "loss")
    with pytest.raises(ValueError, match="bin must be at least 1 bp; received 0"):
        found.bedgraph(tmp_path / "y", bin=0)
    assert not (tmp_path / "y").exists()


def test_tracks_say_what_every_base_has(toy, reference):
    found = made(toy, reference)
    rows = list(track_rows(found.probability, PLACE.start))
    again = np.full(len(found), np.nan)
    for start, end, value in rows:
        assert np.isnan(again[start - 600 : end - 600]).all()
        again[start - 600 : end - 600] = value
    np.testing.assert_allclose(again, found.probability, atol=1e-8)
    assert all(one[1] <= other[0] for one, other in pairwise(rows))


def test_rows_of_a_long_track_are_joined_over_chunks():
    assert list(track_rows(np.ones((1 << 20) + 7, np.float32), 5)) == [(5, (1 << 20) + 12, 1.0)]


def test_a_bigwig_needs_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    with pytest.raises(ImportError, match="needs the package pyBigWig, which is not installed"):
        small().bigwig(tmp_path / "p.bw")
    written = []

    class File:
        def __init__(self, path, mode):
            Path(path).write_bytes(mode.encode())

        def addHeader(self, contigs):
            written.append(contigs)

        def addEntries(self, chroms, starts, *, ends, values):
            written.append((chroms, starts, ends, values))

        def close(self):
            written.append("closed")

    monkeypatch.setitem(sys.modules, "pyBigWig", SimpleNamespace(open=File))
    assert small().bigwig(tmp_path / "p.bw", "correct").exists()
    assert written[0] == [("20", 100)]
    assert written[1] == (["20"] * 4, [9, 12, 14, 15], [11, 14, 15, 16], [0.0, 0.0, 1.0, 0.0])
    assert written[2:] == ["closed"]
    assert [path.name for path in tmp_path.iterdir()] == ["p.bw"]


# By element -----------------------------------------------------------------------------------------------------------


def flat(values, start=0, controls=None, chrom="20"):
    values = np.asarray(values, np.float32)
    return Landscape(
        Interval(chrom, start, start + len(values)),
        *(values, (values > 0.5).astype(np.float32), 2 - values),
        *("toy", start + len(values), controls or {}),
    )


def row(table, element, measure="probability"):
    found = table[(table.element == element) & (table.measure == measure)]
    assert len(found) == 1
    return found.iloc[0]


def test_elements_by_hand():
    values = np.array([0.25, np.nan, 0.5, 1.0, 0.25, 0.5, 0.5, 1.0])
    sites = pd.DataFrame(
        {
            "chrom": ["chr20", "20", "20", "21"],
            "start": [100, 103, 102, 100],
            "end": [102, 104, 104, 108],
            "element": ["site", "site", "site", "elsewhere"],
        }
    )
    control = {"composition": np.full(8, 0.25, np.float32)}
    found = landscape.by_element(flat(values, 100, control), sites, block=4, draws=50, shifts=20)
    assert list(dict.fromkeys(found.element)) == ["all", "site", "elsewhere"]
    known = values[np.isfinite(values)]
    site = np.array([0.25, 0.5, 1.0])
    one = row(found, "site")
    assert (one.n, one.blocks) == (3, 1) and np.isnan(one.low)
    assert one.value == pytest.approx(site.mean())
    assert one.difference == pytest.approx(site.mean() - known.mean())
    assert row(found, "site", "accuracy").value == pytest.approx(1 / 3)
    assert row(found, "site", "entropy").value == pytest.approx((2 - site).mean())
    assert row(found, "site", "perplexity").value == pytest.approx(np.exp(-np.log(site).mean()))
    assert row(found, "site", "composition").value == pytest.approx(0.25)
    assert row(found, "site", "over_composition").value == pytest.approx(site.mean() - 0.25)
    everything = row(found, "all")
    assert (everything.n, everything.blocks) == (7, 2) and everything.difference == 0
    assert everything.null_mean == pytest.approx(everything.value)
    empty = found[found.element == "elsewhere"]
    assert (empty.n == 0).all() and len(empty) == 6
    assert empty[["value", "low", "high", "difference", "null_mean"]].isna().all(axis=None)


def test_an_annotation_gives_its_elements(reference, toy):
    genes = pd.DataFrame({"chrom": ["20", "20"], "start": [650, 900], "end": [700, 960], "element": "exon"})
    known = annotation.from_table(genes, kinds=["repeat"])
    found = landscape.by_element(made(toy, reference), known, draws=10, shifts=10)
    assert row(found, "exon").n == 110 and row(found, "repeat").n == 0
    with pytest.raises(
        ValueError, match="An element must be one of those in the table: repeat, exon; received 'exn'"
    ):
        landscape.by_element(made(toy, reference), known, ["exn"])


def test_blocks_and_shifts_equal_brute_force():
    rng = np.random.default_rng(0)
    values = rng.random(300).astype(np.float32)
    values[rng.random(300) < 0.1] = np.nan
    inside = np.repeat(rng.random(60) < 0.3, 5)
    part = flat(values, 17)
    circle = Circle(part, 40)
    starts, ends = circle.stretches(inside)
    sums = circle.summed(values.astype(float))
    expected, genome = [], 17 + np.arange(300)
    for block in np.unique(genome // 40):
        expected.append(np.nansum(values[inside & (genome // 40 == block)], dtype=float))
    np.testing.assert_allclose(circle.by_block(sums, starts, ends), expected, atol=1e-9)
    known = np.isfinite(values)
    turns = rng.random(20)
    brute = [
        values[known][np.roll(inside[known], int(turn * known.sum()))].sum(dtype=float) for turn in turns
    ]
    np.testing.assert_allclose(circle.shifted(sums, starts, ends, turns), brute, atol=1e-9)


def test_a_signal_leaves_the_null_and_noise_does_not():
    rng = np.random.default_rng(1)
    noise, inside = rng.random(20_000) * 0.5, np.zeros(20_000, bool)
    for start in range(100, 20_000, 400):
        inside[start : start + 10] = True
    planted = np.where(inside, noise + 0.3, noise)
    for values, found in ((noise, False), (planted, True)):
        table = landscape.by_element(flat(values), {"site": inside}, block=500, draws=200)
        one = row(table, "site")
        assert one.blocks == 40 and one.low < one.value < one.high
        assert (one.value > one.null_high) == found
        assert (one.difference_low > 0) == found
    again = landscape.by_element(flat(planted), {"site": inside}, block=500, draws=200)
    pd.testing.assert_frame_equal(table, again)
    # In two halves everything is counted as in one.
    rows = pd.DataFrame({"chrom": "20", "start": np.flatnonzero(inside), "element": "site"})
    rows["end"] = rows["start"] + 1
    halves = [flat(planted[10_000:], 10_000), flat(planted[:10_000])]
    both = landscape.by_element(halves, rows, block=500, draws=20, shifts=20)
    assert row(both, "site").value == pytest.approx(one.value) and row(both, "site").n == one.n


def test_tables_that_make_no_sense_are_refused():
    part = flat(np.ones(10))
    for given, elements, options, message in (
        ([], {}, {}, "There must be a landscape; received none"),
        ([part, part], {}, {}, "must not overlap, or bases would count twice; received 20:1-10 and 20:1-10"),
        ([part, replace(flat(np.ones(5), 20), model="b")], {}, {}, "be by one model; received b and toy"),
        ([part, flat(np.ones(5), 20, {"shuffled": np.ones(5)})], {}, {}, "have the same controls"),
        (part, {"x": np.ones(9, bool)}, {}, r"must cover one landscape, \[10\] bases; 'x' has shape \[9\]"),
        (part, {"x": np.ones(10, bool)}, {"kinds": ["y"]}, "must be one of x; received 'y'"),
        (part, {}, {"block": 0}, "block must be at least 1; received 0"),
        (part, {}, {"shifts": 0}, "shifts must be at least 1; received 0"),
    ):
        with pytest.raises(ValueError, match=message):
            landscape.by_element(given, elements, **options)
    nothing = landscape.by_element(flat(np.full(5, np.nan)), {"x": np.ones(5, bool)}, draws=5, shifts=5)
    assert (nothing.n == 0).all() and nothing.value.isna().all()
