"""What the explorer looks at: places that people type, exact windows of any head, tracks, scores, and what it saves."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from attention_toy import previous_token, random_keys, same_kmer, toy
from drawn import named
from explore_toy import annotated, snv
from scipy.stats import ks_2samp

from ntviz import annotation, attention, explore, models, plot
from ntviz.attention import scan
from ntviz.explore.places import Place, locate
from ntviz.genome import Interval
from ntviz.genome.sequence import shuffle
from ntviz.plot.theme import LIGHT
from ntviz.plot.words import span
from ntviz.reference import Reference

TINY_V1 = Path(__file__).parent / "fixtures" / "nt_v1_tiny"


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Reference, annotation.Annotation]:
    """A contig of 12 kb with a gene on each strand, one of them longer than a window."""
    folder = tmp_path_factory.mktemp("genome")
    (folder / "toy.fa").write_text(f">chrT\n{''.join(np.random.default_rng(2).choice(list('ACGT'), 12_000))}\n")
    one, two = ("ONE", "+", (2001, 2100), (2501, 2800)), ("TWO", "-", (5001, 5200), (8701, 9000))
    return Reference(folder / "toy.fa"), annotated(folder, "chrT", one, two)


def found(text: str, reference: Reference, genes) -> Place:
    return locate(text, reference, genes, window=1200, longest=6000)


@pytest.fixture
def explorer(genome, mini) -> explore.AttentionExplorer:
    return explore.attention(mini, *genome, at="ONE")


def test_a_gene_an_identifier_a_region_and_a_variant_are_places(genome):
    reference, genes = genome
    one, two, edge = (found(text, *genome) for text in (" one ", "TWO", "chrT:11,990"))
    assert (one.kind, one.name, len(one.interval), one.interval.strand) == ("gene", "ONE", 1200, "+")
    assert one.interval.contains(one.focus)
    assert (two.interval.strand, two.interval.midpoint) == ("-", 8999) and "around the start of TWO" in two.how
    assert found("chrT:3,001-4,000(-)", *genome).interval == Interval("chrT", 3000, 4000, "-")
    assert (edge.interval.end, len(edge.interval)) == (12_000, 1200)
    change = snv(reference, 6000, "chrT")
    variant = found(f"chrT:6,000 {change.ref}>{change.alt}", *genome)
    assert variant.variant == change and variant.interval.contains(5999)
    table = genes.table.assign(gene_id="ENSG00000000001.4", transcript="ENST00000000007.1")
    both = annotation.from_table(table[table["gene"] == "ONE"])
    for text in ("ENSG00000000001", "ensg00000000001.9", "ENST00000000007", "ENST00000000007.2"):
        place = found(text, reference, both)
        assert (place.kind, place.focus.start, place.focus.end) == ("gene", 2000, 2800)
    table = genes.table.assign(gene_id=genes.table["gene"].map({"ONE": "ENSG00000000001", "TWO": "TWO"}))
    table.loc[table["element"] == "gene", ["start", "end"]] = [[1000, 3000], [4000, 9900]]
    wide = annotation.Annotation(table)
    one, two = (found(text, reference, wide) for text in ("ensg00000000001.3", "TWO"))
    assert (one.name, one.at, one.interval.midpoint, one.focus.start, one.focus.end) == ("ONE", 2000, 2000, 1000, 3000)
    assert (two.at, two.interval.midpoint, two.focus.end) == (8999, 8999, 9900)
    with pytest.raises(ValueError, match="1 of its genes have names and no Ensembl identifiers.*such as TWO"):
        found("ENSG00000000002", reference, wide)


@pytest.mark.parametrize(("text", "match"), [
    ("", "received nothing. Type a gene"),
    ("2,001-2,800", "its chromosome; received '2,001-2,800'. Type chrT:2,001-2,800 if chrT is meant"),
    ("BRCA2", "the 2 of toy.gtf; received 'BRCA2'.*Its genes lie on chrT. Type a gene"),
    ("ENSG00000101076.5", "no Ensembl identifiers: type a name, such as ONE"),
    ("ONEE", "Nearest: ONE.*Type a gene"),
    ("chrT:1-9,000", "at most 6,000 bp.*has 9,000 bp. Type a part of it, such as chrT:1,501-7,500"),
    ("chrT:13,000-13,500", "must lie on its contig.*chrT has 12,000 bp"),
    ("chrQ:1-500", "chrQ"),
    ("ONE", "no annotation. Type a region"),
])  # fmt: skip
def test_a_place_that_is_none_says_what_would_be(genome, text, match):
    with pytest.raises(ValueError, match=match):
        found(text, genome[0], genome[1] if match != "no annotation. Type a region" else None)


def test_windows_rows_and_columns_equal_the_whole_map(mini):
    text = "".join(np.random.default_rng(5).choice(list("ACGT"), 700)) + "NNNN" + "ACGTTT" * 9
    tokens = mini.tokenize(text)
    maps = mini.forward(tokens, outputs=("attentions",)).attentions[0]
    kept = scan.Scan(mini, tokens)
    # Without room for queries and keys each look runs the model: the same numbers, slower.
    for one in (kept, scan.Scan(mini, tokens, budget=0)):
        np.testing.assert_allclose(one.weights(2, 3, (4, 60), (10, 90)), maps[2, 3, 4:60, 10:90], atol=1e-5)
        for step in (1, 30, one.rows(1)):
            cells = scan.pooled(lambda rows, one=one: one.weights(1, 5, rows, (1, 120)), (1, 101), (12, 8), step)
            assert cells.shape == (9, 15)
            for i, j in np.ndindex(cells.shape):
                part = maps[1, 5, 1:101, 1:120][12 * i : 12 * (i + 1), 8 * j : 8 * (j + 1)]
                assert cells[i, j] == pytest.approx(part.max(), abs=1e-5)
    known = toy([[previous_token, same_kmer], [random_keys(1), previous_token]])
    tokens = known.tokenize("ACGTACGGTTAC" * 12)
    one = scan.Scan(known, tokens)
    np.testing.assert_allclose(one.weights(1, 0, (0, one.n), (0, one.n)), known.weights(tokens)[1, 0], atol=1e-5)
    signed = np.array([[0.1, -0.5, 0.2], [0.3, np.nan, -0.1]])
    assert scan.pooled(lambda rows: signed[slice(*rows)], (0, 2), (2, 2), 2).tolist() == [[-0.5, 0.2]]
    with pytest.raises(ValueError, match=r"within 0 to .*received \(5, 5\)"):
        kept.weights(0, 0, (5, 5), (0, 9))


def test_scores_of_a_place_and_the_head_that_differs_most_from_shuffled_sequence(explorer, mini):
    look = explorer.look
    seen = attention.observe(mini, look.tokens, entropy=attention.Entropy(), received=attention.Received())
    np.testing.assert_allclose(look.scores["entropy"][0], seen.entropy.mean, atol=1e-5)
    np.testing.assert_allclose(look.scores["attention to special tokens"][0], seen.received.special, atol=1e-5)
    assert look.scores["attention to exon"][1] == "share of attention"
    assert look.stretches("exon").tolist() == [[2000, 2100], [2500, 2800]]
    explorer.go("TWO")
    look = explorer.look
    assert look.interval.strand == "-" and look.stretches("exon").tolist() == [[8700, 9000]]
    texts = [look.tokens.sequence, *(shuffle(look.tokens.sequence, k=2, seed=seed) for seed in range(4))]
    seen = (attention.observe(mini, mini.tokenize(text), entropy=attention.Entropy()).entropy for text in texts)
    here, *there = (entropy.by_query[..., 1:] for entropy in seen)
    brute = np.empty((4, 8))
    for i, j in np.ndindex(brute.shape):
        away = [ks_2samp(here[i, j], one[i, j]).statistic for one in there]
        apart = [ks_2samp(a[i, j], b[i, j]).statistic for a, b in combinations(there, 2)]
        brute[i, j] = np.mean(away) - np.mean(apart)
    np.testing.assert_allclose(look.scores["difference from shuffled sequence"][0], brute, atol=1e-6)
    assert (explorer.layer, explorer.head) == np.unravel_index(brute.argmax(), brute.shape)
    assert "Of 32 heads this one stands out most from its control" in plot.alt(explorer.figure())
    explorer.choose(1, 1)
    explorer.go("TWO")
    assert (explorer.layer, explorer.head) == (1, 1) and "stands out" not in plot.alt(explorer.figure())


def test_a_view_is_chosen_zoomed_and_saved(explorer, tmp_path):
    explorer.choose(3, 2)
    explorer.zoom((30, 60), (-5, 10_000))
    assert explorer.key == (1, len(explorer.look.tokens))
    same_weights(explorer)
    row = explorer.table().iloc[0]
    key = Interval(row["chrom"], row["key_start"], row["key_end"])
    assert row["weight"] == explorer.weights.max()
    assert explorer.sources.reference.fetch(key).sequence == row["key_bases"]
    assert "0-based, half-open" in explorer.save(tmp_path / "view.tsv").read_text().splitlines()[0]
    assert "Plotly" in explorer.save(tmp_path / "view.html").read_text()
    assert explorer.save(tmp_path / "view.py").read_text() == explorer.code()
    with pytest.raises(ValueError, match=r"one of .html, .json.*received 'view.doc'. Change the ending"):
        explorer.save(tmp_path / "view.doc")
    with pytest.raises(ValueError, match=r"4 layers by 8 heads, numbered from 0; received \(4, 0\)"):
        explorer.choose(4, 0)
    explorer.back()
    assert explorer.query == (30, 60)


@pytest.mark.parametrize("at", ["chrT:3,001-6,000", "chrT:3,001-6,000(-)"])
def test_the_figure_holds_the_map_on_genome_coordinates(genome, mini, at):
    explorer = explore.attention(mini, *genome, at=at, head=(3, 2))
    fig = explorer.figure()
    weight = named(fig, "weight")
    # 500 tokens, pooled by 2; positions rise, the axes turn.
    assert np.shape(weight.z) == (250, 250) and (weight.x[0], weight.x[-1]) == (3000.5, 6000.5)
    whole, at_ = explorer.weights, explorer.look.tokens.on(explorer.look.interval)[1:]
    for i, j in ((0, 0), (17, 203), (249, 249)):
        starts, ends = at_.T + 0.5
        rows, columns = (starts >= weight.y[i]) & (ends <= weight.y[i + 1]), (starts >= weight.x[j]) & (ends <= weight.x[j + 1])  # fmt: skip
        assert weight.z[i, j] == pytest.approx(whole[np.ix_(rows, columns)].max(), rel=5e-4)
    left, right = fig.layout.xaxis.range
    assert (left > right) == at.endswith("(-)")
    assert (fig.layout.yaxis3.range[0] > fig.layout.yaxis3.range[1]) == (left < right)
    query, key = (span(*at_[i]) for i in np.unravel_index(whole.argmax(), whole.shape))
    assert re.search(rf"Strongest: query {query} \(\w+\) on key {key} \(", plot.alt(fig))
    assert (fig.data[-1].texttemplate, fig.data[-1].text[3][2][:16]) == ("%{z:.2f}", "layer 3, head 2<")
    explorer.scale, explorer.score = "log", "distance"
    scale = named(explorer.figure(), "weight").colorscale
    assert scale[1][0] == pytest.approx(10 ** (3 * (1 / 8 - 1)))
    assert {shade for _, shade in scale} <= set(LIGHT.magnitudes)


def same_weights(explorer) -> None:
    """The code of a view gives its numbers."""
    names: dict = {}
    exec(compile(explorer.code(), "view.py", "exec"), names)
    np.testing.assert_allclose(names["weights"], explorer.weights, atol=1e-6)


def test_alleles_and_their_difference(genome, mini):
    change = snv(genome[0], 6000, "chrT")
    base, other = change.ref, change.alt
    explorer = explore.attention(mini, *genome, at=f"chrT:6,000 {base}>{other}", head=(3, 2))
    look = explorer.look
    assert look.alleles == ["reference", "alternative", "difference"]
    before, after, difference = (look.weights(3, 2, (1, 50), (1, 50), name) for name in look.alleles)
    np.testing.assert_allclose(difference, after - before, atol=1e-6)
    explorer.allele = "difference"
    same_weights(explorer)
    assert "".join(look.letters("alternative"))[5999 - look.interval.start] == other
    fig = explorer.figure()
    assert named(fig, "weight").zmin == -named(fig, "weight").zmax < 0
    assert re.search(r"weight \S+ \(reference \S+, alternative \S+\)", plot.alt(fig))
    explorer.allele = "alternative"
    assert other in "".join(explorer.table()["key_bases"])
    # An insertion moves every later token: it is said, and no token is shown in the wrong place.
    explorer.go(f"chrT:6,000 {base}>{base}G")
    assert explorer.look.alleles == ["reference"]
    assert "The alternative moves every later token" in explorer.look.note
    with pytest.raises(ValueError, match="REF"):
        explorer.go(f"chrT:6,000 {other}>{base}")
    assert explorer.where.endswith(f">{base}G")


@pytest.mark.parametrize("at", ["ONE", "TWO", "chrT:6,000 {}"])
def test_what_changes_without_a_head_is_a_track_beside_another_head(genome, mini, at):
    change = snv(genome[0], 6000, "chrT")
    explorer = explore.attention(mini, *genome, at=at.format(f"{change.ref}>{change.alt}"), head=(2, 3))
    traces = len(explorer.figure().data)
    explorer.ablated, explorer.allele = True, explorer.look.alleles[min(1, len(explorer.look.alleles) - 1)]
    fig, look = explorer.figure(), explorer.look
    bases = look.scans[explorer.allele].tokens.sequence
    own, other = look.change(2, 3, explorer.allele)[0]
    assert own == (2, 3) and other[0] == 2 and other != own
    expected = attention.changes(mini, bases, [own, other])
    for values, name in zip(expected, ("Without layer 2, head 3", f"(without layer 2, head {other[1]})"), strict=True):
        (trace,) = (trace for trace in fig.data[:-3] if (trace.name or "").endswith(name))
        np.testing.assert_allclose(trace.y, values, atol=1e-6)
        assert (
            trace.yaxis == "y6" and trace.x0 == look.interval.start + 1
            if look.interval.strand != "-"
            else look.interval.end
        )
    assert len(fig.data) > traces and "log-probabilities of the bases change: farthest from zero" in plot.alt(fig)
    domains = [fig.layout[f"yaxis{i}"].domain for i in ("", 2, 6, 3)]
    assert all(upper[0] > lower[1] for upper, lower in pairwise(domains))
    same_weights(explorer)
    assert "change = attention.changes(model" in explorer.code()


def test_own_elements_become_a_track_and_a_score(explorer, tmp_path, genome, mini):
    start = explorer.look.interval.start
    text = f"chrT\t{start + 60}\t{start + 120}\nchrT\tnonsense\t9\n"
    said = explorer.add_file("<b>peaks.bed", text)
    assert said.startswith("<b>peaks: 1 features, 60 bp of this window.")
    assert "1 of 2 lines of <b>peaks.bed could not be read" in said
    assert explorer.look.stretches("<b>peaks").tolist() == [[start + 60, start + 120]]
    assert "attention to <b>peaks" in explorer.look.scores
    assert "&lt;b&gt;peaks" in explorer.figure().layout.yaxis2.ticktext
    with pytest.raises(ValueError, match=r"peaks.bed"):
        explorer.add_file("peaks.bed", "")
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "exon.bed").write_text(text)
    # Neither takes the place of the annotation's exons, nor of the other.
    twice = explore.attention(mini, *genome, at="ONE", beds=[tmp_path / "a/exon.bed", tmp_path / "b/exon.bed"])
    assert list(twice.sources.beds) == ["exon (exon.bed)", "exon (b/exon.bed)"]
    assert twice.look.stretches("exon").tolist() == [[2000, 2100], [2500, 2800]]


def test_lengths_follow_from_the_positions_of_the_model(mini, genome):
    wide, trained, longest = scan.widened(mini)
    assert (trained, longest, mini.max_tokens) == (1_530, 12_282, 256) and wide.max_tokens > 12_282 // 6
    beyond = explore.attention(mini, *genome, at="chrT:1,001-2,800")
    said = "Attention over 1,800 bp is extrapolation: ntviz-mini was trained on up to 1,530 bp."
    assert said in beyond.look.note and beyond.look.note in plot.alt(beyond.figure())
    raised = explore.attention(replace(mini, max_tokens=1002), *genome, at="chrT:1,001-2,800")
    assert raised.look.note == beyond.look.note
    fixed, learned = toy([[previous_token]]), models.load(TINY_V1, device="cpu")
    for model in (fixed, learned):
        assert scan.widened(model) == (model, model.max_bp, model.max_bp)
    with pytest.raises(ValueError, match=f"at most {learned.max_bp:,} bp for this model"):
        explore.attention(learned, *genome, at="chrT:1,001-7,000")


def test_without_a_place_it_begins_at_the_first_gene_and_an_atlas_colours_heads(genome, mini):
    reference, genes = genome
    atlas = attention.atlas(attention.detect(mini, ["ACGTACGGTTAC" * 20]))
    explorer = explore.attention(mini, reference, genes, atlas=atlas)
    assert explorer.look.place.name == "ONE"
    np.testing.assert_allclose(explorer.look.scores["atlas: diagonal"][0], atlas.grid("diagonal"))
    with pytest.raises(ValueError, match="no gene on a contig of the reference. Pass at="):
        explore.attention(mini, reference, annotation.from_table(genes.table.assign(chrom="chrQ")))


def test_widgets_follow_and_move_the_explorer(explorer, genome, mini):
    bar, live = explorer.toolbar, explorer.live
    lists = {one.description: one for one in bar.box.children[1].children}
    assert explorer.widget.children == (bar.box, live, bar.message)
    assert (lists["Layer"].value, lists["Head"].value) == (explorer.layer, explorer.head)
    lists["Head"].value = 7 - explorer.head
    assert f"head {explorer.head}" in live.alt and lists["Head"].value == explorer.head
    lists["Ablated"].value = True
    assert f"Without layer {explorer.layer}, head {explorer.head}" in live.alt
    lists["Ablated"].value = False
    assert "Without" not in live.alt
    lists["Score"].value = "distance"
    assert live.still.data[-1].name == "distance"
    heads = len(live.still.data) - 1
    explorer.clicked({"trace": heads, "x": 2.5, "y": 3.5})
    assert (lists["Layer"].value, lists["Head"].value) == (3, 2)
    bar.place.value = "TWOO"
    assert "Nearest: TWO" in bar.message.value and (bar.place.value, explorer.where) == ("ONE", "ONE")
    bar.place.value = "TWO"
    assert explorer.where == "TWO" and "TWO" in live.alt
    # A zoom of the page is drawn finer, and its axes stay those of the whole.
    explorer.zoomed({"xaxis": [8500.5, 8400.5], "yaxis3": [8400.5, 8500.5]})
    at = explorer.look.tokens.on(explorer.look.interval)
    assert at[explorer.key[0], 1] >= 8500 > at[explorer.key[0], 0]
    assert live.still.layout.xaxis.range[0] - live.still.layout.xaxis.range[1] == len(explorer.look.interval)
    weight = next(i for i, trace in enumerate(live.still.data) if trace.name == "weight")
    explorer.clicked({"trace": weight, "x": 8450.0, "y": 8450.0})
    assert "on key 8,4" in bar.message.value
    explorer.whole()
    assert explorer.key == (1, len(explorer.look.tokens))
    explorer.back()
    assert explorer.where == "ONE"
    # Two are linked by their place.
    one, two = (explore.attention(mini, *genome, at="ONE", head=(0, head)) for head in (0, 1))
    ipywidgets.link((one.toolbar.place, "value"), (two.toolbar.place, "value"))
    one.go("TWO")
    assert two.where == "TWO"
    two.go("chrT:3,001-4,000")
    assert one.where == two.where == "chrT:3,001-4,000" and (one.head, two.head) == (0, 1)
