"""Splice sites along a locus and logos in splice coordinates, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import HOSTILE, assert_text

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot.theme import LIGHT


def sites(n: int, **at: float) -> np.ndarray:
    found = np.zeros((n, 3))
    for name, value in at.items():
        kind, _, place = name.partition("_")
        found[int(place), {"acceptor": 1, "donor": 2}[kind]] = value
    found[:, 0] = 1 - found.sum(axis=1)
    return found


def marks(figure) -> dict[str, list[tuple[float, float]]]:
    return {
        trace.name: [*zip(trace.x.tolist(), trace.y.tolist(), strict=True)]
        for trace in figure.data
        if trace.name
    }


@pytest.mark.parametrize("strand", ["+", "-"])
def test_sites_stand_on_their_bases_and_the_control_is_grey(strand):
    place = Interval("chr20", 1_000, 1_040, strand)
    reverse, control = sites(40, donor_30=0.4), sites(40, donor_7=0.2)
    track = plot.splice_track(sites(40, acceptor_5=0.9, donor_20=0.75), reverse=reverse, control=control)
    figure = plot.locus(place, [track], title="t")
    at = range(1_001, 1_041)[:: 1 if strand == "+" else -1]
    found = marks(figure)
    assert found["Splice sites, acceptor"] == [(at[5], 0.9)]
    assert found["Splice sites, donor"] == [(at[20], 0.75)]
    assert found["Splice sites, other strand, donor"] == [(at[30], -0.4)]
    assert found["Splice sites: control (shuffled sequence), donor"] == [(at[7], 0.2)]
    said = plot.alt(figure)
    assert f"acceptor at {at[5]:,} (0.90); donor at {at[20]:,} (0.75)" in said
    assert "in the control (shuffled sequence) no donor of 0.5 or more, the highest is 0.2" in said
    controls = [trace for trace in figure.data if "control" in (trace.name or "")]
    assert {trace.marker.color for trace in controls} == {LIGHT.control}


def test_nothing_found_and_markup_and_wrong_arrays():
    place = Interval("chr20", 10, 30)
    figure = plot.locus(place, [plot.splice_track(sites(20, donor_3=0.2), label=HOSTILE)], title="t")
    assert "no donor of 0.5 or more, the highest is 0.2" in plot.alt(figure)
    assert_text(figure)
    with pytest.raises(ValueError, match=r"shape \[base, 3\]; received \[20, 4\]"):
        plot.splice_track(np.zeros((20, 4)))
    with pytest.raises(ValueError, match="none, acceptor and donor; received 15 numbers below 0 or above 1"):
        plot.splice_track(np.full((5, 3), -3.0))
    with pytest.raises(ValueError, match="one value for each of the 20 bases"):
        plot.locus(place, [plot.splice_track(sites(19))], title="t")


@pytest.mark.parametrize(
    ("kind", "n", "labels"),
    [
        ("donor", 9, ["−3", "−2", "−1", "+1", "+2"]),
        ("acceptor", 23, ["−20", "−15", "−10", "−5", "−3", "−1", "+1"]),
    ],
)
def test_logos_count_from_the_junction(kind, n, labels):
    heights = np.full((n, 4), 0.1)
    heights[2, 3], heights[4, 0] = 1.5, -2
    axes = plot.splice_logo(heights, kind, title="Sites, all", unit="nats")
    numbers = [at for at in range(-20 if kind == "acceptor" else -3, 7) if at]
    largest = f"largest T at {numbers[2]:+d} (1.5) and A at {numbers[4]:+d} (−2), in nats."
    assert axes.get_label() == f"Sites, all, positions {numbers[0]} to +{n + numbers[0]}: {largest}"
    assert [text.get_text() for text in axes.get_xticklabels()][: len(labels)] == labels
    assert "exon" in axes.get_xlabel()
    junction = {"donor": 3.5, "acceptor": 20.5}[kind]
    assert any(junction in np.asarray(line.get_xdata()).tolist() for line in axes.get_lines())
    with pytest.raises(ValueError, match=f"A {kind} must have {n} positions"):
        plot.splice_logo(np.zeros((n + 1, 4)), kind)
    with pytest.raises(ValueError, match="received 'exon'"):
        plot.splice_logo(np.zeros((9, 4)), "exon")
