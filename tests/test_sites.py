"""Sites that a head attends to: a planted motif comes back, a head that looks anywhere shows nothing beyond chance."""

from __future__ import annotations

import numpy as np
import pytest
from attention_toy import motif, random_keys, toy

from ntviz import attention
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

MOTIF = "GATTACATAGGC"  # two tokens, which the windows below hold in frame


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Reference:
    rng = np.random.default_rng(8)
    bases = rng.choice(list("ACGT"), 60 * 600)
    for start in range(120, len(bases), 600):
        bases[start : start + len(MOTIF)] = list(MOTIF)
        place = start + 300 - start % 600
        bases[place : place + 5] = list("NNNNN")
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(f">chrT\n{''.join(bases)}\n")
    return Reference(path)


def windows(strand: str) -> list[Interval]:
    return [Interval("chrT", start, start + 600, strand) for start in range(0, 60 * 600, 600)]


def test_a_planted_motif_comes_back_and_a_head_that_looks_anywhere_shows_nothing(reference):
    model = toy([[motif(MOTIF), random_keys(2)]])
    found = attention.attended_sites(model, windows("+"), reference, layer=0, head=0, top=60, per_window=2)
    assert (found.windows, len(found.table), found.token) == (60, 60, (9, 15))
    consensus = "".join("ACGT"[base] for base in found.probabilities[slice(*found.token)].argmax(1))
    assert consensus in (MOTIF[:6], MOTIF[6:])
    assert found.beyond_chance[slice(*found.token)].all()
    assert found.information[slice(*found.token)].sum() > 5
    assert np.array_equal(found.motif.probabilities, found.probabilities)
    assert (found.motif.id, found.motif.nsites) == ("layer 0, head 0", 60)
    # What the head is held against is flat: no position of random sites says as much as the least of the token's.
    assert found.random_motif.information.max() < found.motif.information[slice(*found.token)].min()
    anywhere = attention.attended_sites(model, windows("+"), reference, layer=0, head=1, top=60, per_window=2)
    # 5 % of positions are expected beyond their 95 % quantile; 5 of 24 would be rare (2 in 1,000).
    assert anywhere.beyond_chance.sum() < 5
    assert f"{len(anywhere.table)} sites of 60 windows" in repr(anywhere)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_sites_have_their_place_in_the_genome(reference, strand):
    model = toy([[motif(MOTIF), random_keys(2)]])
    found = attention.attended_sites(model, windows(strand)[:5], reference, layer=0, head=1, top=9)
    assert (np.diff(found.table["received"]) <= 0).all()
    for row in found.table.itertuples():
        forward = reference.fetch(Interval(row.chrom, row.start, row.end)).sequence
        assert row.sequence == (forward if strand == "+" else reverse_complement(forward))
        assert "N" not in row.sequence
    assert found.counts.sum(1).tolist() == [9] * 24
    again = attention.attended_sites(model, windows(strand)[:5], reference, layer=0, head=1, top=9)
    assert np.array_equal(found.chance, again.chance)


def test_windows_too_short_for_a_site_are_an_error(reference):
    short = [Interval("chrT", 0, 20)]
    with pytest.raises(ValueError, match="whole tokens with 9 bp on both sides, without N; none of 1 does"):
        attention.attended_sites(toy([[random_keys(1)]]), short, reference, layer=0, head=0)
