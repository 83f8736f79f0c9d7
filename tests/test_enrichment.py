"""Which heads look at which elements: equal to a count by hand, planted truth named and nothing else, nulls that say no."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from attention_toy import first_token, motif, previous_token, random_keys, toy

from ntviz import annotation, attention
from ntviz.attention import counts
from ntviz.attention.enrichment_table import concluded
from ntviz.attention.observation import observe
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.storage import Unfinished

WORD = "GATTACATAGGC"
LENGTH = 600
HEADS = [[previous_token, motif(WORD)], [random_keys(3), random_keys(4)]]


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Reference, annotation.Annotation]:
    """Forty windows; the word stands in each at a random place, and elsewhere stand stretches that mean nothing."""
    rng = np.random.default_rng(11)
    bases = rng.choice(list("ACGT"), 40 * LENGTH)
    rows = []
    for start in range(0, len(bases), LENGTH):
        at = start + 6 * int(rng.integers(0, LENGTH // 6 - 2))
        bases[at : at + len(WORD)] = list(WORD)
        rows.append(("chrT", at, at + len(WORD), "word"))
        other = start + int(rng.integers(0, LENGTH - 90))
        rows.append(("chrT", other, other + 90, "nothing"))
    rows.append(("chrT", 0, len(bases), "everything"))
    rows.append(("chrQ", 5, 50, "elsewhere"))
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(f">chrT\n{''.join(bases)}\n")
    return Reference(path), annotation.from_table(pd.DataFrame(rows, columns=["chrom", "start", "end", "element"]))


def windows(n: int = 40) -> list[Interval]:
    return [Interval("chrT", i * LENGTH, (i + 1) * LENGTH, "-" if i % 3 == 0 else "+") for i in range(n)]


def asked(genome, intervals=None, **options):
    kinds = ["word", "nothing", "everything", "elsewhere"]
    options = {"kinds": kinds, "shifts": 200, "bootstrap": 200, **options}
    return attention.enrichment(toy(HEADS), windows() if intervals is None else intervals, *genome, **options)


@pytest.fixture(scope="module")
def found(genome):
    return asked(genome)


def test_the_head_made_for_the_word_is_named_and_no_other(found):
    named = found.table[found.table["significant"]]
    assert named[["layer", "head", "element"]].to_numpy().tolist() == [[0, 1, "word"]]
    row = named.iloc[0]
    # Strands turn the word around: on two windows of three the head finds it.
    assert row["p_pooled"] > 0.9 and row["ratio"] > 10 and row["shift_ratio"] > 10
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    # On shuffled bases the word is gone, and a twin looks anywhere.
    assert row["shuffle_status"] == "nothing above" or row["shuffle_difference_low"] > 0
    assert row["twin_difference_low"] > 0 and row["distance_q"] < 0.05
    others = found.table[(found.table["status"] == "ok") & ~found.table["significant"]]
    assert (others["distance_q"] > 0.05).all()
    # Where no test is possible it is said.
    status = found.table.set_index(["element", "layer", "head"])["status"]
    assert (status["everything"] == "covers everything").all() and (status["elsewhere"] == "nothing there").all()
    assert not found.table.loc[found.table["status"] != "ok", ["significant", "significant_published"]].any(axis=None)
    assert "1 of 82 features lie on contigs that the reference lacks (chrQ)" in found.summary
    assert "40 of 40 windows" in repr(found)


def test_counts_equal_those_by_hand(genome, found):
    reference, elements = genome
    model = toy(HEADS)
    above, on, ratios, silent = np.zeros((2, 2)), np.zeros((2, 2)), [], np.zeros((2, 2))
    held = positions = 0
    for window in windows():
        tokens = model.tokenize(reference.fetch(window).sequence)
        base = ~tokens.is_special
        pairs = (model.weights(tokens) > 0.3)[:, :, base][..., base]
        inside = elements.indicator(window, "word", spans=tokens.spans)[base]
        held, positions = held + inside.sum(), positions + base.sum()
        above, on = above + pairs.sum((2, 3)), on + pairs[..., inside].sum((2, 3))
        with np.errstate(invalid="ignore"):
            ratios.append(pairs[..., inside].sum((2, 3)) / pairs.sum((2, 3)))
        silent += pairs.sum((2, 3)) == 0
    rows = found.table[found.table["element"] == "word"].set_index(["layer", "head"])
    background = held / positions
    for place in np.ndindex(2, 2):
        row, n_on, n = rows.loc[place], on[place], above[place]
        assert (row["n_above"], row["n_silent"]) == (n, silent[place])
        assert row["p_pooled"] == pytest.approx(n_on / n)
        assert row["p_mean"] == pytest.approx(np.nanmean([one[place] for one in ratios]), abs=1e-9)
        assert row["background"] == pytest.approx(background)
        pooled = (n_on + held) / (n + positions)
        z = (n_on / n - background) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / positions))
        assert row["z"] == pytest.approx(z) and row["p_bonferroni"] == pytest.approx(min(1, 4 * row["p_z"]))


def test_special_tokens_are_a_number_of_their_own(genome):
    model = toy([[first_token, previous_token]])
    options = {"kinds": ["word"], "nulls": (), "bootstrap": 10}
    without = attention.enrichment(model, windows(5), *genome, **options).table
    assert without["to_special"].tolist() == [1, pytest.approx(1 / 100)]
    assert without["status"].iloc[0] == "nothing above"
    whole = attention.enrichment(model, windows(5), *genome, special="include", **options).table
    assert whole["n_above"].tolist() == [5 * 101, 5 * 100] and whole["n_positions"].iloc[0] == 5 * 101


def test_a_run_that_was_cut_off_goes_on_in_other_batches(genome, found, tmp_path, monkeypatch):
    count, calls = counts.count, []

    def breaking(*arguments, **options):
        if len(calls) == 20:
            raise KeyboardInterrupt("the power went off")
        calls.extend(arguments[2])
        return count(*arguments, **options)

    monkeypatch.setattr(counts, "count", breaking)
    with pytest.raises(KeyboardInterrupt, match="the power went off"):
        asked(genome, out=tmp_path)
    with pytest.raises(ValueError, match="are missing"):
        attention.merge(tmp_path)
    monkeypatch.setattr(counts, "count", lambda *a, **o: (calls.extend(a[2]), count(*a, **o))[1])
    resumed = asked(genome, out=tmp_path, batch=4).table
    assert len(calls) == 40
    pd.testing.assert_frame_equal(resumed, found.table, check_exact=True)
    with pytest.raises(ValueError, match="threshold"):
        asked(genome, out=tmp_path, threshold=0.4)


def test_passes_of_any_size_give_the_same_integers(genome, monkeypatch):
    mixed = [replace(one, end=one.end - 6 * (i % 3)) for i, one in enumerate(windows(8))]
    alone, options, sizes = asked(genome, mixed, batch=1, shifts=20), {"shifts": 20}, []
    monkeypatch.setattr(
        counts, "observe", lambda model, several, **o: (sizes.append(len(several)), observe(model, several, **o))[1]
    )
    monkeypatch.setattr(counts, "sequences_a_pass", lambda model, tokens: 2)
    monkeypatch.setattr(counts, "_PARTS", 1)  # all windows in one part: more of them to put together
    for batch, expected in ((None, {1, 2}), (3, {2, 3})):
        sizes.clear()
        together = asked(genome, mixed, batch=batch, **options)
        assert set(sizes) == expected and len(sizes) < 3 * len(mixed)
        pd.testing.assert_frame_equal(together.table, alone.table, check_exact=True)


def test_windows_that_cannot_be_used_are_counted_and_paths_may_be_text(genome, tmp_path):
    model, options = toy(HEADS), {"kinds": ["word"], "nulls": (), "bootstrap": 10}
    model.max_tokens = 60
    mixed = ["chrT:1-300", "chrT:1-600", "chrQ:1-300", Interval("chrT", 600, 900)]
    some = attention.enrichment(model, mixed, *genome, out=str(tmp_path / "kept"), **options)
    assert (tmp_path / "kept").is_dir() and "2 dropped" in repr(some)
    statuses = ["ok", "longer than the model's context", "not in the reference", "ok"]
    assert some.sequences["status"].tolist() == statuses and some.sequences["start"].tolist() == [0, 0, 0, 600]
    with pytest.raises(ValueError, match="At least one window must be usable; of 1 none is"):
        attention.enrichment(model, mixed[1], *genome, **options)


def test_bad_requests_say_what_was_expected(genome):
    for options, match in (
        ({"threshold": 1.0}, "strictly between 0 and 1; received 1.0"),
        ({"kinds": ["wrod"]}, "kinds must be different ones of word, .*received 'wrod'"),
        ({"nulls": ("shfit",)}, "nulls must be different ones of"),
        ({"shifts": 5}, "shifts must be at least 19"),
        ({"shard": (1, 2)}, "must have a folder where all shards meet"),
        ({"shard": (0, 2), "out": "x"}, r"shard must be \(i, n\)"),
        ({"special": "both"}, "special must be 'exclude' or 'include'"),
        ({"batch": 0}, "batch must be at least 1; received 200 and 0"),
        ({"alpha": 0}, "alpha must lie strictly between 0 and 1"),
        ({"intervals": []}, "at least one; received none"),
        ({"intervals": [5]}, "received int 5"),
    ):
        with pytest.raises(ValueError, match=match):
            asked(genome, **options)


# Files, in one run or in shards ----------------------------------------------------------------------------------------


def counted(out, genome, *, passes=None, **options):
    model = toy(HEADS)
    if passes is not None:
        model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    asked = {"kinds": ["word"], "shifts": 30, "bootstrap": 50} | options
    return attention.enrich_file(out, model, windows(20), *genome, **asked)


def test_a_file_of_another_kind_is_refused_and_nothing_is_left(genome, tmp_path):
    with pytest.raises(ValueError, match="must go to .parquet, .tsv, .csv; received a.xlsx"):
        counted(tmp_path / "a.xlsx", genome)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".parquet", ".tsv"])
def test_three_shards_of_an_enrichment_are_one_run(genome, tmp_path, suffix):
    one, many = tmp_path / "one" / f"a{suffix}", tmp_path / "many" / f"a{suffix}"
    found, passes = counted(one, genome), []
    assert "20 of 20 windows" in repr(found)
    for i in (3, 1, 2):
        ended = counted(many, genome, shard=(i, 3))
        assert isinstance(ended, Unfinished)
    assert (ended.done, ended.missing) == (20, ()) and not many.exists()
    written = counted(many, genome, passes=passes).written
    assert passes == [] and [path.name for path in written] == [f"a{suffix}", f"a.windows{suffix}", "a.json"]
    assert sorted(path.name for path in many.parent.iterdir()) == sorted(path.name for path in written)
    for path in found.written:
        assert path.read_bytes() == (many.parent / path.name).read_bytes(), path.name
    about = json.loads((one.parent / "a.json").read_text())
    assert (about["summary"], about["threshold"]) == (found.text, 0.3)
    read = pd.read_parquet(one) if suffix == ".parquet" else pd.read_csv(one, sep="\t")
    assert read["head"].tolist() == [0, 1, 0, 1]
    assert read.loc[read["significant"], ["layer", "head"]].to_numpy().tolist() == [[0, 1]]


def test_a_lost_or_damaged_part_is_counted_anew_alone(genome, tmp_path):
    out, cache = tmp_path / "a.parquet", tmp_path / "kept"
    first, again = [], []
    counted(out, genome, cache=cache, passes=first)
    before = out.read_bytes()
    lost, damaged = sorted(cache.rglob("part-*.npz"))[3:5]
    lost.unlink()
    damaged.write_bytes(b"PK\x03\x04 broken")
    counted(out, genome, cache=cache, passes=again, overwrite=True)
    assert out.read_bytes() == before
    # A window is read as it is and shuffled; the twin is another module.
    assert (len(first), len(again)) == (40, 4)


# Nulls that can say no -----------------------------------------------------------------------------------------------

SETS, LEVEL, N = 200, 0.05, 12


@pytest.fixture(scope="module")
def observed(genome):
    """What was counted above the threshold in each window, once for all sets of elements."""
    rules = [[previous_token, motif("GATTA"), motif("CG")], [random_keys(3), motif("TTT"), random_keys(5)]]
    model, chunks = toy(rules), counts.layout(windows(N))
    seen = []
    for place in (place for chunk in chunks for place in chunk):
        tokens = model.tokenize(genome[0].fetch(place.interval).sequence)
        seen.append((place, tokens, attention.observe(model, tokens, above=attention.Above())["above"]))
    return seen


def random_elements(rng: np.random.Generator) -> np.ndarray:
    """[element, window, base]: one long stretch, a cluster of short ones, and scattered sites, anywhere in each window."""
    made, place = np.zeros((3, N, LENGTH), dtype=bool), np.arange(LENGTH)
    for window in range(N):
        made[0, window] = np.isin(place, (rng.integers(LENGTH) + np.arange(rng.integers(60, 240))) % LENGTH)
        if rng.random() < 0.7:
            centre = rng.integers(LENGTH)
            for _ in range(rng.integers(2, 9)):
                made[1, window, (centre + rng.integers(-60, 60) + np.arange(12)) % LENGTH] = True
        for _ in range(rng.poisson(1.5)):
            made[2, window, (rng.integers(LENGTH) + np.arange(6)) % LENGTH] = True
    return made


def test_the_false_discovery_rate_over_null_sets_stays_at_its_level(observed):
    """Elements that know nothing of the sequence: any discovery is false. The published test is no match for them."""
    kinds = ("long", "clustered", "scattered")
    groups = np.unique([place.group for place, *_ in observed])
    ours = published = 0
    for trial in range(SETS):
        elements = random_elements(np.random.default_rng([trial, 5]))
        question = counts.Question(kinds, shifts=99, nulls=("shift",), seed=trial)
        total = counts.Part(groups)
        for place, tokens, above in observed:
            turns = counts.turns(place.block, question.shifts, question.seed)
            inside, strand = elements[:, place.index], place.interval.strand
            row = {"index": place.index, **asdict(place.interval), "status": "ok", "note": ""}
            total.add(place.group, counts.tally({"": above}, tokens, inside, question, turns, strand), [row])
        about = {"kinds": kinds, "layers": 2, "heads": 3, "seed": trial, "elements": {"strangers": 0}}
        table = concluded(total, about, bootstrap=1, alpha=LEVEL).table
        ours += bool(table["significant"].any())
        published += bool(table["significant_published"].any())
    # Where everything is null, the rate is the share of sets with a discovery; 2.3 standard deviations of noise.
    assert ours / SETS <= LEVEL + 2.3 * np.sqrt(LEVEL * (1 - LEVEL) / SETS), ours
    assert published / SETS > 0.5, published
