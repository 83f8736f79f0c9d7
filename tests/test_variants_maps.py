"""Saturation, dependency maps, backgrounds and tables of variants, against the plain way to get the same numbers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import variants
from ntviz.genome import Interval, Variant
from ntviz.tokens import base_log_probs
from ntviz.variants import backgrounds


@pytest.fixture
def reference(tmp_path):
    return toy_reference(tmp_path, contigs={"20": 3_000, "21": 900}, n=[("20", 1500, 1520)])


@pytest.fixture
def model():
    return ToyModel(max_tokens=32)


@pytest.mark.parametrize("frames", [1, 6])
def test_saturation_equals_each_variant_alone(model, reference, frames):
    place = Interval("chr20", 1001, 1009)
    found = variants.saturation(model, reference, place, frames=frames, what=None)
    how = {"scores": ("llr", "base_llr"), "frames": frames, "progress": None}
    names = ["llr", "llr_fwd", "llr_rev", "base_llr"]
    for at, base in enumerate(found.sequence):
        for column, other in enumerate("ACGT"):
            cells = [getattr(found, name)[at, column] for name in names]
            if other == base:
                assert cells == [0, 0, 0, 0]
                continue
            alone = variants.score(model, reference, Variant("20", place.start + at + 1, base, other), **how)
            np.testing.assert_allclose(cells, alone.loc[0, names].astype(float), atol=1e-5)


def test_saturation_reads_each_token_once_a_strand_leaves_n_empty_and_keeps_to_the_contig(model, reference):
    assert variants.saturation(model, reference, "20:1-600", what=None).forwards == 2 * 600 / 6
    assert variants.saturation(model, reference, "20:7-606", both_strands=False, what=None).forwards == 100
    # One frame more for each base of a token, and the words that reach over the ends.
    assert variants.saturation(model, reference, "20:601-700", frames=6, what=None).forwards == 2 * (100 + 5)
    found = variants.saturation(model, reference, Interval("20", 1490, 1530), what=None)
    assert np.isnan(found.llr[10:30]).all() and np.isfinite(found.llr[:10]).all() and np.isnan(found.entropy[15])
    table = found.table()
    assert table["pos"].tolist() == [pos for pos in (*range(1491, 1501), *range(1521, 1531)) for _ in range(3)]
    assert "N" not in table["ref"].tolist() and (table["ref"] != table["alt"]).all()
    assert reference.fetch("20:1491-1491").sequence == table["ref"][0]
    end = variants.saturation(model, reference, Interval("20", 2_990, 3_400), what=None)
    assert end.interval == Interval("20", 2_990, 3_000) and np.isfinite(end.llr).all()


def test_saturation_of_what_the_model_expects(model, reference):
    found = variants.saturation(model, reference, "20:601-612", both_strands=False, what=None)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    # By hand: the window around each token, that token masked, its marginals.
    for first in (600, 606):
        window = reference.fetch(Interval("20", first - 15 * 6, first + 16 * 6)).sequence
        tokens = model.tokenize(window)
        hidden = replace(tokens, ids=np.where(np.arange(len(tokens)) == 16, model.mask_id, tokens.ids))
        expected = np.exp(base_log_probs(tokens, model.forward(hidden).logits[0])[90:96])
        np.testing.assert_allclose(found.probabilities[first - 600 : first - 594], expected, atol=1e-5)
    entropy = -(found.probabilities * np.log(found.probabilities)).sum(axis=1)
    np.testing.assert_allclose(found.entropy, entropy, atol=1e-9)


@pytest.mark.parametrize("both", [False, True])
def test_dependency_equals_the_definition(model, reference, both):
    place = Interval("20", 603, 615)
    found = variants.dependency(model, reference, place, both_strands=both, what=None)
    assert found.forwards == (3 * 12 + 1) * (1 + both)
    first = place.midpoint // 6 * 6 - 15 * 6
    window = reference.fetch(Interval("20", first, first + 31 * 6)).sequence
    low = place.start - first
    complement = str.maketrans("ACGT", "TGCA")

    @cache
    def odds(text, reverse):
        read = text.translate(complement)[::-1] if reverse else text
        p = np.exp(base_log_probs(model.tokenize(read), model.forward(model.tokenize(read)).logits[0]))
        p = p[::-1, ::-1] if reverse else p
        return np.log2(p / (1 - p))[low : low + 12]

    for i in range(12):
        for j in range(12):
            if (low + i) // 6 == (low + j) // 6:
                assert found.same_token[i, j] and np.isnan(found.values[i, j])
                continue
            expected = []
            for reverse in (False, True) if both else (False,):
                changed = [window[: low + i] + base + window[low + i + 1 :] for base in "ACGT"]
                changes = (odds(text, reverse)[j] - odds(window, reverse)[j] for text in changed if text != window)
                expected.append(max(np.abs(change).max() for change in changes))
            assert found.values[i, j] == pytest.approx(np.mean(expected), abs=1e-3)


def test_dependency_reaches_as_far_as_the_model_does_and_has_its_limits(model, reference):
    found = variants.dependency(model, reference, "20:601-690", what=None)
    # The toy mixes tokens up to four apart, and nothing further.
    apart = np.abs(np.subtract.outer(np.arange(90) // 6, np.arange(90) // 6))
    assert (found.values[apart > 4] < 1e-9).all() and (found.values[(apart > 0) & (apart <= 4)] > 1e-3).all()
    table = found.table()
    assert table["pos_i"].min() == 601 and len(table) == np.isfinite(found.values).sum()
    for place, message in (
        ("1-400", "within 174 bp"),
        ("2990-3010", "on its contig"),
        ("1495-1530", "without N around"),
    ):
        with pytest.raises(ValueError, match=message):
            variants.dependency(model, reference, f"20:{place}")


def test_classes_of_substitutions_fold_the_strands():
    complement = dict(zip("ACGT", "TGCA", strict=True))
    for before, ref, alt, after in product("ACGT", repeat=4):
        if ref == alt:
            continue
        here = backgrounds.substitution_class(before, ref, alt, after)
        assert here == backgrounds.substitution_class(*(complement[x] for x in (after, ref, alt, before)))
        assert here in backgrounds.CLASSES and here.startswith("CpG") == ("CG" in (ref + after, before + ref))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_percentiles_equal_counting(model, reference, kept):
    options = variants.Options(scores=("llr", "l2"))
    background = variants.background(model, reference, options, per_class=11, seed=3, what=None)
    assert np.bincount(background.classes).tolist() == [11] * 9
    table = background.table()
    how = {"scores": ("llr", "l2"), "background": background, "progress": None}
    rows = variants.score(model, reference, _snvs(reference, 40), **how)
    for row in rows.itertuples():
        around = reference.fetch(Interval("20", row.pos - 2, row.pos + 1)).sequence
        kind = backgrounds.substitution_class(around[0], row.ref, row.alt, around[2])
        for name in ("llr", "l2"):
            same = table.loc[table["class"] == kind, name]
            value = getattr(row, name)
            expected = 100 * ((same < value).sum() + 0.5 * (same == value).sum()) / 11
            assert getattr(row, f"{name}_percentile") == pytest.approx(expected)
    assert "11 random substitutions of toy.fa" in background.statement
    base, after = reference.fetch("20:100-101").sequence
    others = variants.score(model, reference, [f"20:100:{base}{after}>{base}", f"20:100:{base}>{base}GA"], **how)
    assert others["llr"].notna().all() and others["llr_percentile"].isna().all()
    # Its own percentiles are even.
    alleles, _ = backgrounds.draw(reference, per_class=11, seed=3)
    percentiles = variants.Scorer(model, reference, options, background=background).score(alleles).values[:, -1]
    assert percentiles.mean() == pytest.approx(50)


def test_background_is_kept_by_content(model, reference, kept, tmp_path):
    first = variants.background(model, reference, per_class=3, what=None)
    (file,) = (kept / "backgrounds").iterdir()
    before = model.sequences
    again = variants.background(model, reference, per_class=3, what=None)
    assert model.sequences == before and again.digest == first.digest
    # Another name of the same content is the same; other weights are not.
    shutil.copytree(kept / "backgrounds", tmp_path / "shipped")
    file.unlink()
    model.name = "renamed"
    variants.background(model, reference, per_class=3, folders=[tmp_path / "shipped"], what=None)
    assert model.sequences == before
    variants.background(ToyModel(max_tokens=32, seed=1), reference, per_class=3, what=None)
    assert len(list((kept / "backgrounds").iterdir())) == 1


def test_background_refuses(model, reference, kept, tmp_path):
    made = variants.background(model, reference, variants.Options(scores=("llr",)), per_class=3, what=None)
    part = backgrounds.Background(made.about, made.scores[:1], made.classes, made.values[:, :1])
    for one, options, said in (
        (made, {"frames": 6}, "frames is 1 there and 6"),
        (part, {"scores": ("l2",)}, "has no l2"),
    ):
        with pytest.raises(ValueError, match=said):
            variants.Scorer(model, reference, variants.Options(**({"scores": ("llr",)} | options)), background=one)
    with pytest.raises(ValueError, match="gives fewer of"):
        variants.background(model, reference, per_class=10_000, what=None)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(made.save(tmp_path / "good.npz").read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"broken\.npz must be whole"):
        variants.Background.load(broken)


def _snvs(reference, count):
    rng = np.random.default_rng(5)
    places = rng.choice(np.arange(100, 1400), size=count, replace=False)
    bases = [reference.fetch(Interval("20", int(at), int(at) + 1)).sequence for at in places]
    alts = ["ACGT".replace(base, "")[0] for base in bases]
    return pd.DataFrame({"chrom": "chr20", "pos": places + 1, "ref": bases, "alt": alts})


def test_tables_of_every_kind_give_the_same(model, reference, tmp_path):
    table = _snvs(reference, 12).assign(id=[f"rs{n}" for n in range(12)], depth=range(12))
    frame = variants.score(model, reference, table, scores="llr", progress=None)
    assert frame[["id", "depth"]].equals(table[["id", "depth"]]) and (frame["status"] == "ok").all()
    table.rename(columns={"chrom": "#CHROM", "pos": "POS"}).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    texts = [f"{row.chrom}:{row.pos:,} {row.ref}>{row.alt}" for row in table.itertuples()]
    for what in (tmp_path / "t.tsv", str(tmp_path / "t.csv"), tmp_path / "t.parquet", texts):
        again = variants.score(model, reference, what, scores="llr", progress=None)
        np.testing.assert_allclose(again["llr"], frame["llr"])
        assert again["pos"].tolist() == frame["pos"].tolist()


def test_bad_rows_have_a_status_and_cost_nothing_else(model, reference):
    good = _snvs(reference, 3)
    rows = [("20", "x", "A", "C"), ("20", 12.5, "C", ""), ("99", 5, "G", "T")]
    bad = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"])
    both = pd.concat([bad, good, good.head(1)], ignore_index=True)
    frame = variants.score(model, reference, both, scores="llr", progress=None)
    assert frame["status"].tolist() == ["malformed", "malformed", "contig_missing", "ok", "ok", "ok", "duplicate"]
    notes = [f"POS is {pos!r}, not a whole number" for pos in ("x", "12.5")]
    assert frame["note"].tolist()[:3] == [*notes, ""]
    alone = variants.score(model, reference, good, scores="llr", progress=None)
    np.testing.assert_allclose(frame["llr"][3:6], alone["llr"], atol=1e-5)
    about = alone.attrs["scoring"]
    assert about["window_bp"] == 186 and json.loads(json.dumps(about)) == about
    assert frame["llr"][6] == pytest.approx(frame["llr"][3])
    assert len(variants.score(model, reference, good.head(0), progress=None)) == 0


def test_gaps_make_floats_of_numbers_and_are_no_letters(model, reference):
    """pandas reads a column of whole numbers with one gap as floats; a gap in REF or ALT is not the letters N, A, N."""
    good = _snvs(reference, 4).assign(chrom=[20.0, 20.0, np.nan, 20.0])
    good["pos"] = good["pos"].astype(float)
    frame = variants.score(model, reference, good, scores="llr", progress=None)
    assert frame["status"].tolist() == ["ok", "ok", "contig_missing", "ok"]
    assert frame["chrom"].tolist() == ["20", "20", "", "20"]
    assert frame["pos"].tolist() == good["pos"].astype(int).tolist()
    for gap in (None, np.nan, pd.NA, "NA", "NaN", "", "."):
        holes = _snvs(reference, 4).astype(object)
        holes.loc[0, "alt"] = holes.loc[1, "ref"] = holes.loc[2, "pos"] = gap
        found = variants.score(model, reference, holes, scores="llr", progress=None)
        assert found["status"].tolist() == ["missing", "malformed", "malformed", "ok"]
    # As R writes them.
    written = _snvs(reference, 2).assign(pos=["1e+03", "1,000"], ref=reference.fetch("20:1000-1000").sequence)
    written["alt"] = "ACGT".replace(written["ref"][0], "")[0]
    found = variants.score(model, reference, written, scores="llr", progress=None)
    assert found["status"].tolist() == ["ok", "duplicate"]


def test_a_dash_is_a_deletion_of_all_of_ref(model, reference):
    """Kircher 2019, VEP, MAF: ALT "-" takes REF away; the same as VCF's form with the base before."""
    bases = reference.fetch(Interval("20", 598, 604)).sequence  # 599 to 604, counted from 1
    dashed = pd.DataFrame({"chrom": "20", "pos": [600, 600], "ref": [bases[1], bases[1:4]], "alt": "-"})
    anchored = [f"20:599:{bases[:2]}>{bases[0]}", f"20:599:{bases[:4]}>{bases[0]}"]
    found, plain = (variants.score(model, reference, what, scores="all", progress=None) for what in (dashed, anchored))
    assert found[["status", "alt"]].to_numpy().tolist() == [["ok", "-"]] * 2
    columns = list(found.columns[9:])
    np.testing.assert_array_equal(found[columns].astype(float), plain[columns].astype(float))
    put_in = pd.concat([dashed, dashed.head(1).assign(ref="-", alt="A")], ignore_index=True)
    last = variants.score(model, reference, put_in, scores="llr", progress=None).iloc[-1]
    assert last["status"] == "malformed"
    assert "VEP puts the bases before POS and MAF after it; write the base before them" in last["note"]


def test_another_assembly_is_said_of_tables_too(model, reference):
    shifted = _snvs(reference, 60)
    shifted["pos"] += 1
    with pytest.warns(UserWarning, match=r"% of REF agree with the reference, \d+ of 60: is this another assembly\?"):
        frame = variants.score(model, reference, shifted, scores="llr", progress=None)
    # By chance some agree: they look as good as any.
    assert set(frame["status"]) == {"ok", "ref_mismatch"}


def test_table_errors_say_what_to_do(model, reference, tmp_path):
    for what, error, message in (
        (_snvs(reference, 2).drop(columns="alt"), ValueError, "it lacks alt among chrom, pos, ref"),
        (tmp_path / "gone.tsv", FileNotFoundError, r"no file .*gone\.tsv"),
        (tmp_path / "in.vcf", ValueError, "score_file for VCF"),
        ([3], TypeError, "received list"),
        ("rs334", ValueError, "rsID needs a database"),
    ):
        with pytest.raises(error, match=message):
            variants.score(model, reference, what)
