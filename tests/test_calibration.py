"""Calibration: tables of neutral substitutions against counting by hand, and scores that mean the same in every context."""

from __future__ import annotations

import gzip
import sys
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from splice_toy import Sites
from typer.testing import CliRunner
from variant_brute import Brute, turned
from variant_toy import ToyModel, fasta, toy_reference

from ntviz import data, variants
from ntviz.cli import app
from ntviz.reference import Reference
from ntviz.variants import backgrounds
from ntviz.variants.alleles import Allele
from ntviz.variants.calibration import CALIBRATED, CHANGES, FEWEST, Calibration, draw
from ntviz.variants.files import scorer_of

LENGTH = 4_800
ONLY = variants.Options(CALIBRATED)


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "backgrounds"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), contigs={"20": LENGTH})


@pytest.fixture
def model():
    return ToyModel(max_tokens=32)


def made(model, reference, options=ONLY, **how):
    return variants.calibration(model, reference, options, **{"per_context": 12, "what": None, **how})


@pytest.fixture(scope="module")
def found(reference, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NTVIZ_CACHE", str(tmp_path_factory.mktemp("cache")))
        return made(ToyModel(max_tokens=32), reference)


def contig_of(reference):
    return reference.fetch(reference.whole("20")).sequence


def row_by_hand(contig, pos, alt):
    """Context and alternative on the strand that has A or C in the middle; None at an end or beside N."""
    five = contig[pos - 3 : pos + 2] if pos > 2 else ""
    if len(five) < 5 or "N" in five:
        return None
    return (five, alt) if five[2] in "AC" else (turned(five), turned(alt))


def test_contexts_fold_the_strands():
    assert len(set(CHANGES)) == 1_536 and all(five[2] in "AC" and alt != five[2] for five, alt in CHANGES)
    for five, alt in CHANGES:
        assert backgrounds.folded(five, alt) == backgrounds.folded(turned(five), turned(alt)) == (five, alt)


@pytest.mark.parametrize("how", [{}, {"frames": 6}, {"both_strands": False}])
def test_the_table_equals_each_site_scored_by_itself(model, reference, how):
    options, contig = variants.Options(CALIBRATED, **how), contig_of(reference)
    most = 1 if "frames" in how else 3
    found = made(model, reference, options, per_context=most, seed=4)
    brute = Brute(model, options, 186)
    alleles, _, _ = draw(reference, 6, most, 4)
    sites = defaultdict(list)
    for allele in alleles:
        sites[row_by_hand(contig, allele.pos, allele.alt)].append(allele)
    assert [len(sites[change]) for change in CHANGES] == found.sites.tolist()
    columns = [options.columns.index(name) for name in CALIBRATED]
    some = sorted(sites, key=lambda change: -len(sites[change]))[: 3 if how else 25]
    for change in some:
        scores, tokens = [], defaultdict(float)
        for allele in sites[change]:
            scores.append(np.array(brute.row(contig, allele.pos, allele.ref, allele.alt))[columns])
        mean, row = np.mean(scores, axis=0), CHANGES.index(change)
        np.testing.assert_allclose(found.means[row], mean, atol=1e-4)
        for allele, score in zip(sites[change], scores, strict=True):
            tokens[(allele.pos - 1) // 6] += score - mean
        n, clusters = len(scores), len(tokens)
        error = np.sqrt(sum(rest**2 for rest in tokens.values()) * clusters / (clusters - 1)) / n if clusters > 1 else np.nan  # fmt: skip
        np.testing.assert_allclose(found.errors[row], error, atol=1e-4)
    # A token is read once a strand for all sites in it.
    if not how:
        assert (
            model.sequences < 2.1 * len({(allele.pos - 1) // 6 for allele in alleles}) + brute.run.cache_info().misses
        )


def test_sites_are_drawn_evenly_and_no_more_than_asked(tmp_path):
    reference = toy_reference(tmp_path, contigs={"1": 60_000, "2": 60_000})
    alleles, rows, tokens = draw(reference, 6, 20, 0)
    assert np.bincount(rows, minlength=1_536).tolist() == [20] * 1_536
    assert len(set(alleles)) == len(alleles) == len(tokens) and (np.diff(tokens) >= 0).all()
    classes = backgrounds.draw(reference, per_class=300, seed=0)[0]
    for drawn, count in ((alleles[::3], len(set(tokens))), (classes, len(classes))):
        places = np.array([one.pos + 60_000 * (one.chrom == "2") for one in drawn])
        # Evenly over both contigs: mean and spread of a uniform draw.
        assert abs(places.mean() - 60_000) < 4 * 120_000 / np.sqrt(12 * count)
        assert places.std() == pytest.approx(120_000 / np.sqrt(12), rel=0.05)


def test_scores_are_calibrated_and_ranked(model, reference, found):
    contig = contig_of(reference)
    alleles = [Allele("20", pos, contig[pos - 1], alt) for pos in range(301, 361) for alt in "ACGT" if alt != contig[pos - 1]]  # fmt: skip
    scorer = variants.Scorer(model, reference, ONLY, calibration=found)
    assert scorer.columns[-4:] == tuple(f"{name}_calibrated{end}" for name in CALIBRATED for end in ("", "_percentile"))
    scored, raw = scorer.score(alleles), variants.Scorer(model, reference, ONLY).score(alleles)
    np.testing.assert_array_equal(scored.values[:, :-4], raw.values)
    table = found.table().set_index(["context", "alt"])
    for allele, values, plain, note in zip(alleles, scored.values, raw.values, scored.notes, strict=True):
        context = row_by_hand(contig, allele.pos, allele.alt)
        line = table.loc[context]
        if line["sites"] >= FEWEST:
            assert line["bases"] == 5 and note == "" and line["llr_expected"] == line["llr_mean"]
        else:
            of_three = table[[five[1:4] == context[0][1:4] and alt == context[1] for five, alt in table.index]]
            known = of_three[of_three["sites"] > 0]
            pooled = np.average(known["llr_mean"], weights=known["sites"])
            assert line["bases"] == 3 and line["llr_expected"] == pytest.approx(pooled, abs=1e-5)
            assert note == f"calibrated on three bases: {context[0]}>{context[1]} has {line['sites']} sites"
        assert values[-4] == pytest.approx(plain[0] - line["llr_expected"], abs=1e-5)
        same = found.values[found.classes == backgrounds.CLASSES.index(line["class"]), 0]
        expected = 100 * ((same < values[-4]).mean() + (same <= values[-4]).mean()) / 2
        assert values[-3] == pytest.approx(expected)
    others = [f"20:700:{contig[699]}>{contig[699]}GA", f"20:700:{contig[699:701]}>{turned(contig[699:701][::-1])}"]
    frame = variants.score(model, reference, others, calibration=found, scores="llr", progress=None)
    assert frame["llr"].notna().all() and frame["llr_calibrated"].isna().all() and (frame["note"] == "").all()


def test_what_is_kept_are_the_residuals_or_their_quantiles(model, reference, found):
    alleles, rows, _ = draw(reference, 6, 12, 0)
    values = variants.Scorer(model, reference, ONLY).score(alleles).values[:, [0, 4]]
    expected = np.array([found.expected(*change)[0] for change in CHANGES])
    kinds = found.table()["class"].to_numpy()[rows]
    for number, kind in enumerate(backgrounds.CLASSES):
        rest = (values - expected[rows])[kinds == kind]
        mine = found.values[found.classes == number]
        of_five = (values - expected[rows])[(kinds == kind) & (found.sites[rows] >= FEWEST)]
        assert len(of_five) > 100 and (np.abs(of_five.mean(axis=0)) < 1e-3).all()  # 0 after the subtraction
        np.testing.assert_allclose(np.quantile(mine, 0.5, axis=0), np.quantile(rest, 0.5, axis=0), atol=0.02)
        if len(rest) <= 500:
            np.testing.assert_allclose(mine, np.sort(rest, axis=0), atol=1e-4)
        else:
            assert len(mine) == 500


def test_contexts_without_sites_fall_back_and_are_counted(model, tmp_path):
    # Only A and T, and one stretch with C: contexts with G or C are rare, and most have no sites at all.
    rng = np.random.default_rng(0)
    contig = (
        "".join(rng.choice(list("AT"), size=900))
        + "ATTACATTA"
        + "".join(rng.choice(list("AT"), size=405))
        + "N" * 6
        + "ATATA" * 80
    )
    reference = fasta(tmp_path / "at.fa", contig)
    found = made(model, reference)
    assert (found.sites >= FEWEST).sum() >= 40 and f"{(found.sites < FEWEST).sum():,} of 1,536" in found.statement
    cytosine = contig.index("C") + 1
    first = contig.index("N") + 1
    rows = [f"20\t{pos}\t.\t{contig[pos - 1]}\t{'G' if contig[pos - 1] != 'G' else 'A'}" for pos in (1, 2, 600, cytosine, first + 7)]  # fmt: skip
    source = tmp_path / "in.vcf"
    source.write_text("\n".join(["##fileformat=VCFv4.3", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
        *(f"{row}\t.\t.\t." for row in rows), ""]))  # fmt: skip
    scorer = variants.Scorer(model, reference, variants.Options(("llr",)), calibration=found)
    summary = variants.score_file(source, tmp_path / "out.vcf", scorer, what=None)
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("pos")
    notes = table["note"].str.split("; ").str[-1].to_dict()
    assert notes[1].startswith("not calibrated: too few sites like") and notes[600] == ""
    assert notes[2] == "calibrated on three bases: an end or N is near" == notes[first + 7]
    assert notes[cytosine].startswith("not calibrated: too few sites like")
    assert table["llr"].notna().all()
    assert table["llr_calibrated"].isna().to_dict() == {1: True, 2: False, 600: False, cytosine: True, first + 7: False}
    for said in (
        "2 substitutions calibrated on three bases: fewer than 10 sampled",
        "2 substitutions not calibrated: fewer",
    ):
        assert said in summary.text
    lines = (tmp_path / "out.vcf").read_text().splitlines()
    (about,) = (line for line in lines if line.startswith("##INFO=<ID=NTV_LLR_CAL,Number=A,Type=Float"))
    assert "sampled from at.fa without regard to effect" in about and "SNVs only" in about
    info = {line.split("\t")[1]: line.split("\t")[7] for line in lines if line[0] != "#"}
    assert ";NTV_LLR_CAL=" in info["600"] and ";NTV_LLR_CAL_PCT=" in info["600"] and "CAL" not in info[str(cytosine)]


def test_saturation_and_swapped_alleles_are_calibrated_alike(model, reference, found):
    contig = contig_of(reference)
    place = variants.saturation(model, reference, "20:601-606", calibration=found, what=None)
    table = place.table()
    rows = [f"20:{row.pos}:{row.ref}>{row.alt}" for row in table.itertuples()]
    alone = variants.score(model, reference, rows, calibration=found, scores="llr", progress=None)
    np.testing.assert_allclose(table["llr_calibrated"], alone["llr_calibrated"], atol=1e-5)
    assert (place.llr_calibrated[np.arange(6), ["ACGT".index(base) for base in place.sequence]] == 0).all()
    plain = variants.saturation(model, reference, "20:601-606", what=None)
    assert plain.llr_calibrated is None and "llr_calibrated" not in plain.table()
    # A REF that is not the reference's stands in its place: the context is that of the record.
    ref = "ACGT".replace(contig[600], "")[0]
    flagged = Allele("20", 601, ref, contig[600])
    options = variants.Options(("llr",), on_mismatch="flag")
    values = variants.Scorer(model, reference, options, calibration=found).score([flagged]).values[0]
    mean, _ = found.expected(contig[598:600] + ref + contig[601:603], contig[600])
    assert values[-2] == pytest.approx(values[0] - mean[0], abs=1e-5)


def test_it_is_kept_by_content_and_goes_on_where_it_stopped(model, reference, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["ntviz.variants.calibration"], "_PIECE", 600)
    forward, calls = ToyModel.forward, []

    def failing(self, *words, **options):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return forward(self, *words, **options)

    monkeypatch.setattr(ToyModel, "forward", failing)
    with pytest.raises(KeyboardInterrupt):
        made(model, reference, per_context=2)
    (parts,) = kept.iterdir()
    assert parts.suffix == ".parts" and len(list(parts.iterdir())) > 1
    read = model.sequences
    found = made(model, reference, per_context=2)
    (file,) = kept.iterdir()
    again = ToyModel(max_tokens=32)
    again.name = "renamed"
    assert (
        made(again, reference, per_context=2).digest == found.digest == Calibration.load(file).digest
        and again.sequences == 0
    )
    rest = model.sequences - read
    file.unlink()
    np.testing.assert_array_equal(made(again, reference, per_context=2).means, found.means)
    assert read > 0 and again.sequences > rest
    made(again, fasta(tmp_path / "other.fa", "ACGTTGCAGA" * 60), per_context=2)
    made(ToyModel(max_tokens=32, seed=1), reference, per_context=1)
    assert len(list(kept.iterdir())) == 3


def test_what_does_not_fit_is_refused(model, reference, found):
    for options, said in (
        ({"frames": 6}, "A calibration must be .*frames is 1 there and 6 here.*variants.calibration"),
        ({"scores": "l2"}, r"llr and base_llr; received l2 alone\. Add one of them to scores \(--scores\)"),
    ):
        with pytest.raises(ValueError, match=said):
            variants.score(model, reference, "20:100:A>C", calibration=found, progress=None, **options)
    variants.Scorer(model, reference, variants.Options(layer=1, region="window"), calibration=found)
    with pytest.raises(ValueError, match="with a splice network"):
        scorer_of(Sites(), reference, calibration=found)
    tiny = made(model, fasta(reference.path.with_name("tiny.fa"), "ACGTA"))
    assert tiny.sites.sum() == 0 and tiny.expected("ACGTA", "A")[1] == "not calibrated: too few sites like TACGT>T"
    with pytest.raises(ValueError, match="at least 1 site; received 0"):
        made(model, reference, per_context=0)
    with pytest.raises(ValueError, match="weights_sha256"):
        made(type("Bare", (ToyModel,), {"info": {}})(max_tokens=32), reference)


def test_the_shipped_table_brings_cpg_back_to_zero(mini, kept):
    reference = Reference(data.bundle("chr20"))
    found = variants.calibration(mini, reference, folders=[data.bundle("backgrounds")], what=None)
    assert not kept.exists() and found.sites.min() > 60
    # Held out: drawn with another seed. Means are over sites far apart, so they are independent.
    alleles, classes = backgrounds.draw(reference, per_class=60, seed=77)
    for kind, before in (("CpG>TpG", 5), ("A>G", 0)):
        mine = [allele for allele, number in zip(alleles, classes, strict=True) if backgrounds.CLASSES[number] == kind]
        scorer = variants.Scorer(mini, reference, variants.Options(("llr",)), calibration=found)
        values = scorer.score(mine).values
        raw, calibrated = values[:, 0], values[:, scorer.columns.index("llr_calibrated")]
        error = calibrated.std(ddof=1) / np.sqrt(len(mine))
        assert abs(raw.mean()) > before * error and abs(calibrated.mean()) < 3 * error
        assert abs(values[:, -1].mean() - 50) < 3 * 100 / np.sqrt(12 * len(mine))


def test_the_command_calibrates(tmp_path):
    reference = Reference(data.bundle("chr20"))
    ref = reference.fetch("20:43042364-43042364").sequence
    source = tmp_path / "in.vcf"
    source.write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"20\t43042364\t.\t{ref}\t{'T' if ref != 'T' else 'A'}\t.\t.\t.\n")  # fmt: skip

    def asked(*words):
        return CliRunner().invoke(app, ["score", str(source), "--calibrate", *words])

    done = asked("--out", str(tmp_path / "out.vcf.gz"), "--scores", "llr", "--no-table")
    assert done.exit_code == 0, done.stderr
    text = gzip.decompress((tmp_path / "out.vcf.gz").read_bytes()).decode()
    assert "NTV_LLR_CAL=" in text and "NTV_LLR_CAL_PCT=" in text and "--calibrate" in text
    for words, said in (
        (("--scores", "l2"), "Add one of them to scores (--scores)"),
        (("--model", "ci-spliceai"), "but calibrate came"),
    ):
        done = asked("--out", str(tmp_path / "other.vcf"), *words)
        assert done.exit_code == 2 and said in done.stderr
