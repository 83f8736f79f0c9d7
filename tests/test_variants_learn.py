"""Learning from labelled variants: what is planted is learned out of fold, groups stay whole, files keep their lines, heads come back."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner
from variant_toy import ToyModel, another, toy_reference

from ntviz import annotation, data, finetuning, probing, variants
from ntviz.cli import app
from ntviz.finetuning.learners import Alleles, ModelLearner
from ntviz.reference import Reference
from ntviz.variants.labelled import substitution

CHROMS = tuple(str(number) for number in range(1, 8))
QUICK = {"twin": False, "what": None, "bootstrap": 40, "permutations": 20, "zero_shot": ()}


class PlantedModel(ToyModel):
    """A toy whose embedding says of each token how many of its bases are A or T: a change to A can be read on both strands."""

    def __init__(self) -> None:
        super().__init__(max_tokens=17)
        tokens = self.tokenizer.vocabulary.tokens
        self.name, self.embedding = "planted", 0.2 * self.embedding
        self.embedding[:, 0] = [
            2.0 * (token.count("A") + token.count("T")) if set(token) <= set("ACGT") else 0 for token in tokens
        ]
        self.weights = np.eye(9)[4]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), contigs=dict.fromkeys(CHROMS, 3_000))


def base(reference, chrom, pos):
    return reference.fetch(f"{chrom}:{pos}-{pos}").sequence


@pytest.fixture(scope="module")
def table(reference):
    """Substitutions of C and G: to A (1) or to each other (0); then no label, a wrong REF, the same again, and one with two labels."""
    rng, rows = np.random.default_rng(0), []
    for chrom in CHROMS:
        for pos in rng.choice(np.arange(60, 2_900), 60, replace=False).tolist():
            ref = base(reference, chrom, pos)
            if ref in "CG":
                label = int(rng.random() < 0.5)
                alt = "A" if label else "CG".replace(ref, "")
                rows.append((chrom, pos, ref, alt, label, rng.normal() + 2 * label))
    first, second = rows[0], rows[1]
    rows += [(*first[:4], np.nan, 0), first, (*second[:4], 1 - second[4], 0)]
    rows += [("1", 50, another(base(reference, "1", 50)), base(reference, "1", 50), 1, 0), ("99", 5, "A", "C", 0, 0)]
    return pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "label", "cadd"])


@pytest.fixture(scope="module")
def learned(reference, table):
    return variants.learn(
        PlantedModel(), table, reference=reference, scores={"cadd": 1}, **QUICK | {"zero_shot": ("llr", "l2")}
    )


def value(learned, score="learned", statistic="AUROC"):
    rows = learned.evaluation
    return rows[rows["score"].eq(score) & rows["statistic"].eq(statistic)].iloc[0]


def test_what_is_planted_is_learned_out_of_fold_beside_what_needs_no_training(learned, table):
    assert value(learned)["value"] > 0.95
    assert value(learned, "kmers_change")["value"] > 0.9  # the change itself says it
    assert value(learned, "kmers_window")["value"] < 0.65
    assert value(learned, "cadd")["value"] == pytest.approx(variants.auroc(*learned.table[learned.table["status"] == "ok"][["label", "cadd"]].T.to_numpy()))  # fmt: skip
    assert value(learned, "llr")["difference_high"] < 0  # a loss is a loss
    assert learned.counts == {"ok": len(table) - 6, "conflicting": 2, "no_label": 1, "duplicate": 1, "ref_mismatch": 1, "contig_missing": 1}  # fmt: skip
    assert len(learned.table) == len(table) and learned.table["learned"].notna().sum() == learned.counts["ok"]
    for part in ("AUROC", "llr: 0", "worse", "to the head", "2 conflicting", "1 no_label", "7 groups (chromosomes)"):
        assert part in learned.text
    assert "AUROC" in learned.head.statement and f"{learned.counts['ok']} variants" in learned.head.statement


def test_shuffled_labels_give_the_null(reference, table):
    clean = table.dropna()[: len(table) - 6]
    values = []
    for seed in range(3):
        shuffled = clean.assign(label=np.random.default_rng(seed).permutation(clean["label"]))
        found = variants.learn(PlantedModel(), shuffled, reference=reference, layers=[2], **QUICK)
        values.append(value(found)["value"])
    assert abs(np.mean(values) - 0.5) < 0.1 and max(values) < 0.65


def test_each_group_is_held_out_once_and_predictions_are_the_probes_by_hand(learned, reference):
    used = learned.table[learned.table["status"] == "ok"]
    assert used.groupby("group")["fold"].nunique().eq(1).all() and sorted(used["fold"].unique()) == [0, 1, 2, 3, 4]
    model, features = PlantedModel(), {}
    alleles = [variants.Allele(*row) for row in used[["chrom", "pos", "ref", "alt"]].itertuples(index=False)]
    scorer = variants.Scorer(model, reference, variants.Options("l2"))
    for layer in (1, 2):
        rows = []
        for plan in scorer.plan(alleles):
            (pair,) = plan.pairs
            first = pair.tokens[0]
            both = []
            for text in (pair.reference, pair.alternative):
                turned = text.translate(str.maketrans("ACGT", "TGCA"))[::-1]
                reads = [model.forward(model.tokenize(one), outputs=("hidden_states",)).hidden_states[0, layer] for one in (text, turned)]  # fmt: skip
                n = len(text) // 6
                both.append((reads[0][1 + first] + reads[1][1 + n - 1 - first]) / 2)  # one place further: <cls>
            rows.append(np.concatenate([both[0], both[1] - both[0]]))
        features[layer] = np.array(rows, dtype=np.float32)
    by_hand = probing.probe(features, used["label"], used["group"], kind="binary", classes=2, n_folds=5)
    np.testing.assert_allclose(used["learned"], by_hand.predicted[:, 1], atol=1e-3)
    np.testing.assert_array_equal(used["fold"], by_hand.fold)


def test_both_alleles_are_read(learned, reference):
    """With the alleles swapped the same places are no longer positive: the change is read, not the place."""
    used = learned.table[learned.table["status"] == "ok"].query("label == 1").head(20)
    forth = [variants.Allele(*row) for row in used[["chrom", "pos", "ref", "alt"]].itertuples(index=False)]
    back = [allele._replace(ref=allele.alt, alt=allele.ref) for allele in forth]
    head = learned.head.placed(PlantedModel(), reference, "flag")
    assert (head.predict(forth) > 0.5).mean() > 0.9 and (head.predict(back) < 0.5).all()


def test_a_measured_effect_is_regressed_on(reference, table):
    clean = table.dropna()[: len(table) - 6]
    effect = clean["label"] * 2.0 + np.random.default_rng(0).normal(0, 0.3, len(clean))
    found = variants.learn(PlantedModel(), clean.assign(effect=effect), reference=reference, label="effect", **QUICK)
    assert found.head.about["kind"] == "regression" and value(found, statistic="Spearman")["value"] > 0.6
    assert found.head.predict([variants.Allele(*clean.iloc[0][["chrom", "pos", "ref", "alt"]])]).shape == (1,)


def test_no_gene_and_no_base_read_is_on_both_sides():
    """Brute force: any two variants that share a gene or a base of their windows are of one region, however far the chain goes."""
    rng = np.random.default_rng(1)
    genes = annotation.read(data.bundle("genes"))
    pos = np.sort(rng.integers(500_000, 4_000_000, 150))
    table = pd.DataFrame({"chrom": "chr20", "pos": pos, "ref": "A", "alt": "C", "gene": rng.choice(["", "-", "X", "Y"], 150, p=[0.5, 0.44, 0.03, 0.03])})  # fmt: skip
    found = variants.regions(table, annotation=genes, window=2_000)
    spans = genes.table.groupby("gene_id").agg(start=("start", "min"), end=("end", "max")).to_numpy()
    holding = [set(np.flatnonzero((spans[:, 0] < at) & (at <= spans[:, 1]))) for at in pos]
    for one in range(150):
        for other in range(one):
            share = holding[one] & holding[other] or pos[one] - pos[other] < 2_000 or (table["gene"][one] in "XY" and table["gene"][one] == table["gene"][other] != "")  # fmt: skip
            assert not share or found[one] == found[other]
    assert len(set(found)) > 5
    assert (variants.regions(table.assign(chrom="20"), annotation=genes, window=2_000) == found).all()


@pytest.mark.parametrize("method", ["probe", "ia3", "lora"])
def test_a_head_comes_back_equal_and_refuses_another_model(mini, tmp_path, method):
    reference = Reference(data.bundle("chr20"))
    pos = np.arange(24) * 300_000 + 9_000_001
    ref = [base(reference, "20", at) for at in pos]
    table = pd.DataFrame(
        {"chrom": "20", "pos": pos, "ref": ref, "alt": [another(one) for one in ref], "label": np.arange(24) % 2}
    )
    table.loc[0, ["ref", "alt"]] = [ref[0] + base(reference, "20", pos[0] + 1), ref[0]]  # a deletion: two alignments
    recipe = finetuning.Recipe(steps=2, learning_rate=1e-2)
    options = variants.Options(window=60)
    how = {"reference": reference, "options": options, "recipe": recipe, "folds": 2} | QUICK
    found = variants.learn(mini, table, method, **how)
    loaded = variants.Head.load(found.head.save(tmp_path / "head"), mini, reference)
    alleles = [variants.Allele("20", int(at), one, another(one)) for at, one in zip(pos, ref, strict=True)]
    np.testing.assert_allclose(loaded.predict(alleles), found.head.predict(alleles), atol=1e-6)
    assert loaded.digest == found.head.digest and np.isfinite(found.table["learned"]).all()
    assert not list((tmp_path / "head").rglob("*.pkl")) and not list((tmp_path / "head").rglob("*.bin"))
    with pytest.raises(ValueError, match="was tuned from ntviz-mini.*Load that model"):
        variants.Head.load(tmp_path / "head", mini.random_twin(0), reference)
    with pytest.raises(ValueError, match="was tuned from ntviz-mini"):
        variants.Scorer(mini.random_twin(0), reference, options, head=found.head)


def test_adapters_begin_with_the_vectors_of_the_probe(mini):
    """The learner's [reference, alternative - reference], before training, is `Scorer.vectors`, of an indel too."""
    reference = Reference(data.bundle("chr20"))
    ref, after = base(reference, "20", 9_000_001), base(reference, "20", 9_000_002)
    alleles = [variants.Allele("20", 9_000_001, ref, another(ref)), variants.Allele("20", 9_000_001, ref + after, ref)]
    scorer = variants.Scorer(mini, reference, variants.Options("l2", window=120, region=1))

    def view(pair):
        where = scorer.compared(pair)
        return Alleles(pair.reference, pair.alternative, where.start * 6, where.stop * 6)

    changes = [tuple(map(view, plan.pairs)) for plan in scorer.plan(alleles)]
    assert [len(change) for change in changes] == [1, 2]
    learner = ModelLearner(mini, 2, per_base=False, paired=True).eval()
    found = learner.compared(learner.prepare(changes)).detach().numpy()
    vectors = scorer.vectors(alleles)[0]
    np.testing.assert_allclose(found, np.hstack([vectors[:, 0], vectors[:, 1] - vectors[:, 0]]), atol=2e-4)
    several = scorer.vectors(alleles, (2, 4))
    np.testing.assert_allclose(several[1], vectors, atol=1e-5)
    assert not np.allclose(several[0], several[1])
    with pytest.raises(ValueError, match="Changes have one label each; received kind 'per_base'"):
        finetuning.tune(mini, changes, [0, 1], kind="per_base", outputs=2)


