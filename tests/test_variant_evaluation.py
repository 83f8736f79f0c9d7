"""Rank statistics against the plain definitions, intervals, nulls, strata, and tables of known effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntviz import variants

DRESSES = (
    list, lambda y: y == 1, lambda y: y.astype(float), lambda y: y.astype(object),
    lambda y: pd.Series(y, index=range(len(y))[::-1]), lambda y: pd.Series(y == 1).astype("boolean"),
)  # fmt: skip


@pytest.mark.parametrize("dress", DRESSES)
def test_statistics_take_labels_in_every_dress(dress):
    """Beside scikit-learn."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 30), rng.normal(size=30).round(1)
    assert variants.auroc(dress(labels), list(scores)) == pytest.approx(roc_auc_score(labels, scores))
    precision = average_precision_score(labels, scores)
    assert variants.auprc(dress(labels), pd.Series(scores)) == pytest.approx(precision)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        (["0", "1", "1"], [1, 2, 3], "must be numbers or booleans, none missing; received text"),
        (pd.Series(["0", "1", "1"]), [1, 2, 3], "received text"),
        (["benign", "pathogenic", "benign"], [1, 2, 3], "such as by label == 'pathogenic'"),
        ([-1, 1, 1], [1, 2, 3], "Labels must be 0 and 1 or booleans; received -1"),
        ([0, np.nan, 1], [1, 2, 3], "1 of 3 are missing, the first at index 1"),
        ([0, None, 1], [1, 2, 3], "1 of 3 are missing, the first at index 1"),
        (pd.Series([0, None, 1], dtype="Int64"), [1, 2, 3], "1 of 3 are missing|none missing"),
        ([0, 1, 1], [1, 2, np.nan], "1 of 3 are missing, the first at index 2"),
        ([0, 1], [1, 2, 3], r"one label for each score; received shapes \[2\] and \[3\]"),
        ([[0], [1], [1]], [1, 2, 3], r"received shapes \[3, 1\] and \[3\]"),
    ],
)
def test_statistics_of_what_is_no_label_are_refused(labels, scores, message):
    for measure in (variants.auroc, variants.auprc, *([variants.spearman] if "missing" in message else [])):
        with pytest.raises(ValueError, match=message):
            measure(labels, scores)


@pytest.fixture
def table():
    """Three hundred variants of thirty genes, a score that knows the label, and one that does not."""
    rng = np.random.default_rng(0)
    genes = np.repeat([f"g{number}" for number in range(30)], 10)
    labels = rng.random(300) < 0.5
    scores = {"good": labels + rng.normal(size=300), "blind": rng.normal(size=300)}
    kind = np.where(np.arange(300) < 280, "missense", "stop")
    return pd.DataFrame({"gene": genes, "pathogenic": labels.astype(float), **scores, "kind": kind})


def test_a_score_that_knows_and_one_that_does_not(table):
    found = variants.evaluate(table, "pathogenic", {"good": 1, "blind": 1}, baseline="blind", bootstrap=200)
    rows = found.set_index(["score", "statistic"])
    good, blind = rows.loc[("good", "AUROC")], rows.loc[("blind", "AUROC")]
    assert good["value"] == pytest.approx(variants.auroc(table["pathogenic"], table["good"]))
    assert good["high"] > good["value"] > good["low"] > good["null_high"] > 0.5 > good["null_low"]
    assert blind["null_low"] < blind["value"] < blind["null_high"]
    assert good["difference_low"] > 0 and np.isnan(blind["difference"])
    assert (good["n"], good["groups"], good["missing"]) == (300, 30, 0)
    # The direction is decided before looking: the wrong one is told as it is.
    turned = variants.evaluate(table, "pathogenic", {"good": -1}, bootstrap=20)
    assert turned.loc[turned["statistic"] == "AUROC", "value"].iloc[0] == pytest.approx(1 - good["value"])


def test_intervals_are_over_genes(table):
    # One gene repeated: as variants there are many, as genes few.
    copied = pd.concat([table] * 5, ignore_index=True)
    tables = (copied, copied.drop(columns="gene"))
    by_gene, by_row = (variants.evaluate(one, "pathogenic", {"good": 1}, bootstrap=300).iloc[0] for one in tables)
    assert by_gene["high"] - by_gene["low"] > 1.5 * (by_row["high"] - by_row["low"])


