"""Maps of windows by element: what is sampled, how it is laid out, and what the numbers beside a map are worth."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ntviz import projection
from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.projection import places, separating
from ntviz.reference import Reference
from ntviz.sequence import gc, reverse_complement

COLUMNS = ["chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin"]


def annotated(*features):
    rows = [
        (chrom, start, end, strand, kind, gene, gene, f"{gene}.1" if kind != "gene" else "", "", "")
        for chrom, start, end, strand, kind, gene in features
    ]
    return Annotation(pd.DataFrame(rows, columns=COLUMNS), source="toy")


def gene(chrom, strand, name, exons, cds):
    whole = (exons[0][0], exons[-1][1])
    return [
        *((chrom, *whole, strand, kind, name) for kind in ("gene", "transcript")),
        *((chrom, *part, strand, "exon", name) for part in exons),
        *((chrom, *part, strand, "CDS", name) for part in cds),
    ]


FORWARD = gene("1", "+", "A", [(200, 300), (500, 640), (700, 800)], [(260, 300), (500, 640), (700, 720)])
BACKWARD = gene("1", "-", "B", [(600, 660), (1000, 1200)], [(1040, 1150)])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    rng = np.random.default_rng(0)
    bases = "".join(rng.choice(list("ACGT"), 2_000))
    bases = bases[:1_400] + "N" * 30 + bases[1_430:]
    path = tmp_path_factory.mktemp("toy") / "toy.fa"
    path.write_text(f">chr1\n{bases}\n>chr2\n{'ACGT' * 50}\n")
    return Reference(path)


# Windows --------------------------------------------------------------------------------------------------------------


def by_hand(annotation, reference, elements, length, share):
    """Brute force: each start, each base."""
    whole = reference.whole("1")
    bases = reference.fetch(whole).sequence
    inside = {kind: annotation.indicator(whole, kind) for kind in [*elements, "exon"]}
    found = {kind: [] for kind in elements}
    for start in range(len(bases) - length + 1):
        if "N" in bases[start : start + length]:
            continue
        for kind in elements:
            count = 0
            for base in range(start, start + length):
                others = any(inside[other][base] for other in elements if other != kind)
                count += inside[kind][base] and not others and not (kind == "intron" and inside["exon"][base])
            if count >= round(share * length, 9):
                found[kind].append(start)
    return found


@pytest.mark.parametrize("share", [1.0, 0.7])
@pytest.mark.parametrize("chunk", [places.CHUNK, 137])
def test_windows_may_begin_where_their_bases_are_of_one_element(reference, monkeypatch, share, chunk):
    monkeypatch.setattr(places, "CHUNK", chunk)
    toy = annotated(*FORWARD, *BACKWARD)
    found = places.starts_by_element(
        toy, reference, reference.whole("1"), projection.ELEMENTS, length=30, share=share
    )
    expected = by_hand(toy, reference, projection.ELEMENTS, 30, share)
    assert {
        kind: [start for first, stop in runs.tolist() for start in range(first, stop)]
        for kind, runs in found.items()
    } == expected
    assert all(expected.values())


def test_windows_do_not_overlap_and_are_read_on_the_strand_of_their_gene(reference):
    toy = annotated(*FORWARD, *BACKWARD)
    found = projection.windows(toy, reference, length=30, per_element=4, region="1:1-2,000")
    table = found.table
    assert list(table.columns) == ["chrom", "start", "end", "strand", "element", "gene", "gc"]
    spans = sorted(zip(table["start"], table["end"], strict=True))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    allowed = by_hand(toy, reference, projection.ELEMENTS, 30, 1.0)
    for row, text in zip(table.to_dict("records"), found.sequences, strict=True):
        assert row["start"] in allowed[row["element"]]
        forward = reference.fetch(Interval("1", row["start"], row["end"])).sequence
        assert text == (reverse_complement(forward) if row["strand"] == "-" else forward)
        assert row["gc"] == gc(text)
        assert "N" not in text
        if row["element"] == "CDS":
            assert (row["gene"], row["strand"]) == (("A", "+") if row["start"] < 900 else ("B", "-"))
        if row["element"] == "intergenic":
            assert row["gene"] == ""
    # Exons end at 660 and begin at 500, 600 and 700: an intron of A or B that neither covers with an exon.
    introns = table[table["element"] == "intron"]
    assert set(introns["gene"]) <= {"A", "B", "A, B"}
    again = projection.windows(toy, reference, length=30, per_element=4, region="1:1-2,000")
    pd.testing.assert_frame_equal(again.table, table)
    assert again.sequences == found.sequences
    other = projection.windows(toy, reference, length=30, per_element=4, region="1:1-2,000", seed=1)
    assert other.table["start"].tolist() != table["start"].tolist()


def test_windows_are_drawn_until_none_is_left():
    # 100 starts, windows of 10: whatever is drawn, at least 5 and at most 10 fit, and no gap of 10 free starts is left.
    for seed in range(20):
        taken = [[], [1_000]]
        runs = [np.array([[0, 60], [200, 240]]), np.array([[995, 1_011]])]
        found = places.drawn(runs, 100, 10, taken, np.random.default_rng(seed))
        assert (1, 1_010) in found  # the only start on the second contig that the taken window leaves
        assert taken[1] == [1_000, 1_010]
        first = sorted(start for contig, start in found if contig == 0)
        assert first == taken[0]
        assert all(b - a >= 10 for a, b in itertools.pairwise(first))
        for start in [*range(60), *range(200, 240)]:
            assert any(abs(start - held) < 10 for held in first)


def test_each_start_is_as_likely_as_another():
    starts = [
        places.drawn([np.array([[0, 2], [50, 58]])], 1, 5, [[]], np.random.default_rng(seed))[0][1]
        for seed in range(600)
    ]
    share = np.mean(np.array(starts) < 2)
    assert abs(share - 0.2) < 0.06  # 3.7 standard errors
    assert set(starts) == {0, 1, *range(50, 58)}


def test_what_could_not_be_found_is_said(reference):
    toy = annotated(*FORWARD)
    found = projection.windows(
        toy,
        reference,
        elements=("CDS", "three_prime_utr", "intron"),
        length=60,
        per_element=3,
        region="1:1-2000",
    )
    assert found.counts["element"].tolist() == ["CDS", "three_prime_utr", "intron"]
    assert found.counts["asked"].tolist() == [3, 3, 3]
    utr = found.counts.set_index("element").loc["three_prime_utr"]
    assert utr["found"] == 1  # 80 bp hold one window of 60
    assert "Fewer windows than the 3 asked for of an element: " in found.note
    assert "three_prime_utr 1" in found.note
    means = found.table.groupby("element")["gc"].mean()
    assert f"Share of G and C: CDS {means['CDS']:.2f}" in found.note
    assert "three_prime_utr 1" in repr(found)
    # An element that the others cover whole has none, and is counted.
    covered = projection.windows(
        toy, reference, elements=("exon", "CDS", "intron"), length=20, per_element=2, region="1:1-2000"
    )
    assert covered.counts.set_index("element").loc["CDS", "found"] == 0
    assert "CDS 0" in covered.note


def test_every_annotated_contig_is_looked_at_and_others_are_said(reference):
    toy = annotated(
        *FORWARD, *gene("chr2", "+", "C", [(20, 180)], [(20, 180)]), *gene("7", "+", "D", [(5, 9)], [(5, 9)])
    )
    found = projection.windows(toy, reference, elements=("CDS",), length=40, per_element=50)
    assert set(found.table["chrom"]) == {"1", "chr2"}
    assert "Contigs without bases in toy.fa: 7." in found.note
    with pytest.raises(
        ValueError, match=r"in the annotation and in the reference; toy has 9, toy.fa has chr1, chr2"
    ):
        projection.windows(annotated(*gene("9", "+", "D", [(5, 90)], [(5, 90)])), reference)


def test_a_window_with_genes_of_both_strands_takes_either(reference):
    both = annotated(
        *gene("1", "+", "A", [(0, 10), (900, 910)], [(0, 10)]),
        *gene("1", "-", "B", [(0, 10), (900, 910)], [(0, 10)]),
    )
    found = projection.windows(
        both, reference, elements=("intron",), length=20, per_element=20, region="1:1-950"
    )
    assert set(found.table["strand"]) == {"+", "-"}
    assert set(found.table["gene"]) == {"A, B"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"elements": ()}, r"one or more, each once; received \[\]"),
        ({"elements": ("CDS", "CDS")}, r"each once; received \['CDS', 'CDS'\]"),
        ({"elements": ("enhancer",)}, "must be one of those in toy: .*received 'enhancer'"),
        ({"length": 0}, "at least 1; received length=0"),
        ({"per_element": 0}, "per_element=0"),
        ({"share": 0.5}, "share must be above 0.5 and at most 1, .*received 0.5"),
        ({"share": 1.1}, "received 1.1"),
        ({"length": 1_500}, "room for a window of 1,500 bp in one of .*chr1|room for a window of 1,500 bp"),
        (
            {"region": "1:1,401-1,430", "length": 20},
            "room for a window of 20 bp in one of .*1:1,401-1,430 with share=1",
        ),
        ({"region": "1:5-9"}, "so short a region with share=1"),
        (
            {"region": "1:3,000-4,000"},
            "base on its contig; received 1:3,000-4,000, and the contig ends at 2,000",
        ),
    ],
)
def test_windows_that_cannot_be_are_refused(reference, given, message):
    toy = annotated(*FORWARD)
    with pytest.raises(ValueError, match=message):
        projection.windows(toy, reference, **{"length": 30, **given})


def made(sequences, elements, *, starts=None):
    starts = range(0, 10**6 * len(sequences), 10**6) if starts is None else starts
    table = pd.DataFrame(
        {
            "chrom": "1",
            "start": list(starts),
            "end": [start + len(text) for start, text in zip(starts, sequences, strict=True)],
            "strand": "+",
            "element": list(elements),
            "gene": "",
            "gc": [gc(text) for text in sequences],
        }
    )
    return projection.Windows(table, tuple(sequences), len(sequences), {})


def test_windows_can_be_matched_by_gc():
    texts = ["GGAA", "GGAA", "GGAA", "GGGA", "CCTT", "TTTT", "CCCT"]
    found = made(texts, ["CDS"] * 4 + ["intron"] * 3)
    matched = found.gc_matched(width=0.1)
    assert len(matched) == 4
    for name in ("CDS", "intron"):
        assert sorted(matched.table.loc[matched.table["element"] == name, "gc"]) == [0.5, 0.75]
    assert [gc(text) for text in matched.sequences] == matched.table["gc"].tolist()
    assert (
        matched.note
        == "Matched by G and C in bins of 0.1: 2 of each. Share of G and C: CDS 0.62, intron 0.62."
    )
    assert matched.settings["gc_matched"] == {"width": 0.1, "seed": 0}
    with pytest.raises(
        ValueError, match="must hold every element; with a width of 0.05 none does .*CDS 1.00, intron 0.00"
    ):
        made(["GGGG", "AAAA"], ["CDS", "intron"]).gc_matched()
    with pytest.raises(ValueError, match="above 0 and at most 1; received 0"):
        found.gc_matched(width=0)


def test_neighbours_in_the_genome_are_one_group():
    found = made(["ACGT"] * 3, ["CDS"] * 3, starts=[10, 249_999, 250_000])
    assert found.groups.tolist() == ["1:0", "1:0", "1:1"]
    with pytest.raises(
        ValueError, match="a sequence for each of one row or more; received 3 rows .* 2 sequences"
    ):
        projection.Windows(found.table, found.sequences[:2], 3)


# Maps -----------------------------------------------------------------------------------------------------------------


def blobs(n=20, classes=3, width=12, apart=20.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([f"e{index}" for index in range(classes)], n)
    centres = apart * rng.normal(size=(classes, width))
    return rng.normal(size=(n * classes, width)) + np.repeat(centres, n, axis=0), labels


@pytest.mark.parametrize("method", projection.METHODS)
def test_maps_keep_apart_what_is_far_apart_and_are_the_same_again(method):
    points, labels = blobs()
    found = projection.project(points, method=method)
    assert found.shape == (60, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(projection.project(points, method=method), found)
    table = projection.separation(found, labels, permutations=20)
    assert overall(table, "purity") == 1
    # Only UMAP draws at random: t-SNE starts from the principal components.
    other = projection.project(points, method=method, seed=1)
    assert np.array_equal(other, found) == (method != "umap")


def test_principal_components_are_those_of_scaled_vectors():
    from sklearn.decomposition import PCA

    points = np.random.default_rng(1).normal(size=(30, 5)) * [1, 2, 3, 4, 5]
    expected = PCA(2).fit_transform((points - points.mean(0)) / points.std(0))
    found = projection.project(points, method="pca")
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    # Turning the sign of a column must not turn the map: signs are of the directions, not of the solver.
    np.testing.assert_allclose(projection.project(points[:, ::-1], method="pca"), found, atol=1e-5)


@pytest.mark.parametrize("method", projection.METHODS)
@pytest.mark.parametrize("n", [3, 5])
def test_a_few_windows_make_a_map(method, n):
    points = np.random.default_rng(2).normal(size=(n, 1))
    assert np.isfinite(projection.project(points, method=method)).all()
    assert projection.project(points, method=method).shape == (n, 2)


def test_scaling_leaves_constants_at_zero():
    points = np.column_stack([np.full(6, 0.1), np.arange(6) * 1e-3, np.arange(6)[::-1]])
    found = projection.scaled(points)
    assert (found[:, 0] == 0).all()
    np.testing.assert_allclose(found[:, 1:].std(axis=0), 1)
    np.testing.assert_allclose(found[:, 1], -found[:, 2], atol=1e-12)


@pytest.mark.parametrize(
    ("points", "given", "message"),
    [
        (np.eye(4), {"method": "mds"}, "one of pca, tsne, umap; received 'mds'"),
        (np.eye(4), {"components": 1}, "components=1"),
        (np.eye(4), {"perplexity": 0}, "perplexity=0"),
        (np.eye(4), {"neighbours": 1}, "neighbours=1"),
        (np.ones((4, 3)), {}, "differ between windows; those of all 4 are the same"),
        (np.eye(2), {}, r"three windows or more; received the shape \[2, 2\]"),
        (np.zeros((0, 3)), {}, r"received the shape \[0, 3\]"),
        (np.zeros((4, 0)), {}, r"received the shape \[4, 0\]"),
        (np.arange(4.0), {}, r"received the shape \[4\]"),
        (np.where(np.eye(4) > 0, np.nan, 1), {}, "finite; 4 of 4 windows have others"),
    ],
)
def test_vectors_that_make_no_map_are_refused(points, given, message):
    with pytest.raises(ValueError, match=message):
        projection.project(points, **given)


@pytest.mark.parametrize(
    ("method", "module", "package"),
    [("umap", "umap", "umap-learn"), ("tsne", "sklearn.manifold", "scikit-learn")],
)
def test_a_missing_package_is_named(monkeypatch, method, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"the package {package}, .*pip install 'ntviz\[maps\]'"):
        projection.project(np.eye(5), method=method)
    assert projection.project(np.eye(5), method="pca").shape == (5, 2)


def overall(table, measure):
    return table.loc[(table["measure"] == measure) & (table["element"] == "all"), "value"].item()


# Separation -----------------------------------------------------------------------------------------------------------


def plainly(points, labels, groups, k):
    """Silhouette and purity of each point, by loops."""
    n = len(points)
    silhouette, purity = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(n):
        far = {
            j: float(np.sqrt(((points[i] - points[j]) ** 2).sum()))
            for j in range(n)
            if groups[j] != groups[i]
        }
        nearest = sorted(far, key=far.__getitem__)[:k]
        purity[i] = np.mean([labels[j] == labels[i] for j in nearest])
        means = {
            c: np.mean([far[j] for j in far if labels[j] == c])
            for c in set(labels)
            if any(labels[j] == c for j in far)
        }
        if labels[i] in means and len(means) > 1:
            a, b = means[labels[i]], min(value for c, value in means.items() if c != labels[i])
            silhouette[i] = (b - a) / max(a, b)
    return {"silhouette": silhouette, "purity": purity}


@pytest.mark.parametrize("grouped", [False, True])
def test_separation_is_that_of_plain_loops(grouped):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(40, 3))
    labels = np.array(list("aaab" * 10))
    points[labels == "a"] += 1
    groups = rng.integers(0, 12, 40) if grouped else np.arange(40)
    expected = plainly(points, labels.tolist(), groups.tolist(), 4)
    found = projection.separation(
        points, labels, groups if grouped else None, neighbours=4, permutations=30, draws=50
    )
    assert len(found) == 6
    for measure, each in expected.items():
        rows = found[found["measure"] == measure].set_index("element")
        means = {name: np.nanmean(each[labels == name]) for name in "ab"}
        assert rows.loc["a", "value"] == pytest.approx(means["a"])
        assert rows.loc["b", "value"] == pytest.approx(means["b"])
        # Each element counts the same, though there are three times as many of one.
        assert rows.loc["all", "value"] == pytest.approx((means["a"] + means["b"]) / 2)
        assert (rows["effect"] - (rows["value"] - rows["null"])).abs().max() < 1e-12
        assert rows["windows"].to_dict() == {"all": 40, "a": 30, "b": 10}
        assert (rows["low"] <= rows["value"]).all()
        assert (rows["value"] <= rows["high"]).all()
    chance = found[found["measure"] == "purity"].set_index("element")["chance"]
    for name in "ab":
        per = [
            np.mean([labels[j] == name for j in range(40) if groups[j] != groups[i]])
            for i in np.flatnonzero(labels == name)
        ]
        assert chance[name] == pytest.approx(np.mean(per))
    assert found.loc[found["measure"] == "silhouette", "chance"].isna().all()


def test_silhouettes_without_groups_are_those_of_scikit_learn():
    from sklearn.metrics import silhouette_samples

    points, labels = blobs(apart=2)
    near = separating.distances(points, None, 5)
    names, numbers = separating.coded(labels, 60)
    assert names.tolist() == ["e0", "e1", "e2"]
    np.testing.assert_allclose(near.of("silhouette", numbers[None], 3)[0], silhouette_samples(points, labels))


def test_random_labels_tell_what_is_nothing():
    points, labels = blobs(apart=0, seed=4)
    found = projection.separation(points, labels, neighbours=5, permutations=200)
    whole = found[found["element"] == "all"].set_index("measure")
    assert (whole["value"] < whole["null_high"]).all()
    assert (whole["p"] > 0.05).all()
    assert whole.loc["purity", "null"] == pytest.approx(whole.loc["purity", "chance"], abs=0.01)
    points, labels = blobs(apart=20)
    found = projection.separation(points, labels, neighbours=5, permutations=200)
    whole = found[found["element"] == "all"].set_index("measure")
    assert (whole["value"] > whole["null_high"]).all()
    assert whole["p"].tolist() == [1 / 201, 1 / 201]
    assert whole.loc["purity", ["value", "low", "high"]].tolist() == [1, 1, 1]
    pd.testing.assert_frame_equal(
        projection.separation(points, labels, neighbours=5, permutations=200), found
    )


def test_copies_of_a_group_do_not_vouch_for_each_other():
    # Each window stands there twice, and labels are dealt to pairs: with groups, nothing is left of the agreement.
    rng = np.random.default_rng(5)
    points = np.repeat(rng.normal(size=(60, 4)), 2, axis=0)
    labels, groups = np.repeat(rng.permutation(["a", "b"] * 30), 2), np.repeat(np.arange(60), 2)
    alone = projection.separation(points, labels, neighbours=1, permutations=50)
    held = projection.separation(points, labels, groups, neighbours=1, permutations=50)
    assert overall(alone, "purity") == 1
    assert overall(held, "purity") < 0.65


def test_deals_worked_on_in_parts_are_those_at_once(monkeypatch):
    points, labels = blobs(n=7, apart=1)
    whole = projection.separation(points, labels, neighbours=3, permutations=20)
    monkeypatch.setattr(separating, "_HELD", 21 * 3 * 2)
    pd.testing.assert_frame_equal(projection.separation(points, labels, neighbours=3, permutations=20), whole)


def test_an_element_that_stands_once_has_no_silhouette():
    points = np.array([[0.0], [1.0], [9.0], [10.0], [4.0]])
    found = projection.separation(points, np.array(["a", "a", "b", "b", "c"]), neighbours=1, permutations=20)
    rows = found[found["measure"] == "silhouette"].set_index("element")
    assert np.isnan(rows.loc["c", "value"])
    assert np.isnan(rows.loc["c", "p"])
    near = [(4 - 1) / 4, (3 - 1) / 3, (5 - 1) / 5, (6 - 1) / 6]
    assert rows.loc["all", "value"] == pytest.approx(np.mean(near))


def test_equal_points_have_a_silhouette_of_zero():
    near = separating.distances(np.zeros((4, 2)), None, 1)
    assert near.silhouettes(np.array([[0, 0, 1, 1]]), 2).tolist() == [[0, 0, 0, 0]]


def test_intervals_draw_groups_and_need_five():
    values, labels = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 0, 1])
    drawn = separating.redrawn(values, labels, 2, np.array([0, 0, 1, 1]), draws=400, seed=0)
    # Two groups, all 0 and all 1: a draw is 0, a half or 1, in 1, 2 and 1 of four.
    assert set(drawn[:, 0]) == {0, 0.5, 1}
    assert np.mean(drawn[:, 0] == 0.5) == pytest.approx(0.5, abs=0.1)
    assert np.isnan(separating.interval(drawn, np.array([0, 0, 1, 1]))).all()
    found = projection.separation(
        np.arange(8.0)[:, None],
        np.array(list("abababab")),
        np.repeat(range(4), 2),
        neighbours=2,
        permutations=5,
    )
    assert found[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("points", "labels", "given", "message"),
    [
        (np.eye(4), ["a", "a", "a", "a"], {}, "two elements or more to tell apart; received a alone"),
        (np.eye(4), ["a", "b"], {}, r"one for each of the 4 windows; received the shape \[2\]"),
        (
            np.eye(4),
            list("aabb"),
            {"groups": [1, 2]},
            r"groups must be one for each .* received the shape \[2\]",
        ),
        (
            np.eye(4),
            list("aabb"),
            {"groups": [1, 1, 1, 1]},
            "of other groups, 0 here at the least; received 1",
        ),
        (
            np.eye(4),
            list("aabb"),
            {"neighbours": 4},
            "from 1 to the windows of other groups, 3 here .*received 4",
        ),
        (np.eye(4), list("aabb"), {"neighbours": 0}, "received 0"),
        (np.eye(4), list("aabb"), {"permutations": 0}, "at least 1; received 0 and 1000"),
        (
            np.full((4, 2), np.inf),
            list("aabb"),
            {},
            r"finite numbers \[window, dimension\]; received the shape \[4, 2\] with others",
        ),
        (np.zeros((0, 2)), [], {}, r"received the shape \[0, 2\]"),
        (np.zeros((5_001, 1)), ["a"] * 5_001, {}, "at most 5,000 windows, .*received 5,001"),
    ],
)
def test_points_that_cannot_be_compared_are_refused(points, labels, given, message):
    with pytest.raises(ValueError, match=message):
        projection.separation(points, np.array(labels), **{"neighbours": 1, **given})


# Layers ---------------------------------------------------------------------------------------------------------------


class Text(str):
    """Tokens enough for a model that reads letters."""


class Letters:
    """A model of two layers: the first knows nothing but which sequence it is, the second the share of each base."""

    name, max_tokens, layers, hidden_size = "letters", 1_000, 1, 4
    info = {"name": "letters", "weights_sha256": "0" * 64, "dtype": "float32"}

    def __init__(self, *, trained=True):
        self.trained = trained

    def random_twin(self, seed=0):
        assert seed == 0
        return Letters(trained=False)

    def tokenize(self, sequence, *, phase=0):
        return Text(sequence)

    def embed(self, batch, *, layers, poolings=("mean",)):
        assert poolings == ("mean",)
        rows = []
        for text in batch:
            noise = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=4).digest(), np.uint8) / 255
            shares = np.array([text.count(base) / len(text) for base in "ACGT"]) if self.trained else noise
            rows.append([(noise, shares)[layer] for layer in layers])
        return np.array(rows, dtype=np.float32)[:, :, None]


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(6)
    texts = [
        "".join(rng.choice(list("ACGT"), 60, p=p))
        for p in [[0.1, 0.4, 0.4, 0.1]] * 25 + [[0.4, 0.1, 0.1, 0.4]] * 25
    ]
    return made(texts, ["CDS"] * 25 + ["intron"] * 25)


@pytest.fixture(scope="module")
def maps(drawn):
    return projection.by_layer(Letters(), drawn, method="pca", ks=(1, 2), neighbours=5, permutations=40)


def test_layers_are_mapped_beside_counts_and_a_random_twin(maps, drawn):
    names = [
        "layer 0",
        "layer 1",
        "random twin, layer 0",
        "random twin, layer 1",
        "base composition",
        "2-mers",
    ]
    assert maps.panels["panel"].tolist() == names
    assert maps.panels["source"].tolist() == ["model"] * 2 + ["twin"] * 2 + ["counts"] * 2
    assert maps.panels["layer"].tolist() == [0, 1, 0, 1, -1, -1]
    assert maps.panels["dimensions"].tolist() == [4, 4, 4, 4, 4, 16]
    purity = maps.overview().set_index("panel")
    assert purity.loc["layer 1", "value"] == 1
    assert purity.loc["layer 1", "p"] == 1 / 41
    for panel in ("layer 0", "random twin, layer 0", "random twin, layer 1"):
        assert purity.loc[panel, "value"] < 0.6
    # This layer is the composition, so its map and its numbers are those of composition.
    np.testing.assert_allclose(
        maps.coordinates_of("layer 1"), maps.coordinates_of("base composition"), atol=1e-5
    )
    for space, measure in itertools.product(("vectors", "map"), ("purity", "silhouette")):
        told = maps.overview(measure, space).set_index("panel")["value"]
        assert told["layer 1"] == pytest.approx(told["base composition"], abs=1e-6)
    by_itself = projection.separation(
        projection.scaled(np.array([[text.count(base) / 60 for base in "ACGT"] for text in drawn.sequences])),
        drawn.labels,
        drawn.groups,
        neighbours=5,
        permutations=40,
    )
    rows = maps.separation[(maps.separation["panel"] == "layer 1") & (maps.separation["space"] == "vectors")]
    pd.testing.assert_frame_equal(
        rows.drop(columns=["panel", "space"]).reset_index(drop=True), by_itself, atol=1e-6
    )
    assert "purity of vectors: layer 0 0." in repr(maps)
    assert maps.settings["twin"] == 0
    with pytest.raises(ValueError, match="one of layer 0, .*received 'layer 7'"):
        maps.coordinates_of("layer 7")
    with pytest.raises(ValueError, match="space one of vectors, map; received 'purity' and 'plane'"):
        maps.overview(space="plane")


def test_maps_are_compared_window_by_window(maps, drawn):
    found = maps.against("base composition").set_index("panel")
    assert "base composition" not in found.index
    assert found.loc["layer 1"].abs().max() < 1e-6
    index = maps.panels["panel"].tolist()
    each = maps.values[index.index("layer 0"), 0, 1] - maps.values[index.index("base composition"), 0, 1]
    expected = np.mean([each[drawn.labels == name].mean() for name in ("CDS", "intron")])
    assert found.loc["layer 0", "difference"] == pytest.approx(expected)
    assert found.loc["layer 0", "low"] < expected < found.loc["layer 0", "high"] < 0


def test_maps_come_back_from_disk_without_torch(maps, tmp_path):
    path = maps.save(tmp_path / "maps.npz")
    code = (
        "import sys, json; from ntviz import projection; maps = projection.Maps.load(sys.argv[1]); "
        "print(json.dumps([len(maps.windows), 'torch' in sys.modules, 'sklearn' in sys.modules]))"
    )
    told = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == [50, False, False]
    again = projection.Maps.load(path)
    for name in ("windows", "panels", "separation"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(maps, name))
    for name in ("coordinates", "values", "groups"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps, name))
    assert (again.model, again.settings) == (maps.model, maps.settings)
    assert [file.name for file in tmp_path.iterdir()] == ["maps.npz"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"format 1 that Maps.save wrote; .*maps.npz is not, or is damaged"):
        projection.Maps.load(path)
    np.savez(path, about=np.array(json.dumps({"format": 9})))
    with pytest.raises(ValueError, match=r"damaged \(format 9\)"):
        projection.Maps.load(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        projection.Maps.load(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match=r"coordinates must be \[6, 50, 2\], and is \[5, 50, 2\]"):
        projection.Maps(
            maps.windows, maps.panels, maps.coordinates[:5], maps.values, maps.separation, maps.groups, "m"
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "mds"}, "one of pca, tsne, umap; received 'mds'"),
        ({"layers": [2]}, r"from 0 \(the embedding\) to 1 for letters; received \[2\]"),
        ({"ks": (2, 2)}, r"distinct lengths; received \[2, 2\]"),
        ({"ks": (9,)}, "k must be from 1 to 8; received 9"),
        ({"permutations": 0}, "permutations must be at least 1; received 0"),
        ({"neighbours": 50}, "neighbours must be from 1 to .* 49 here"),
    ],
)
def test_maps_that_cannot_be_made_are_refused(drawn, given, message):
    with pytest.raises(ValueError, match=message):
        projection.by_layer(Letters(), drawn, **{"method": "pca", **given})


def test_a_model_without_a_twin_is_mapped_when_none_is_asked_for(drawn):
    class Single:
        def __init__(self):
            self.model = Letters()

        def __getattr__(self, name):
            if name == "random_twin":
                raise AttributeError(name)
            return getattr(self.model, name)

    with pytest.raises(ValueError, match="must have random_twin .*Single has none"):
        projection.by_layer(Single(), drawn, method="pca")
    found = projection.by_layer(
        Single(), drawn, [1], method="pca", ks=(), twin=None, neighbours=5, permutations=5
    )
    assert found.panels["panel"].tolist() == ["layer 1"]


def test_one_element_alone_cannot_be_mapped(drawn):
    alone = made(drawn.sequences[:25], ["CDS"] * 25)
    with pytest.raises(ValueError, match="two elements or more to tell apart; received CDS alone"):
        projection.by_layer(Letters(), alone, method="pca")
