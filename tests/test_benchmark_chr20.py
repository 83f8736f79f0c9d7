"""Tasks of chromosome 20: what stands in their windows, and that nothing crosses the split."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation, benchmark, data
from ntviz.benchmark import chr20, homology
from ntviz.benchmark.chr20 import BLOCK, HELD_OUT
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference


@pytest.fixture(scope="module")
def genes():
    return annotation.read(data.bundle("genes")).table


@pytest.fixture(scope="module")
def reference():
    with Reference(data.bundle("chr20")) as opened:
        yield opened


def place(name):
    """Start, end and strand of an example's name."""
    where = name.split(":")
    start, end = where[1].split("-")
    return int(start), int(end), where[2]


def everything(task):
    return [
        (*place(str(name)), sequence, label, group)
        for part in task.parts.values()
        for name, sequence, label, group in zip(part.ids, part.sequences, part.labels, part.groups, strict=True)
    ]


def words(text, k=21):
    """k-mers of both strands, as a set: brute force."""
    found = {text[i : i + k] for i in range(len(text) - k + 1)}
    return {min(word, reverse_complement(word)) for word in found if "N" not in word}


@pytest.fixture(scope="module")
def sites(genes):
    """Every splice site, intron by intron: (position, strand) of the first base of introns, and of exons after them."""
    donors, acceptors = set(), set()
    exons = genes[genes["element"] == "exon"].sort_values("start")
    for _, part in exons.groupby("transcript"):
        rows = part[["start", "end", "strand"]].values.tolist()
        for (_, end, strand), (start, *_) in itertools.pairwise(rows):
            if start - end >= 4:
                donor, acceptor = (end, start) if strand == "+" else (start - 1, end - 1)
                donors.add((donor, strand))
                acceptors.add((acceptor, strand))
    return {"donor": donors, "acceptor": acceptors}