def test_small_strata_are_not_shown_and_what_is_missing_is_counted(table):
    few = variants.severity(pairs(0.3, each=20), {"score": 1}, bootstrap=20)
    assert few["note"].tolist()[:3] == ["not shown: 20 pairs"] * 3
    holes = table.copy()
    holes.loc[:19, "blind"] = holes.loc[290:, "pathogenic"] = np.nan
    counted = variants.evaluate(holes, "pathogenic", {"good": 1, "blind": 1}, bootstrap=20)
    assert (set(counted["n"]), set(counted["missing"])) == ({270}, {20})
    found = variants.evaluate(table, "pathogenic", {"good": 1}, strata="kind", bootstrap=20)
    found = found.set_index("stratum")
    assert found.loc["stop", "note"].startswith("not shown: 20 variants") and np.isnan(found.loc["stop", "value"])
    assert set(found.loc["missense", "note"]) == {""}
    few = table.assign(pathogenic=[1.0] * 5 + [0.0] * 295)
    assert "5 of the rarer label" in variants.evaluate(few, "pathogenic", {"good": 1})["note"][0]


def test_the_table_to_read_says_the_same(table):
    found = variants.evaluate(table, "pathogenic", {"good": 1, "blind": 1}, strata="kind", bootstrap=20)
    read = variants.brief(found)
    row = found.iloc[0]
    assert read.loc["good", "all (300)"] == f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    assert (read.index.tolist(), read.columns.tolist()) == (["good", "blind"], ["all (300)", "missense (280)"])
    assert [text.split(",")[0] for text in read.attrs["not_shown"]] == ["stop 20 variants"]
    assert set(variants.SCORES) < set(variants.HARM)


def test_measured_effects_are_ranked(table):
    effects = table.assign(effect=table["good"] * 2 + 1)
    found = variants.evaluate(effects, "effect", {"good": 1, "blind": 1}, bootstrap=50)
    assert set(found["statistic"]) == {"Spearman"} and found["value"][0] == pytest.approx(1)
    assert found["null_low"][1] < found["value"][1] < found["null_high"][1]


