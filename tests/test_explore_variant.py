"""What the variant card says: statuses, scores, expected bases with either allele, attention, and what it saves."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import replace

import numpy as np
import plotly.io
import pytest
from attention_toy import previous_token
from attention_toy import toy as known_heads
from explore_toy import annotated, snv
from splice_toy import Sites
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, data, explore, plot, variants
from ntviz.explore.variant_card import in_both, shift
from ntviz.explore.variant_explorer import PARTS
from ntviz.genome import Interval, Variant
from ntviz.genome.sequence import apply_variant, reverse_complement
from ntviz.reference import Reference
from ntviz.tokens import base_log_probs
from ntviz.variants.alleles import Change
from ntviz.variants.consequences import consequence
from ntviz.variants.options import SCORES, Options

pytestmark = pytest.mark.usefixtures("without_event_loop")


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Reference, annotation.Annotation]:
    """6 kb of random bases with a gene and a run of N."""
    folder = tmp_path_factory.mktemp("genome")
    exons = (2001, 2300), (2601, 2900)
    return toy_reference(folder, n=[("20", 4000, 4500)]), annotated(folder, "20", ("ONE<b&", "+", *exons))


@pytest.fixture(scope="module")
def toy() -> ToyModel:
    return ToyModel(vocabulary="nt-3mer")


@pytest.fixture(scope="module")
def explorer(genome, toy) -> explore.VariantExplorer:
    return explore.variant(toy, *genome, at=snv(genome[0]), around=20)


def test_scores_are_those_of_variants_score(explorer, genome, toy):
    card = explorer.card
    assert (card.status, card.scored, card.here) == ("ok", True, card.variant.ref)
    expected = variants.score(toy, genome[0], card.variant, scores="all", progress=None).iloc[0]
    table = explorer.table().set_index("score")
    assert list(table.index) == list(SCORES) and "percentile" not in table
    for name in SCORES:
        numbers = table.loc[name, ["value", "forward", "reverse", "gap"]].tolist()
        plain = [expected[name + ending] for ending in ("", "_fwd", "_rev", "_gap")]
        assert numbers == pytest.approx(plain, abs=1e-6, nan_ok=True)
        assert table.loc[name, ["unit", "direction"]].tolist() == [SCORES[name].unit, SCORES[name].direction]
    lines = explorer.tsv().splitlines()
    assert lines[0].startswith("# chr20:2,101 ") and lines[1] == "# status: ok" and "no verdict" in lines[2]
    assert lines[3].split("\t")[:5] == ["score", "value", "forward", "reverse", "gap"]
    assert len(lines) == 4 + len(SCORES)
    for words in (
        "REF agrees", "A score is no verdict", "chr20:2,101 (counted from 1), SNV", "It lies in: exon",
        "non coding exon in ONE&lt;b&amp;, transcript ONE.1.",
    ):  # fmt: skip
        assert words in explorer.html()


@pytest.mark.parametrize(("text", "status", "says"), [
    ("20 2101 {other} {base}", "ref_mismatch", r"REF must be what the reference has; received {other}, and the reference toy.fa has {base} at chr20:2,101"),
    ("chrQ:100 A>C", "contig_missing", "The contig must be in the reference; received chrQ, which toy.fa does not have"),
    ("20:7000:A:C", "out_of_bounds", "Not scored: the position, or what has to be read around it, lies beyond the contig"),
    ("20:4101:N>C", "ambiguous_base", "Not scored: REF or ALT has N"),
    ("20:4101:A>C", "n_in_window", "Not scored: no window of full length without N holds it. The reference has N here."),
])  # fmt: skip
def test_what_is_wrong_with_a_variant_is_said_and_raises_nothing(genome, toy, text, status, says, tmp_path):
    letters = {"base": snv(genome[0]).ref, "other": snv(genome[0]).alt}
    found = explore.variant(toy, *genome, at=text.format(**letters), around=20)
    assert found.card.status == status
    for shown in (repr(found), found.html()):
        assert re.search(says.format(**letters), shown)
    assert "no verdict" not in found.html() and 'data-ntviz="scores"' not in found.html()
    assert found.table()["value"].isna().all()
    if status in ("contig_missing", "out_of_bounds"):
        assert "ntviz-figure" not in found.save(tmp_path / "card.html").read_text()
        without = re.escape(f"{found.card.name} has no figure 'Around the variant'")
        with pytest.raises(ValueError, match=without):
            found.figure()
    else:
        assert "Bases the model expects with" not in found.figure().layout.meta["alt"]
    assert found.drawn().layout.meta["alt"] and "<section" in found.save(tmp_path / "card.html").read_text()


def test_a_mismatch_is_a_change_away_from_a_card_and_a_gene_or_region_a_place_to_pick_from(genome, toy, tmp_path):
    base, other = snv(genome[0]).ref, snv(genome[0]).alt
    found = explore.variant(toy, *genome, at=f"20:2101:{other}>{base}", around=20)
    found.change(2101, other)
    assert (found.card.status, found.card.variant) == ("ok", Variant("chr20", 2101, base, other))
    with pytest.raises(ValueError, match="those shown; received position 2,150, and chr20:2,081-2,121 is"):
        found.change(2150, "A")
    with pytest.raises(ValueError, match="two alleles of a variant must differ"):
        found.change(2101, base)
    assert found.card.variant.alt == other
    found = explore.variant(toy, *genome, around=20)
    assert (found.card.name, found.card.variant, found.card.status) == ("ONE<b&", None, "")
    assert len(found.card.stretch) == 41 and "Pick a substitution" in found.html()
    assert "ONE&lt;b&amp;" in found.html() and "<b&" not in found.save(tmp_path / "card.html").read_text()
    figure = found.figure()
    assert "with" not in [str(trace.name).split()[-2:-1] for trace in figure.data]
    assert figure.layout.title.text == "Every substitution around ONE&lt;b&amp;"
    found.go("chr20:2,101")
    assert found.card.where == Interval("chr20", 2100, 2101)
    with pytest.raises(ValueError, match="Type a gene"):
        found.go("NOTHING")
    assert found.card.name == "chr20:2,101-2,101"
    with pytest.raises(ValueError, match="around must be 10 to 500 bp to each side; received 5"):
        explore.variant(toy, *genome, around=5)


def test_percentiles_come_with_their_statement(genome, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "cache"))
    scores = ("llr", "jsd")
    made = variants.background(toy, genome[0], Options(scores), per_class=5, what=None)
    background = replace(made, scores=scores, values=made.values[:, [made.scores.index(name) for name in scores]])
    found = explore.variant(toy, *genome, at=snv(genome[0]), around=20, background=background)
    expected = variants.score(toy, genome[0], snv(genome[0]), scores=scores, background=background, progress=None)
    table, plain = found.table().set_index("score")["percentile"], expected.iloc[0]
    assert table[["llr", "jsd"]].tolist() == pytest.approx([plain["llr_percentile"], plain["jsd_percentile"]])
    assert np.isnan(table["l2"]) and "random substitutions of toy.fa with the same bases" in found.html()
    assert "Its LLR is at percentile" in found.html()
    with pytest.raises(ValueError, match="window_bp is"):
        explore.variant(toy, *genome, window=60, background=background)


def test_the_maps_are_those_of_the_library_and_hold_the_variant(explorer):
    card = explorer.card
    table, found = card.saturation.table(), card.dependency
    own = table[(table["pos"] == 2101) & (table["alt"] == card.variant.alt)]["llr"].iloc[0]
    assert (len(table), own) == (3 * 41, pytest.approx(card.values["llr"], abs=1e-6))
    assert f"expects {'ACGT'[card.saturation.probabilities[20].argmax()]} " in explorer.html()
    assert len(found.interval) == 31 and found.interval.contains(card.variant.interval)
    alone = variants.dependency(explorer.bench.model, explorer.bench.reference, found.interval, what=None)
    np.testing.assert_array_equal(found.values, alone.values)
    assert "depend on each other" in explorer.figure("dependencies").layout.meta["alt"]


def brute(model, reference, place: Interval, change: Variant | None, width: int, k: int = 3) -> np.ndarray:
    """[base, 4] of each token hidden in its own window of the (changed) contig, by one forward pass each."""
    contig = reference.fetch(reference.whole(place.chrom)).sequence
    whole = Interval(place.chrom, 0, len(contig))
    grown = 0 if change is None else len(change.alt) - len(change.ref)
    text = contig if change is None else apply_variant(contig, whole, change)
    found = np.full((len(place), 4), np.nan)
    for base in range(place.start, place.end):
        token = base // k * k
        moved = token + (grown if change is not None and token >= change.end else 0)
        if grown and change is not None and token + k > change.start + 1 and token < change.end:
            continue
        window = text[moved - width // 2 * k : moved + (width // 2 + 1) * k]
        rows = []
        for reverse in (False, True):
            tokens = model.tokenize(reverse_complement(window) if reverse else window)
            at = len(tokens) - 1 - width // 2 if reverse else width // 2 + 1
            ids = tokens.ids.copy()
            ids[at] = model.mask_id
            logits = model.forward([replace(tokens, ids=ids)], at=np.array([[at]])).logits[0, 0]
            scores = np.full((len(tokens), len(logits)), 0.0, np.float32)
            scores[at] = logits
            probabilities = np.exp(base_log_probs(tokens, scores))
            probabilities = probabilities[::-1, ::-1] if reverse else probabilities
            rows.append(np.log(probabilities[width // 2 * k + base - token]))
        mean = np.exp(np.mean(rows, axis=0))
        found[base - place.start] = mean / mean.sum()
    return found


@pytest.mark.parametrize("kind", ["SNV", "MNV", "insertion", "deletion"])
def test_both_contexts_equal_one_forward_pass_a_token(genome, toy, kind):
    reference = genome[0]
    here = reference.fetch("20:2101-2104").sequence
    turned = here.translate(str.maketrans("ACGT", "CATG"))
    # Alleles whose first base stays are anchored as in VCF; none of these can move to the left.
    alleles = {"SNV": (here[0], turned[0]), "MNV": (here, turned), "insertion": (here[0], here[0] + turned[0] * 2)}
    variant = Variant("20", 2101, *alleles.get(kind, (here[:3], here[0])))
    found = explore.variant(toy, *genome, at=variant, around=15)
    both, place, width = found.card.contexts, found.card.stretch, found.bench.scorer.window_bp // 3
    np.testing.assert_allclose(both.reference, brute(toy, reference, place, None, width), atol=1e-5)
    change = found.card.plan.change
    anchor = reference.fetch(f"20:{change.start}").sequence
    same = Variant("20", change.start, anchor + change.ref, anchor + change.alt)
    expected = brute(toy, reference, place, variant if kind in ("SNV", "MNV") else same, width)
    np.testing.assert_allclose(both.alternative, expected, atol=1e-5)
    if kind == "SNV":
        # The token that holds it is hidden itself: nothing differs there, and it is not read again.
        own = np.flatnonzero(np.arange(place.start, place.end) // 3 == 2100 // 3)
        np.testing.assert_array_equal(both.divergence[own], 0)
    assert 1e-4 < np.nanmax(both.divergence) <= np.log(2) + 1e-9


def test_tokens_beside_n_and_at_the_ends_have_none_or_their_own_window(genome, toy):
    reference = genome[0]
    scorer = variants.Scorer(toy, reference, Options(("llr", "base_llr")))
    for start, end in ((0, 30), (5_980, 6_000), (3_980, 4_010)):
        place = Interval("20", start, end)
        around = variants.saturation(toy, reference, place, what=None)
        nowhere = in_both(scorer, around, Change(1000, 1001, "A", "C"))
        np.testing.assert_array_equal(nowhere.alternative, nowhere.reference)
        near = snv(reference, start + 4)
        near = in_both(scorer, around, Change(start + 3, start + 4, near.ref, near.alt))
        assert np.nanmax(near.divergence) > 0
        np.testing.assert_array_equal(np.isnan(near.alternative), np.isnan(near.reference))


def test_attention_before_and_after_is_that_of_whole_maps(genome, mini):
    found = explore.variant(mini, *genome, at=snv(genome[0]), around=10)
    seen, pair = found.card.attention, found.card.plan.pairs[0]
    assert genome[0].fetch(found.card.read).sequence == pair.reference
    assert seen.tokens.on(found.card.read)[seen.token].tolist() == [2100, 2106]
    # The two kernels differ by rounding in float32: 8e-7 here, whatever the number of threads and the instructions of the CPU
    # (AVX2, AVX-512), at most 2.3e-6 in 40 windows of chromosome 20. Products in bfloat16 would differ by 1.4e-2.
    for allele, text in enumerate((pair.reference, pair.alternative)):
        maps = mini.forward(mini.tokenize(text), outputs=("attentions",)).attentions[0]
        np.testing.assert_allclose(seen.looks[allele], maps[:, :, seen.token], atol=1e-5)
        np.testing.assert_allclose(seen.seen[allele], maps[:, :, :, seen.token], atol=1e-5)
    # The head shown is the one that changes most, until another is chosen.
    assert found.card.head == np.unravel_index(seen.moved.argmax(), seen.moved.shape) and 0 < seen.moved.max() <= 1
    assert "layer {}, head {}".format(*found.card.head) in found.figure().layout.meta["alt"]
    last = seen.order[-1]
    found.choose(*last)
    assert f"layer {last[0]}, head {last[1]}" in found.figure().layout.meta["alt"]
    found.go(found.card.variant)
    assert found.card.head == seen.order[0]


def test_heads_that_look_by_place_alone_do_not_change_and_what_cannot_be_compared_is_said(explorer, genome):
    model = known_heads([[previous_token], [previous_token]])
    text = "ACGTTG" * 9
    found = shift(model, text, text[:20] + "A" + text[21:], 4)
    np.testing.assert_allclose(found.moved, 0, atol=1e-6)
    assert found.looks[0, 0, 0].argmax() == 3 and found.seen[1, 1, 0].argmax() == 5
    assert "must run its attention through transformers" in explorer.figure().layout.meta["alt"]
    assert explorer.card.head == (-1, -1)
    base = genome[0].fetch("20:2101").sequence
    at = f"20:2101:{base}>{base}{'AC' if base != 'A' else 'CA'}"
    inserted = explore.variant(explorer.bench.model, *genome, at=at, around=20)
    assert inserted.card.status == "ok"
    assert "an insertion or deletion moves every later token" in plot.alt(inserted.figure())
    table = inserted.table().set_index("score")
    assert np.isnan(table.loc["entropy", "value"]) and np.isfinite(table.loc["llr", "value"])
    assert "summed over tokens" in inserted.html()


def test_a_card_is_saved_whole_and_elsewhere_words_stand_over_the_figure(explorer, tmp_path, monkeypatch):
    page, alt = explorer.save(tmp_path / "new" / "card.html").read_text(), plot.alt(explorer.figure())
    assert page.count('class="ntviz-figure"') == len(PARTS) - 1 and page.count('data-ntviz="scores"') == 1
    assert explorer.save(tmp_path / "card.tsv").read_text() == explorer.tsv()
    assert plotly.io.read_json(explorer.save(tmp_path / "card.json")).layout.meta["alt"] == alt
    text = explorer.save(tmp_path / "card.py").read_text()
    assert "variants.saturation(model, reference, 'chr20:" in text
    compile(text, "card.py", "exec", dont_inherit=True)
    shown = []
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: shown.append(bundle))
    monkeypatch.setattr(type(explorer.figure()), "show", lambda figure: shown.append(plot.alt(figure)))
    explorer._ipython_display_()
    assert shown == [{"text/html": explorer.html(), "text/plain": repr(explorer)}, alt]


def test_widgets_follow_and_move_the_card(genome, mini):
    found = explore.variant(mini, *genome, at=snv(genome[0]), around=10)
    # Outside a kernel nobody waits: the live figure has all.
    assert len(found.widget.children) == 2 and plot.alt(found.live.still) == plot.alt(found.figure())
    name = found.where
    assert found.toolbar.place.value == name
    assert found._heads.label.startswith("layer {}, head {}: ".format(*found.card.head))
    found._parts.value = "genes"
    assert plot.alt(found.live.still) == plot.alt(found.figure("genes"))
    found._heads.value = last = found.card.attention.order[-1]
    assert (found.part, found.card.head) == ("around", last)
    assert f"layer {last[0]}, head {last[1]}" in plot.alt(found.live.still)
    base = next(base for base in "ACGT" if base != genome[0].fetch("20:2105").sequence)
    found.live._heard(None, {"kind": "click", "trace": 4, "x": 2105, "y": base, "z": -0.5}, [])
    assert found.where.startswith("chr20:2,105 ") and found.toolbar.place.value == found.where
    assert html.escape(found.where) in found._words.value
    found.back()
    assert (found.where, found.card.head) == (name, last)
    found.toolbar.place.value = "nowhere"
    assert "nowhere" in found.toolbar.message.value and found.where == name
    found.go("chrQ:100 A>C")
    found._parts.value = "dependencies"
    assert "has no figure &#x27;Dependencies&#x27;" in found.toolbar.message.value
    assert found._parts.value == found.part == "around"


def test_what_is_not_computed_yet_comes_in_the_next_turns_of_the_kernel(genome, toy):
    found = explore.variant(toy, *genome, at=snv(genome[0]), around=20)

    async def kernel() -> list[int]:
        seen = [len(found.widget.children[1].children[-1].still.data)]
        while found.card.lacking:
            await asyncio.sleep(0.01)
            seen.append(len(found.live.still.data))
        return seen

    seen = asyncio.run(kernel())
    assert seen[0] < seen[-1] and plot.alt(found.live.still) == plot.alt(found.figure())
    assert found.toolbar.message.value.count("Computing") == 0


def test_the_consequence_is_that_of_the_whole_annotation(toy):
    reference, genes = Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
    found = explore.variant(toy, reference, genes, at="20-43042364-C-T", around=10)
    assert found.card.consequence["protein"] == "T139I"
    assert "missense, T139I (codon ACT&gt;ATT) in HNF4A" in found.html()
    start = genes.tss("HNF4A")[1]
    places = [start, start + 100, start + 700, 43_030_102, 43_036_129, 43_042_300, 43_058_300, 43_060_000]
    several = [snv(reference, place, "chr20") for place in [*places, 42_984_440, 42_984_307, 30_000_000]]
    told = {}
    for one, expected in zip(several, consequence(several, genes, reference).to_dict("records"), strict=True):
        found.go(one)
        assert {name: expected[name] for name in found.card.consequence} == found.card.consequence
        told[one.pos] = found.html()
    assert found.card.consequence == {"consequence": "intergenic"}
    assert "No element of the annotation holds it." in told[30_000_000]
    # The other promoter of HNF4A, whose isoforms the annotation does not have.
    assert "intragenic in HNF4A." in told[42_984_440] and "No element" not in told[42_984_440] + told[42_984_307]
    assert "It lies in the gene HNF4A, outside of its annotated transcripts." in told[42_984_440]
    assert "It lies 33 bp before the first base of the gene HNF4A." in told[42_984_307]
    found.go("20-43042364-G-T")
    assert found.card.consequence == {}


def test_own_elements_are_named(genome, toy, tmp_path):
    (tmp_path / "<i>peaks.bed").write_text("20\t2090\t2120\tone\n")
    found = explore.variant(toy, *genome, at=snv(genome[0]), around=20, beds=[tmp_path / "<i>peaks.bed"])
    assert "&lt;i&gt;peaks" in found.html() and "<i>" not in found.html()
    found.go(snv(genome[0], 2200))
    assert "peaks" not in found.html()
    said = found.add_file("<u>more.bed", "20\t2190\t2210\tone\nbroken\n")
    assert said.startswith("<u>more: 1 features; see Genes. 1 of 2 lines") and "&lt;u&gt;more" in found.html()
    assert "&lt;u&gt;more" in str(found.figure("genes").layout.annotations)
    with pytest.raises(ValueError, match="one of around, splicing, genes, dependencies; received 'attention'"):
        found.figure("attention")


def test_splice_sites_with_either_allele(genome, toy):
    reference, genes = genome
    bases = reference.fetch(Interval("20", 2_100, 2_250)).sequence
    start = 2_100 + bases.index("GT", 30)  # a donor before each
    lost = Variant("20", start + 1, "G", "C")
    made = explore.variant(toy, reference, genes, at=lost, splicing=Sites(60))
    status, (effect,) = made.card.spliced
    assert (status, effect.gene.name, effect.scores[3], effect.places[3]) == ("ok", "ONE<b&", 1.0, -1)
    assert "sites, changes of splice sites of ONE&lt;b&amp; within 50 bp" in made.html()
    assert "donor loss 1.00 (-1 bp)" in made.html()
    marks = [trace for trace in made.figure("splicing").data if (trace.name or "").endswith(", donor")]
    after, before = sorted(marks, key=lambda trace: "control" in trace.name)
    assert set(before.x) - set(after.x) == {float(start)}  # 1-based: the base before the G
    beyond = explore.variant(toy, reference, genes, at=snv(reference, 3_500), splicing=Sites(60))
    assert "sites was not asked about splice sites: no gene of the annotation holds the position" in beyond.html()
    for without in (beyond, explore.variant(toy, reference, genes, at=lost)):
        with pytest.raises(ValueError, match="has no figure 'Splice sites'"):
            without.figure("splicing")