@pytest.mark.parametrize("name", chr20.NAMES)
def test_tasks_are_as_they_are_listed_and_windows_what_their_names_say(name, reference):
    task, about = chr20.build(name), chr20.TASKS[name]
    assert [len(part) for part in task.parts.values()] == [about[part] for part in task.parts]
    assert (task.kind, list(task.classes)) == (about["kind"], about["classes"])
    assert task.lengths == (about["length"], about["length"])
    rows = everything(task)
    assert len({(*row[:3], str(row[4])) for row in rows}) == len(rows) or task.kind == "per_base"
    for start, end, strand, sequence, _, group in rows[:: max(1, len(rows) // 30)]:
        text = reference.fetch(f"chr20:{start + 1}-{end}").sequence
        assert sequence == (text if strand == "+" else reverse_complement(text)) and "N" not in sequence
        assert start // BLOCK == (end - 1) // BLOCK and group == f"chr20:{start // BLOCK / 4:.2f}Mb"
    judged = task.test or task.train
    assert len(np.unique(judged.groups)) >= 20
    if task.kind != "per_base":
        assert len(judged) >= 1_000
        for part in task.parts.values():
            assert len(set(np.bincount(part.labels).tolist())) == 1
    for part, inside in (("train", False), ("test", True)) if task.test is not None else ():
        for identity in task.parts[part].ids:
            start, end, _ = place(str(identity))
            assert (HELD_OUT[0] <= start and end <= HELD_OUT[1]) == inside
            assert inside or end <= HELD_OUT[0] or start >= HELD_OUT[1]


@pytest.mark.parametrize("name", ["chr20_splice_sites_all", "chr20_cpg"])
def test_no_training_window_is_homologous_to_a_test_window(name):
    """Brute force with sets, over a sample of test windows and all training windows."""
    task = chr20.build(name)
    train = [words(text) for text in task.train.sequences[::3]]
    for text in task.test.sequences[::120]:
        mine = words(text)
        assert max(len(mine & other) / min(len(mine), len(other)) for other in train) < 0.3


def test_windows_of_different_folds_are_not_homologous():
    task = chr20.build("chr20_promoter_all")
    first, second, share = homology.shared(task.train.sequences.tolist(), task.train.sequences.tolist())
    other = task.train.groups[first] != task.train.groups[second]
    assert (share[other] < 0.3).all() and task.test is None and "folds by blocks" in task.split


@pytest.mark.parametrize(("name", "kind"), [("donors", "donor"), ("acceptors", "acceptor")])
def test_splice_windows_hold_a_site_where_they_should_and_others_none(name, kind, sites):
    task = chr20.build(f"chr20_splice_sites_{name}")
    sites = sites[kind]
    motifs, decoys = [], []
    for start, end, strand, sequence, label, _ in everything(task):
        middle = start + 300 if strand == "+" else end - 301
        assert ((middle, strand) in sites) == bool(label)
        (motifs if label else decoys).append(sequence[300:302] if kind == "donor" else sequence[298:300])
        if not label:
            assert not any((near, strand) in sites for near in range(middle - 20, middle + 21))
    motif = "GT" if kind == "donor" else "AG"
    assert np.mean([word == motif for word in motifs]) > 0.98
    assert 0.4 < np.mean([word == motif for word in decoys]) < 0.65
    assert {row[2] for row in everything(task)} == {"+", "-"}


def test_splice_sites_of_both_kinds(sites):
    task = chr20.build("chr20_splice_sites_all")
    assert task.classes == ("none", "acceptor", "donor")
    for start, end, strand, _, label, _ in everything(task):
        middle = start + 300 if strand == "+" else end - 301
        kinds = [kind for kind in ("none", "acceptor", "donor") if (middle, strand) in sites.get(kind, ())]
        assert task.classes[label] == (kinds or ["none"])[0]


def test_promoters_stand_around_first_bases_and_coding_windows_around_coding_ones(genes):
    task = chr20.build("chr20_promoter_all")
    first = {
        (row.start, "+") if row.strand == "+" else (row.end - 1, "-")
        for row in genes[genes["element"] == "transcript"].itertuples()
    }
    positive = {row[:2] for row in everything(task) if row[4]}
    for start, end, strand, _, label, _ in everything(task):
        tss = start + 49 if strand == "+" else end - 50
        assert ((tss, strand) in first) == bool(label)
        if not label:
            assert not any(start < other_end and other_start < end for other_start, other_end in positive)
    task = chr20.build("chr20_coding")
    cds, exon = (
        pd.arrays.IntervalArray.from_arrays(part["start"], part["end"], closed="left")
        for part in (genes[genes["element"] == kind] for kind in ("CDS", "exon"))
    )
    rows = everything(task)
    for start, end, strand, _, label, _ in rows[::10]:
        middle = start + 150 if strand == "+" else end - 151
        assert cds.contains(middle).any() == bool(label)
        if not label:
            assert not exon.overlaps(pd.Interval(start, end, closed="left")).any()


def test_cpg_windows_have_partners_of_the_same_composition():
    task = chr20.build("chr20_cpg")
    for part in task.parts.values():
        counts = [sorted(s.count("G") + s.count("C") for s in part.sequences[part.labels == label]) for label in (0, 1)]
        assert abs(np.mean(counts[0]) - np.mean(counts[1])) < 3
    inside = [s.count("CG") for s in task.test.sequences[task.test.labels == 1]]
    outside = [s.count("CG") for s in task.test.sequences[task.test.labels == 0]]
    assert np.mean(inside) > 1.5 * np.mean(outside)


def test_labels_of_bases_are_those_of_a_slow_loop(sites):
    task = chr20.build("chr20_splice_per_base")
    acceptors = sites["acceptor"]
    donors = {(position - 1, "+") if strand == "+" else (position + 1, "-") for position, strand in sites["donor"]}
    for start, end, strand, _, labels, _ in everything(task)[::40]:
        for index, label in enumerate(labels):
            base = start + index if strand == "+" else end - 1 - index
            assert label == (1 if (base, strand) in acceptors else 2 if (base, strand) in donors else 0)
        assert labels.any()


def test_tasks_are_the_same_everywhere_other_by_seed_and_found_by_name():
    first = chr20.build("chr20_promoter_all").checksum
    assert first.startswith("ceafebfe")  # draws are the same each time, on every machine
    assert chr20.build("chr20_promoter_all", seed=1).checksum != first
    assert benchmark.find_task("chr20_coding").name == "chr20_coding"
    assert benchmark.expand(["chr20", "chr20_coding"]) == [name for name in chr20.NAMES if "per_base" not in name]
    with pytest.raises(ValueError, match="received 'chr20_codin'. Did you mean chr20_coding"):
        benchmark.find_task("chr20_codin")
    with pytest.raises(ValueError, match="must be one of chr20_splice_sites_all, .*received 'chr21'"):
        chr20.build("chr21")


def test_shared_kmers_are_those_of_sets():
    rng = np.random.default_rng(0)
    core = "".join(rng.choice(list("ACGT"), 60))
    texts = ["".join(rng.choice(list("ACGTN"), n, p=[0.24] * 4 + [0.04])) for n in (80, 100, 30, 9)]
    texts += [texts[0][:40] + core, reverse_complement(core) + "ACGT", core, "N" * 30]
    k = 11
    first, second, share = homology.shared(texts, texts, k)
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), share, strict=True))
    for i, one in enumerate(texts):
        assert len(homology.canonical_kmers(one, k)) == len(words(one, k))
        for j, other in enumerate(texts):
            mine, others = words(one, k), words(other, k)
            both = mine & others
            expected = len(both) / min(len(mine), len(others)) if both else None
            assert found.get((i, j)) == (pytest.approx(expected) if both else None)
    groups = np.array(list("aabbcdee"))
    keep = homology.apart_by_group(texts, groups, k=k)
    for i, j in found:
        assert not (i < j and keep[i] and keep[j] and groups[i] != groups[j] and found[i, j] >= 0.3)
    np.testing.assert_array_equal(
        homology.apart(texts[:4], texts[4:], k=k),
        [max(found.get((i, j), 0) for j in range(4, 8)) < 0.3 for i in range(4)],
    )

    with pytest.raises(ValueError, match="k must be from 1 to 31; received 32"):
        homology.canonical_kmers("ACGT", 32)