def test_evaluation_refuses(table):
    words, infinite = (table.assign(label=table["pathogenic"].astype(object)) for _ in range(2))
    words.loc[3, "label"], infinite.loc[3, "label"] = "benign", np.inf
    for rows, label, scores, options, message in (
        (table, "pathogenic", {"cadd": 1}, {}, "received 'cadd'"),
        (table, "pathogenic", {"good": 1}, {"baseline": "cadd"}, "received 'cadd'"),
        (table, "pathogenic", {"good": 2}, {}, "direction must be 1 or -1"),
        (words, "label", {"good": 1}, {}, "column 'label' holds text .*'benign'"),
        (infinite, "label", {"good": 1}, {}, "1 of column 'label' are infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            variants.evaluate(rows, label, scores, **options)
    with pytest.raises(ValueError, match="without pair, role"):
        variants.severity(table, {"good": 1})


def pairs(effect, context_effect=0.0, each=40):
    """Simulated pairs whose score knows severity by `effect`, and the bases by `context_effect`."""
    rng = np.random.default_rng(1)
    rows = []
    for rank, name in ((0, "splice_acceptor"), (7, "missense"), (15, "intergenic")):
        for number in range(each):
            pair, shared = len(rows) // 2, context_effect * -rank + rng.normal()
            case = (pair, "case", name, rank, f"g{rank}_{number // 2}", shared - effect * rank + 0.3 * rng.normal())
            rows += [case, (pair, "control", "intergenic", 15, "", shared + 0.3 * rng.normal())]
    return pd.DataFrame(rows, columns=["pair", "role", "consequence", "rank", "gene", "score"])


@pytest.mark.parametrize(
    ("effect", "context", "raw", "matched"), [(0.3, 0.0, True, True), (0.0, 0.3, True, False), (0.0, 0.0, False, False)]
)
def test_severity_tells_consequence_from_bases(effect, context, raw, matched):
    found = variants.severity(pairs(effect, context), {"score": 1}, bootstrap=200)
    last = found[found["consequence"] == "rank correlation"].iloc[0]
    assert (last["raw_low"] > 0) == raw and (last["matched_low"] > 0) == matched
    grave = found[found["consequence"] == "missense"].iloc[0]
    assert grave["difference"] == pytest.approx(effect * -7, abs=0.25)
    assert grave["case_q1"] <= grave["case_median"] <= grave["case_q3"]


HEAD = "##fileformat=VCFv4.1\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def test_clinvar_as_ncbi_writes_it(tmp_path):
    lines = [
        ("Pathogenic", "BRCA1:672|NBR2:10230"),
        ("Likely_benign", "TTN:7273"),
        ("Pathogenic/Likely_pathogenic", "TTN:7273"),
        ("Conflicting_classifications_of_pathogenicity", "TTN:7273"),
        ("Uncertain_significance", "TTN:7273"),
        ("Benign/Likely_benign|association", "TTN:7273"),
        ("Benign,Pathogenic", "TTN:7273"),
    ]
    rows = (
        f"{number}\tA\tC\t.\t.\tCLNSIG={one};CLNVC=snv;GENEINFO={gene}\n" for number, (one, gene) in enumerate(lines)
    )
    text = HEAD + "".join(f"1\t{100 + number}\t{row}" for number, row in enumerate(rows))
    (tmp_path / "c.vcf").write_text(text + "1\t900\t9\tA\tC\t.\t.\tALLELEID=4\n1\tbroken\n")
    table = variants.read_clinvar(tmp_path / "c.vcf")
    assert table["pathogenic"].tolist() == [1, 0, 1, 0]
    assert table["gene"].tolist() == ["BRCA1", "TTN", "TTN", "TTN"]
    counts = {"pathogenic": 2, "benign": 2, "conflicting": 2, "uncertain or other": 1, "no CLNSIG": 1, "malformed": 1}
    assert table.attrs["counts"] == counts


def test_clinvar_before_2017_has_numbers_of_alleles(tmp_path):
    # Codes and CLNALLE as the header of clinvar_20160502.vcf states them: 0 uncertain, 1 not provided, 2 benign, 3 likely
    # benign, 4 likely pathogenic, 5 pathogenic, 255 other; CLNALLE is 0 for REF and -1 for an allele that is not in the line.
    lines = [
        ("A", "C", "1", "5", [1]),
        ("A", "C", "1", "4|5", [1]),
        ("A", "C,G,T", "3,1", "5,2", [0, 1]),
        ("A", "C", "0", "5", []),
        ("A", "C,G", "-1,2", "5,3", [0]),
        ("A", "C", "1", "2|5", []),
        ("A", "C", "1", "0|255", []),
    ]
    rows = [
        f"1\t{100 + number}\t.\t{ref}\t{alt}\t.\t.\tGENEINFO=TTN:7273;CLNALLE={allele};CLNSIG={significance}\n"
        for number, (ref, alt, allele, significance, _) in enumerate(lines)
    ]
    (tmp_path / "c.vcf").write_text("\ufeff" + HEAD + "".join(rows))
    table = variants.read_clinvar(tmp_path / "c.vcf")
    expected = [(100 + number, kind) for number, line in enumerate(lines) for kind in line[-1]]
    assert list(zip(table["pos"], table["pathogenic"], strict=True)) == expected
    assert table["alt"].tolist() == ["C", "C", "C", "T", "G"] and table.attrs["counts"]["conflicting"] == 1


def test_clinvar_without_a_clear_verdict_says_what_it_holds(tmp_path):
    record = "1\t5\t.\tA\tC\t.\t.\t"
    for lines, message in (
        (record + "CLNSIG=Uncertain_significance\n", "holds 1 uncertain or other, the first 'Uncertain_"),
        (record + "CLNSIG=7\n1 6 . A C\n", "holds 1 uncertain or other, 1 malformed, the first '7'"),
        (record + "AF=4\n", "holds 1 no CLNSIG. Fetch one"),
        ("", "holds no variant. Fetch one"),
    ):
        (tmp_path / "c.vcf").write_text(HEAD + lines)
        with pytest.raises(ValueError, match=f"must have CLNSIG in its INFO that says .*c.vcf {message}"):
            variants.read_clinvar(tmp_path / "c.vcf")


def test_measured_effects(tmp_path):
    path = tmp_path / "m.tsv"
    head = "Chrom\tPos\tRef\tAlt\tBarcodes\tCoefficient\tpValue\n"
    path.write_text(head + "20\t5\tA\tC\t9\t-0.5\t0.1\n20\t6\tG\t-\t9\t0.5\t0.1\n")
    table = variants.read_mpra(path)
    assert table[["chrom", "pos", "ref", "alt", "effect"]].to_numpy().tolist() == [["20", 5, "A", "C", -0.5]]
    assert table.attrs["counts"] == {"substitutions": 1, "left out": 1}
    # As R writes it, and a spreadsheet saves it.
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_text(head + "20\t1e+05\tA\tC\t9\tNA\t0.1\n20\tNA\tA\tC\t9\t1\t0.1\n", encoding=encoding)
        table = variants.read_mpra(path)
        assert (table["pos"].tolist(), table["effect"].isna().tolist()) == ([100_000], [True])
        assert table.attrs["counts"] == {"substitutions": 1, "left out": 1}
    path.write_text("Chrom\tPos\n")
    with pytest.raises(ValueError, match="lacks Ref, Alt"):
        variants.read_mpra(path)