def test_adapters_learn_what_is_planted(mini, tmp_path):
    """Changes to A against changes to other bases, in two windows of chromosome 20's bases each, by IA3."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(96)]
    labels = np.arange(96) % 2
    alts = [one[:27] + ("AAA" if label else "CGC") + one[30:] for one, label in zip(texts, labels, strict=True)]
    changes = [(Alleles(ref, alt, 24, 30),) for ref, alt in zip(texts, alts, strict=True)]
    tuned = finetuning.tune(mini, changes[:64], labels[:64], kind="binary", outputs=2, recipe=finetuning.Recipe(1e-2, steps=40, evaluate_every=20))  # fmt: skip
    predicted = tuned.predict(changes[64:])
    assert variants.auroc(labels[64:], predicted[:, 1]) > 0.95
    kept = finetuning.load(tuned.save(tmp_path / "tuned"), mini)
    np.testing.assert_allclose(kept.predict(changes[64:]), predicted, atol=1e-6)
    # Changes turned round read the other way.
    turned = [(Alleles(one.alternative, one.reference, one.start, one.end),) for (one,) in changes[64:]]
    assert not np.allclose(tuned.predict(turned), predicted, atol=0.05)


def test_the_command_adds_what_the_head_predicts_and_nothing_else(mini, tmp_path):
    reference, options = Reference(data.bundle("chr20")), variants.Options(window=60)
    pos = np.arange(20) * 300_000 + 9_000_001
    ref = [base(reference, "20", at) for at in pos]
    table = pd.DataFrame(
        {"chrom": "20", "pos": pos, "ref": ref, "alt": [another(one) for one in ref], "label": np.arange(20) % 2}
    )
    head = variants.learn(mini, table, reference=reference, options=options, folds=2, **QUICK).head
    head.save(tmp_path / "head")
    rows = [
        f"20\t{at}\tx{at}\t{one}\t{another(one)},{another(one, 2)}\t.\t.\tDP=3"
        for at, one in zip(pos, ref, strict=True)
    ]
    rows += ["20\t9000001\t.\tA\t<DEL>\t.\t.\t.", "99\t5\t.\tA\tC\t.\t.\t."]
    (tmp_path / "in.vcf").write_text(
        "\n".join(["##fileformat=VCFv4.3", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", *rows, ""])
    )
    command = [
        "score",
        str(tmp_path / "in.vcf"),
        "--out",
        str(tmp_path / "out.vcf.gz"),
        "--scores",
        "llr",
        "--window",
        "60",
        "--no-background",
    ]
    command += ["--piece", "5", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, [*command, "--head", str(tmp_path / "head")])
    assert result.exit_code == 0, result.output
    lines = gzip.decompress((tmp_path / "out.vcf.gz").read_bytes()).decode().splitlines()
    (described,) = [line for line in lines if line.startswith("##INFO=<ID=NTV_HEAD")]
    assert "Number=A,Type=Float" in described and "Learned from 20 variants (10 positive)" in described and "not shown: 20 variants" in described  # fmt: skip
    body = [line.split("\t") for line in lines if line[0] != "#"]
    alleles = [
        variants.Allele("20", int(at), one, another(one, by)) for at, one in zip(pos, ref, strict=True) for by in (1, 2)
    ]
    expected = head.predict(alleles).reshape(-1, 2)
    for fields, row, values in zip(body, rows, expected, strict=False):
        info = dict(part.partition("=")[::2] for part in fields[7].split(";"))
        np.testing.assert_allclose([float(text) for text in info["NTV_HEAD"].split(",")], values, atol=1e-4)
        kept = ";".join(part for part in fields[7].split(";") if not part.startswith("NTV_"))
        assert "\t".join([*fields[:7], kept]) == row
    assert "NTV_HEAD=" not in body[-1][7] and "NTV_STATUS=symbolic" in body[-2][7]
    # Pieces are found by content: nothing is read again, and without the head others are made.
    pieces = len(list((tmp_path / "cache").glob("*.npz")))
    again = CliRunner().invoke(app, [*command, "--head", str(tmp_path / "head"), "--overwrite"])
    assert "(0 sequences read" in again.output and len(list((tmp_path / "cache").glob("*.npz"))) == pieces
    CliRunner().invoke(app, [*command, "--overwrite"])
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 2 * pieces
    missing = CliRunner().invoke(app, [*command, "--head", str(tmp_path), "--overwrite"])
    assert missing.exit_code == 2 and "A head must hold head.npz" in " ".join(missing.output.split())


def test_an_allele_that_only_the_head_cannot_read_says_so(learned, reference):
    options = variants.Options("llr", window=18)
    scorer = variants.Scorer(PlantedModel(), reference, options, head=learned.head)
    narrow = variants.Scorer(PlantedModel(), reference, variants.Options("llr"), head=learned.head)
    long = variants.Allele("1", 300, "A" * 60, "A")
    row = narrow.score([long, variants.Allele("1", 300, base(reference, "1", 300), another(base(reference, "1", 300)))])
    assert np.isnan(row.values[0, -1]) and np.isfinite(row.values[1, -1]) and row.columns[-1] == "head"
    assert scorer.columns[-1] == "head"


NEAR = pd.DataFrame(
    {"chrom": "chr1", "pos": [1_000, 1_100, 500_000, 900_000], "ref": list("CCAC"), "alt": list("TTGT")}
)


def common(reference=None):
    rows = [("1", 900, "G", "A", 0.3), ("1", 1_050, "C", "A", 0.4), ("1", 1_000, "C", "T", 0.4), ("1", 1_200, "C", "T", 0.001), ("1", 1_300, "C", "T", 0.97),
            ("1", 450_000, "T", "C", 0.2), ("2", 900_000, "C", "T", 0.4), ("1", 1_000_001, "C", "T", 0.4)]  # fmt: skip
    return pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "AF"])


@pytest.mark.parametrize(("same", "matched"), [((), 3), (("substitution",), 2)])
def test_negatives_are_common_near_and_used_once(same, matched):
    found = variants.negatives(NEAR, common(), same=same, within=100_000)
    assert found.attrs["counts"] == {"matched": matched, "no_match": 4 - matched, "candidates": 5}
    pairs = found.dropna(subset="pair").groupby("pair")
    for _, pair in pairs:
        one, zero = pair.sort_values("label", ascending=False).to_dict("records")
        assert abs(one["pos"] - zero["pos"]) <= 100_000 and zero["apart"] == zero["pos"] - one["pos"]
        assert not same or substitution(one["ref"], one["alt"]) == substitution(zero["ref"], zero["alt"])
        assert zero["pos"] not in (1_000, 1_200, 1_300) and zero["chrom"] == "1"
    negative = found[found["label"] == 0]
    assert not negative.duplicated(["chrom", "pos", "ref", "alt"]).any()
    assert (found["status"] == "no_match").sum() == 4 - matched


def test_as_many_positives_as_can_be_get_a_negative_whatever_the_seed():
    """Brute force over all ways to give out negatives of a small set."""
    from itertools import permutations

    rng = np.random.default_rng(3)
    for seed in range(4):
        positives = pd.DataFrame(
            {"chrom": "1", "pos": rng.integers(1, 400, 5), "ref": "C", "alt": "T"}
        ).drop_duplicates("pos")
        candidates = pd.DataFrame(
            {"chrom": "1", "pos": rng.integers(1, 400, 5), "ref": "G", "alt": "C", "MAF": 0.2}
        ).drop_duplicates("pos")
        best = max(
            sum(abs(int(a) - int(b)) <= 60 for a, b in zip(positives["pos"], order, strict=False))
            for order in permutations([*candidates["pos"], *[10**9] * 5], len(positives))
        ) if seed < 2 else None  # fmt: skip
        found = variants.negatives(positives, candidates, within=60, frequency="MAF", seed=seed)
        assert best is None or found.attrs["counts"]["matched"] == best
        assert (found.dropna(subset="apart")["apart"].abs() <= 60).all()
    drawn = {tuple(variants.negatives(NEAR[:1], common(), seed=seed).query("label == 0")["pos"]) for seed in range(12)}
    assert drawn == {(900,), (1_050,)}


def test_negatives_of_the_same_consequence_come_from_a_vcf(tmp_path):
    reference, genes = Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
    simulated = variants.simulate(genes, reference, per_class=2, seed=0).query("role == 'case'")
    rows = [
        f"{row.chrom}\t{row.pos}\t.\t{row.ref}\t{row.alt}\t.\t.\tAF=0.3"
        for row in simulated.sort_values("pos").itertuples()
    ]
    (tmp_path / "c.vcf").write_text("\n".join(["##fileformat=VCFv4.3", '##INFO=<ID=AF,Number=A,Type=Float,Description="f">', "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", *rows, ""]))  # fmt: skip
    wanted = simulated[simulated["consequence"] == "missense"].head(1)
    alone = variants.negatives(wanted[["chrom", "pos", "ref", "alt"]], tmp_path / "c.vcf", within=10**8, same=["consequence"], annotation=genes, reference=reference)  # fmt: skip
    other = alone[alone["label"] == 0]
    assert variants.consequence(other, genes, reference)["consequence"].tolist() == ["missense"]


HGMD = """##fileformat=VCFv4.1
##INFO=<ID=CLASS,Number=1,Type=String,Description="c">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
1\t100\tCM1\tC\tT\t.\t.\tCLASS=DM;MUT=ALT;GENE=AGRN;STRAND=+;DNA=NM_1.1:c.5C>T;CADD=21.5
1\t200\tCM2\tC\tT\t.\t.\tCLASS=DM?;MUT=ALT;GENE=AGRN
1\t300\tCM3\tC\tT\t.\t.\tCLASS=DM;MUT=REF;GENE=AGRN
1\tx\tCM4\tC\tT\t.\t.\tCLASS=DM
1\t500\tCM5\tC\t.\t.\t.\tCLASS=DM
"""
GRASP = (
    "NHLBIkey\tSNPid(dbSNP134)\tchr(hg19)\tpos(hg19)\tPvalue\tPaperPhenotypeCategories\tdbSNPalleles/het/se\tInGene\n"
)


def test_files_as_hgmd_writes_them(tmp_path):
    (tmp_path / "h.vcf").write_text(HGMD)
    found = variants.read_labelled(tmp_path / "h.vcf", scores=["CADD"])
    assert found["status"].tolist() == ["ok", "no_label", "no_label", "malformed", "missing"]
    assert found["label"].dropna().tolist() == [1] and found["CADD"][0] == 21.5 and found["gene"][0] == "AGRN"
    assert found.attrs["counts"] == {"no_label": 2, "ok": 1, "malformed": 1, "missing": 1}


def test_tables_as_grasp_writes_them(tmp_path, reference):
    at = [base(reference, "1", pos) for pos in (100, 200, 300, 400)]
    turned = {"A": "T", "C": "G", "G": "C", "T": "A"}
    flipped = f"{turned[at[1]]}/{next(one for one in 'ACGT' if one not in (at[1], turned[at[1]]))}"
    first = f"{at[0]}/{another(at[0])};0.3;0.2"
    rows = [
        f"1\t11\t1\t100\t1e-20\tGene expression (RNA)\t{first}\tX", f"2\t11\t1\t100\t1e-30\tGene expression (RNA)\t{first}\tX",
        f"3\t12\t1\t200\t1e-15\tQuantitative trait(s);Gene expression (RNA)\t{flipped};.\tY", f"4\t13\t1\t300\t1e-5\tGene expression (RNA)\t{at[2]}/A\t",
        f"5\t14\t1\t400\t1e-50\tHeight\t{at[3]}/A\t", "6\t15\t1\t500\t1e-50\tGene expression (RNA)\t\t", "7\t16\t1\t?\t1e-50\tGene expression (RNA)\tA/C\t",
    ]  # fmt: skip
    (tmp_path / "g.txt").write_text(GRASP + "\n".join(rows) + "\n")
    found = variants.read_labelled(tmp_path / "g.txt", reference=reference, category="gene expression")
    assert found["status"].tolist() == ["ok", "ok", "above_p", "above_p", "no_alleles", "malformed"]
    assert found["id"].tolist()[:2] == ["rs11", "rs12"] and found["label"].tolist()[:2] == [1, 1]
    assert (
        found["ref"].tolist()[:2] == at[:2] and found["alt"][0] == another(at[0]) and found["alt"][1] not in (at[1], "")
    )
    with pytest.raises(ValueError, match="a reference must say it.*Pass reference=, of hg19"):
        variants.read_labelled(tmp_path / "g.txt")


def test_any_vcf_or_table_with_a_label(tmp_path, reference, table):
    (tmp_path / "v.vcf").write_text(
        HGMD.replace("CLASS=DM;", "Y=1;").replace("CLASS=DM?;", "Y=0;").replace("CLASS", "OTHER")
    )
    found = variants.read_labelled(tmp_path / "v.vcf", "Y")
    assert found["label"].tolist()[:3] == [1, 0, 1] and found["status"].tolist()[3:] == ["malformed", "missing"]
    with pytest.raises(ValueError, match="must say which INFO key is the label; v.vcf has OTHER. Pass label='KEY'"):
        variants.read_labelled(tmp_path / "v.vcf")
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    found = variants.learn(PlantedModel(), tmp_path / "t.tsv", reference=reference, scores={"cadd": 1}, **QUICK)
    assert value(found)["value"] > 0.95 and found.counts["no_label"] == 1 and found.head.about["source"] == "t.tsv"
    with pytest.raises(ValueError, match="must be columns of the table; received 'Z'"):
        variants.read_labelled(tmp_path / "t.tsv", "Z")


def test_clinvar_is_read_as_before(tmp_path):
    text = (
        HGMD.replace("CLASS=DM;", "CLNSIG=Pathogenic;")
        .replace("CLASS=DM?;", "CLNSIG=Benign;")
        .replace("ID=CLASS", "ID=CLNSIG")
    )
    (tmp_path / "c.vcf").write_text(text)
    found = variants.read_labelled(tmp_path / "c.vcf")
    assert found["label"].dropna().tolist() == [1, 0, 1] and found.attrs["counts"] == {
        "ok": 3,
        "malformed": 1,
        "missing": 1,
    }


@pytest.mark.parametrize(("change", "message"), [
    ({"method": "boost"}, "The method must be one of probe, ia3, lora; received 'boost'"),
    ({"label": "no"}, "Label, groups and scores must be columns of the table; received"),
    ({"harm": 2}, "harm must be 1 or -1; received 2"),
    ({"folds": 9, "groups": "chrom"}, "a group for each of 9 folds; received '7 by chrom'.*groups=: blocks of one locus"),
    ({"twin": True}, "The control 'twin' must have a model that can make one; planted has no random_twin. Pass twin=False"),
    ({"label": "alt"}, "Labels must be numbers.*column 'alt' holds"),
])  # fmt: skip
def test_bad_input_is_refused(reference, table, change, message):
    with pytest.raises(ValueError, match=message):
        variants.learn(PlantedModel(), table, **{"reference": reference} | QUICK | change)


def test_negatives_refuse_bad_rules():
    for change, message in (
        ({"same": ["gene"]}, "same must be among"), ({"same": ["consequence"]}, "Pass both"), ({"above": 0.6}, "from 0 to 0.5"),
        ({"frequency": "MAF"}, "Candidates must have a column of frequencies; received 'MAF'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            variants.negatives(NEAR, common(), **change)
