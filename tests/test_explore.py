"""What the explorer looks at: places that people type, exact windows of any head, tracks, scores, and what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from attention_toy import previous_token, random_keys, same_kmer, toy

from ntviz import annotation, attention, explore, models
from ntviz.explore import scan
from ntviz.explore.places import locate
from ntviz.explore.session import widened
from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.sequence import reverse_complement

TINY_V1 = Path(__file__).parent / "fixtures" / "nt_v1_tiny"


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Reference, annotation.Annotation]:
    """A contig of 12 kb with a gene on each strand, one of them longer than a window."""
    folder = tmp_path_factory.mktemp("genome")
    bases = "".join(np.random.default_rng(2).choice(list("ACGT"), 12_000))
    (folder / "toy.fa").write_text(f">chrT\n{bases}\n")
    lines = []
    for name, strand, first, last, exons in (
        ("ONE", "+", 2001, 2800, [(2001, 2100), (2501, 2800)]),
        ("TWO", "-", 5001, 9000, [(5001, 5200), (8701, 9000)]),
    ):
        about = f'gene_id "{name}"; gene_name "{name}"; transcript_id "{name}.1";'
        lines.append(f"chrT\ttoy\tgene\t{first}\t{last}\t.\t{strand}\t.\t{about}")
        lines.append(f"chrT\ttoy\ttranscript\t{first}\t{last}\t.\t{strand}\t.\t{about}")
        lines += [f"chrT\ttoy\texon\t{a}\t{b}\t.\t{strand}\t.\t{about}" for a, b in exons]
    (folder / "toy.gtf").write_text("\n".join(lines) + "\n")
    return Reference(folder / "toy.fa"), annotation.read(folder / "toy.gtf")


@pytest.fixture(scope="module")
def mini():
    return models.load("ntviz-mini", device="cpu")


@pytest.fixture
def explorer(genome, mini) -> explore.Explorer:
    return explore.attention(mini, *genome, at="ONE")


def test_a_gene_a_region_and_a_variant_are_places(genome):
    reference, genes = genome
    one = locate(" one ", reference, genes, window=1200, longest=6000)
    assert (one.kind, one.name, len(one.interval), one.interval.strand) == ("gene", "ONE", 1200, "+")
    assert one.interval.contains(one.focus)
    two = locate("TWO", reference, genes, window=1200, longest=6000)
    assert two.interval.strand == "-"
    assert two.interval.midpoint == 8999
    assert "around the start of TWO" in two.how
    region = locate("chrT:3,001-4,000(-)", reference, genes, window=1200, longest=6000)
    assert region.interval == Interval("chrT", 3000, 4000, "-")
    edge = locate("chrT:11,990", reference, genes, window=1200, longest=6000)
    assert (edge.interval.end, len(edge.interval)) == (12_000, 1200)
    base = reference.fetch("chrT:6,000").sequence
    variant = locate(
        f"chrT:6,000 {base}>{reverse_complement(base)}", reference, genes, window=1200, longest=6000
    )
    assert variant.variant == Variant("chrT", 6000, base, reverse_complement(base))
    assert variant.interval.contains(5999)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "received nothing. Type a gene"),
        ("ONEE", "Nearest: ONE.*Type a gene"),
        ("chrT:1-9,000", "at most 6,000 bp.*has 9,000 bp. Type a part of it, such as chrT:1,501-7,500"),
        ("chrT:13,000-13,500", "must lie on its contig.*chrT has 12,000 bp"),
        ("chrQ:1-500", "chrQ"),
    ],
)
def test_a_place_that_is_none_says_what_would_be(genome, text, match):
    with pytest.raises(ValueError, match=match):
        locate(text, *genome, window=1200, longest=6000)
    with pytest.raises(ValueError, match="no annotation. Type a region"):
        locate("ONE", genome[0], None, window=1200, longest=6000)


def test_windows_rows_and_columns_equal_the_whole_map(mini):
    tokens = mini.tokenize(
        "".join(np.random.default_rng(5).choice(list("ACGT"), 700)) + "NNNN" + "ACGTTT" * 9
    )
    maps = mini.forward(tokens, outputs=("attentions",)).attentions[0]
    kept = scan.Scan(mini, tokens)
    # Without room for queries and keys each look runs the model: the same numbers, slower.
    for one in (kept, scan.Scan(mini, tokens, budget=0)):
        np.testing.assert_allclose(one.weights(2, 3, (4, 60), (10, 90)), maps[2, 3, 4:60, 10:90], atol=1e-5)
        row, column = one.profile(3, 1, 17)
        np.testing.assert_allclose(row, maps[3, 1, 17], atol=1e-5)
        np.testing.assert_allclose(column, maps[3, 1, :, 17], atol=1e-5)
        cells = one.cells(1, 5, (1, 101), (1, 120), most=(9, 16))
        assert cells.values.shape == (9, 15)
        for i in range(9):
            for j in range(15):
                part = maps[
                    1, 5, 1 + 12 * i : min(1 + 12 * (i + 1), 101), 1 + 8 * j : min(1 + 8 * (j + 1), 120)
                ]
                assert cells.values[i, j] == pytest.approx(part.max(), abs=1e-5)
                query, key = cells.pair(i, j)
                assert maps[1, 5, query, key] == pytest.approx(part.max(), abs=1e-5)
    with pytest.raises(ValueError, match=r"within 0 to .*received \(5, 5\)"):
        kept.weights(0, 0, (5, 5))


def test_a_model_of_known_heads_is_looked_at_as_exactly():
    model = toy([[previous_token, same_kmer], [random_keys(1), previous_token]])
    tokens = model.tokenize("ACGTACGGTTAC" * 12)
    one = scan.Scan(model, tokens)
    np.testing.assert_allclose(one.weights(1, 0), model.weights(tokens)[1, 0], atol=1e-5)


def test_scores_and_tracks_of_a_place(explorer, mini):
    look = explorer.look
    seen = attention.observe(mini, look.tokens, entropy=attention.Entropy(), received=attention.Received())
    np.testing.assert_allclose(look.scores["entropy"][0], seen.entropy.mean, atol=1e-5)
    np.testing.assert_allclose(look.scores["attention to <cls>"][0], seen.received.special, atol=1e-5)
    assert look.scores["attention to exon"][1] == "share of attention"
    assert (explorer.layer, explorer.head) == np.unravel_index(
        seen.entropy.mean.argmin(), seen.entropy.mean.shape
    )
    start = look.interval.start
    assert look.stretches("exon") == [[2000 - start, 2100 - start], [2500 - start, 2800 - start]]
    explorer.go("TWO")
    look = explorer.look
    assert look.interval.strand == "-"
    assert look.genes()[0]["forward"]
    assert look.stretches("exon")[0] == [look.interval.end - 9000, look.interval.end - 8700]


def test_a_view_is_chosen_zoomed_and_saved(explorer, tmp_path):
    explorer.choose(3, 2)
    explorer.zoom((30, 60), (-5, 10_000))
    assert explorer.key == (1, len(explorer.look.tokens))
    weights = explorer.weights
    names: dict = {}
    exec(compile(explorer.code(), "view.py", "exec"), names)
    np.testing.assert_allclose(names["weights"], weights, atol=1e-6)
    table = explorer.table()
    assert table["weight"].iloc[0] == weights.max()
    row = table.iloc[0]
    assert (
        explorer.sources.reference.fetch(Interval(row["chrom"], row["key_start"], row["key_end"])).sequence
        == row["key_bases"]
    )
    assert "0-based, half-open" in explorer.tsv().splitlines()[1]
    # The picture is of the view, not of the window around it.
    first, last = (explorer.look.tokens.on(explorer.look.interval)[i] for i in (30, 59))
    alt = explorer.still().map.alt
    assert f"30 queries by {len(explorer.look.tokens) - 1} keys" in alt
    assert f"{first[0] + 1:,}" in alt
    assert f"{last[1]:,}" in alt
    page = explorer.save(tmp_path / "view.html").read_text()
    assert page.count("<figure") == 2
    with pytest.raises(ValueError, match=r"4 layers by 8 heads, numbered from 0; received \(4, 0\)"):
        explorer.choose(4, 0)


def test_alleles_and_their_difference(genome, mini):
    reference, _ = genome
    base = reference.fetch("chrT:6,000").sequence
    other = "A" if base != "A" else "C"
    explorer = explore.attention(mini, *genome, at=f"chrT:6,000 {base}>{other}", head=(3, 2))
    assert explorer.look.alleles == ["reference", "alternative", "difference"]
    before, after = (
        explorer.look.weights(3, 2, (1, 50), (1, 50), name) for name in ("reference", "alternative")
    )
    np.testing.assert_allclose(
        explorer.look.weights(3, 2, (1, 50), (1, 50), "difference"), after - before, atol=1e-6
    )
    explorer.allele = "difference"
    names: dict = {}
    exec(compile(explorer.code(), "view.py", "exec"), names)
    np.testing.assert_allclose(names["weights"], explorer.weights, atol=1e-6)
    assert explorer.look.bases("alternative")[5999 - explorer.look.interval.start] == other
    explorer.allele = "alternative"
    assert other in "".join(explorer.table()["key_bases"])
    figure = explorer.still().map
    assert "alternative allele" in figure.alt
    assert "Control (reference allele)" in figure.alt
    # An insertion moves every later word: it is said, and no word is shown in the wrong place.
    explorer.go(f"chrT:6,000 {base}>{base}G")
    assert explorer.look.alleles == ["reference"]
    assert "The alternative moves every later word" in explorer.look.note
    with pytest.raises(ValueError, match="REF"):
        explorer.go(f"chrT:6,000 {other}>{base}")


def test_own_elements_become_a_track_and_a_score(explorer):
    start = explorer.look.interval.start
    said = explorer.add_bed("peaks.bed", f"chrT\t{start + 60}\t{start + 120}\nchrT\tnonsense\t9\n")
    assert said.startswith("peaks.bed: 1 features, 60 bp of this window.")
    assert "1 of 2 lines of peaks.bed could not be read" in said
    assert explorer.look.stretches("peaks.bed") == [[60, 120]]
    assert "attention to peaks.bed" in explorer.look.scores
    with pytest.raises(ValueError, match="peaks.bed"):
        explorer.add_bed("peaks.bed", "")


def test_lengths_follow_from_the_positions_of_the_model(mini, genome):
    wide, longest = widened(mini)
    assert (longest, mini.max_tokens) == (12_282, 256)
    assert wide.max_tokens > 12_282 // 6
    reference, genes = genome
    beyond = explore.attention(mini, reference, genes, at="chrT:1,001-7,000")
    assert (
        "Attention over 6,000 bp is extrapolation: ntviz-mini was trained on up to 1,530 bp."
        in beyond.look.note
    )
    assert beyond.look.note in beyond.still().map.caption
    raised = explore.attention(replace(mini, max_tokens=1002), reference, genes, at="chrT:1,001-7,000")
    assert raised.look.note == beyond.look.note
    fixed = toy([[previous_token]])
    assert widened(fixed) == (fixed, fixed.max_bp)
    learned = models.load(TINY_V1, device="cpu")
    assert widened(learned) == (learned, learned.max_bp)
    with pytest.raises(ValueError, match=f"at most {learned.max_bp:,} bp for this model"):
        explore.attention(learned, reference, genes, at="chrT:1,001-7,000")


def test_without_a_place_it_begins_at_the_first_gene(genome, mini):
    reference, genes = genome
    assert explore.attention(mini, reference, genes).look.place.name == "ONE"
    elsewhere = annotation.from_table(genes.table.assign(chrom="chrQ"))
    with pytest.raises(ValueError, match="no gene on a contig of the reference. Pass at="):
        explore.attention(mini, reference, elsewhere)


def test_outside_of_jupyterlab_there_is_no_widget(explorer, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/html"].count("<img") == 2
    monkeypatch.setenv("JPY_SESSION_NAME", "somewhere.ipynb")
    assert "application/vnd.jupyter.widget-view+json" in explorer._repr_mimebundle_()


def test_an_atlas_colours_heads(genome, mini):
    atlas = attention.atlas(attention.detect(mini, ["ACGTACGGTTAC" * 20]))
    explorer = explore.attention(mini, *genome, at="ONE", atlas=atlas)
    np.testing.assert_allclose(explorer.look.scores["atlas: diagonal"][0], atlas.grid("diagonal"))
    assert replace(explorer.sources, atlas=None).atlas is None
