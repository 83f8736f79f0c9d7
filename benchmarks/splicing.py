"""A splice network on chromosome 20: sites of whole genes, what a site is made of, ClinVar's splice regions, seconds.

    python benchmarks/splicing.py [topk|motifs|clinvar|speed] [--model ci-spliceai | FOLDER] [--sites 50]

Without a part all four, about 8 minutes of one core. Beside the network: the randomly initialised one, shuffled genes, and a
position-weight matrix of the sites of other genes, which is what it must beat. FOLDER is the package spliceai 1.3.1, unpacked.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from timeit import timeit
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score

from ntviz import annotation, attribution, data, models, variants
from ntviz.genome import Interval
from ntviz.genome.sequence import BASES, one_hot, shuffle
from ntviz.models.peers.spliceai import SpliceModel
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.splice import Gene, genes_of

TRAINED = "Chromosome 20 is training data of CI-SpliceAI and SpliceAI: what they learned, no held-out accuracy"
GENES, SEED = 24, 3  # drawn of those of 4 to 16 kb with 4 exons or more
FLANK, DRAWS, TWIN_SITES = 5_000, 1_000, 4
SITES = {"acceptor": attrgetter("acceptors"), "donor": attrgetter("donors")}
JUNCTION = {"acceptor": 0, "donor": 1}  # from a site's base to the first one behind the junction
MATRIX = {"acceptor": (20, 3), "donor": (3, 6)}  # bases before and behind the junction
REGION = {"acceptor": (25, 5), "donor": (3, 6)}
CORE = {"acceptor": (-2, -1), "donor": (1, 2)}
CLINVAR = Path(__file__).resolve().parents[2] / "shared" / "data" / "clinvar_2016-05_grch37_chr20.vcf.gz"


def transcripts() -> annotation.Annotation:
    """The exons of canonical transcripts alone, as SpliceAI's tool has them: rows of genes reach over all isoforms."""
    table = annotation.read(data.bundle("genes")).table
    return annotation.from_table(table[table["element"] == "exon"])


def chosen() -> tuple[list[Gene], list[Gene]]:
    """The genes that are measured, and those that do not overlap them."""
    every = genes_of(transcripts())["20"]
    fit = [gene for gene in every if 4_000 <= gene.end - gene.start <= 16_000 and len(gene.donors) >= 3]
    some = [fit[i] for i in np.random.default_rng(SEED).choice(len(fit), GENES, replace=False)]
    return some, [g for g in every if not any(g.start < one.end and one.start < g.end for one in some)]


def topk(model: SpliceModel, reference: Reference, _: argparse.Namespace) -> None:
    """Share of sites among as many best positions, and average precision, beside the controls."""
    genes, apart = chosen()
    spans = [[Interval("20", gene.start, gene.end) for gene in part] for part in (genes, apart)]
    given, known = ([reference.fetch(span).sequence for span in part] for part in spans)
    shuffled = [shuffle(text, seed=i) for i, text in enumerate(given)]
    which = np.repeat(np.arange(GENES), [len(text) for text in given])
    rows = []
    for name, read, texts in (
        (model.name, partial(predicted, model), given),
        ("randomly initialised model", partial(predicted, model.random_twin()), given),
        ("shuffled dinucleotides", partial(predicted, model), shuffled),
        ("position-weight matrix", partial(matched, matrices(apart, known)), given),
    ):
        scores = [read(gene, text) for gene, text in zip(genes, texts, strict=True)]
        for kind in SITES:
            values = np.concatenate([one[kind] for one in scores])
            labels = np.concatenate([np.isin(np.arange(g.start, g.end), SITES[kind](g)) for g in genes])
            row = {"scores of": name, "site": kind, "top-k": top_k(values, labels, which)}
            row["AUPRC"] = average_precision_score(labels, values)
            if name != "position-weight matrix":
                row |= {"p > 0.5": f"{(values > 0.5).sum()}", "sites": f"{labels[values > 0.5].sum()}"}
            rows.append(row)
    print(f"{GENES} genes, {len(which):,} bp, {labels.sum()} acceptors and donors each; N outside the gene")
    print(f"matrix: sites of {len(apart)} genes that overlap none of them; 95 % of {DRAWS:,} draws of genes")
    show(rows)


def predicted(model: SpliceModel, gene: Gene, text: str) -> dict[str, np.ndarray]:
    """Probabilities of sites at each base."""
    found = model.predict(text, flanks="N", strand=gene.strand)
    return {"acceptor": found.acceptor[0], "donor": found.donor[0]}


def around(gene: Gene, text: str, kind: str) -> np.ndarray:
    """One-hot bases [base, letter, position] on the gene's strand that a matrix sees at each base."""
    before, behind = MATRIX[kind]
    way = slice(None, None, 1 if gene.strand == "+" else -1)
    padded = np.pad(one_hot(text)[way, way], ((before - JUNCTION[kind], behind), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, before + behind, axis=0)[: len(text)][way]


def matrices(genes: Sequence[Gene], texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Log-odds [letter, position] of the bases around sites against those of whole genes, with one pseudocount."""
    found = {}
    for kind in MATRIX:
        counts, every = np.ones((4, sum(MATRIX[kind]))), np.zeros((4, 1))
        for gene, text in zip(genes, texts, strict=True):
            windows = around(gene, text, kind)
            counts += windows[SITES[kind](gene) - gene.start].sum(0)
            every += windows[:, :, :1].sum(0)
        found[kind] = np.log(counts / counts.sum(0) / (every / every.sum()))
    return found


def matched(weights: dict[str, np.ndarray], gene: Gene, text: str) -> dict[str, np.ndarray]:
    """Log-odds by the matrices at each base."""
    return {kind: np.einsum("nbw,bw->n", around(gene, text, kind), weights[kind]) for kind in MATRIX}


def top_k(scores: np.ndarray, labels: np.ndarray, which: np.ndarray) -> str:
    """Share of sites among the k best positions, k being the number of sites, with its interval over genes."""
    order = np.argsort(-scores, kind="stable")
    labels, which = labels[order], which[order]

    def share(draw: np.ndarray) -> float:
        times = np.bincount(draw, minlength=GENES)[which]
        k = int(times[labels].sum())
        last = np.searchsorted(np.cumsum(times), k, side="right")
        return float(times[:last][labels[:last]].sum() / k)

    return over_genes(share, GENES)


def over_genes(statistic: Callable[[np.ndarray], float], n: int) -> str:
    """A statistic of n genes with its 95 % interval when genes are drawn again."""
    draws = np.random.default_rng(0).integers(0, n, (DRAWS, n))
    low, high = np.nanpercentile([statistic(draw) for draw in draws], [2.5, 97.5])
    return f"{statistic(np.arange(n)):.3f} [{low:.3f}, {high:.3f}]"


def motifs(model: SpliceModel, reference: Reference, options: argparse.Namespace) -> None:
    """Loss of log-odds by position, and by the randomly initialised model at the first of the sites."""
    for kind, (before, behind) in REGION.items():
        every = [(gene, int(place)) for gene in chosen()[0] for place in SITES[kind](gene)]
        drawn = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, options.sites).astype(int))]
        spans = [Interval("20", place - FLANK, place + FLANK + 1, gene.strand) for gene, place in drawn]
        windows = [reference.fetch(span).sequence for span in spans]
        target, start = attribution.SpliceSite(kind, FLANK), FLANK + JUNCTION[kind] - before
        region = (start, start + before + behind)
        places = np.array([*range(-before, 0), *range(1, behind + 1)])
        clear = [w for w in windows if attribution.ask(model, [w], target)[0] > np.log(0.1 / 0.9)]
        table, notes = {"position": [f"{place:+d}" for place in places]}, []
        random = ("randomly initialised", model.random_twin(), clear[:TWIN_SITES])
        for name, network, texts in ((model.name, model, clear), random):
            losses = [-attribution.mutagenesis(network, text, target, region=region) for text in texts]
            means = np.stack(losses).sum(2) / 3
            best = (np.sort(places[np.argsort(-means, axis=1)[:, :2]], axis=1) == CORE[kind]).all(1).sum()
            table[f"{name} ({len(texts)})"] = means.mean(0)
            notes.append(f"{name}: {'{:+d}, {:+d}'.format(*CORE[kind])} strongest in {best} of {len(texts)}")
            if kind == "acceptor":
                notes += tract(losses, [text[start - 1 : region[1] + 1] for text in texts], places)
        print(f"{len(clear)} of {len(windows)} {kind}s have p > 0.1; loss of log-odds, nats, mean of changes")
        show(table)
        print("\n".join(notes))


def tract(losses: Sequence[np.ndarray], texts: Sequence[str], places: np.ndarray) -> list[str]:
    """What changes of the polypyrimidine tract and new AGs cost; texts have one base more at each end."""
    rows = [
        (at, text[i + 1] in "CT", other in "CT", "AG" in (other + text[i + 2], text[i] + other), loss[i, j])
        for loss, text in zip(losses, texts, strict=True)
        for i, at in enumerate(places)
        for j, other in enumerate(BASES)
        if other != text[i + 1]
    ]
    table = pd.DataFrame(rows, columns=["place", "before", "after", "new", "loss"])
    groups = {
        "pyrimidine to purine": "-20 <= place <= -5 and before and not after",
        "the same without a new AG": "-20 <= place <= -5 and before and not after and not new",
        "pyrimidine to pyrimidine": "-20 <= place <= -5 and before and after",
        "purine to pyrimidine": "-20 <= place <= -5 and not before and after",
        "a new AG in -18 to -4": "-18 <= place <= -4 and new",
    }
    found = {name: table.query(rule)["loss"] for name, rule in groups.items()}
    return [f"  {name}: {values.mean():.2f} (n {len(values)})" for name, values in found.items()]


def clinvar(model: SpliceModel, reference: Reference, options: argparse.Namespace) -> None:
    """AUROC of the largest delta, pathogenic against benign, by part of the splice region."""
    if not options.clinvar.is_file():
        print(f"There is no {options.clinvar}: give a VCF of ClinVar on GRCh37 by --clinvar.")
        return
    table, genes = variants.read_clinvar(options.clinvar), transcripts()
    terms = table["significance"].str.lower().str.split(r"[,|/]").map(set)
    sides = {"pathogenic", "likely_pathogenic"}, {"benign", "likely_benign"}
    single = np.array([any(given <= side for side in sides) for given in terms])
    table = table[single & (table["ref"].str.len() == 1) & (table["alt"].str.len() == 1)]
    known = genes_of(genes)["20"]
    table[["part", "host"]] = [part_of(int(pos) - 1, known) for pos in table["pos"]]
    table = table[table["part"] != ""].copy()
    alleles = [Allele("20", row.pos, row.ref, row.alt) for row in table.itertuples()]
    once = cache(lambda text, shape: model.probabilities(np.frombuffer(text, np.float32).reshape(shape).copy()))
    kept = SimpleNamespace(name=model.name, info=model.info, context=FLANK)  # two masks cost one reading
    kept.probabilities = lambda bases: once(bases.tobytes(), bases.shape)
    for mask in ("position", "nearest"):
        scored = variants.SpliceScorer(kept, reference, genes, mask=mask).score(alleles)
        table[["unmasked", f"mask {mask}"]] = scored.values[:, :2]
    table["position alone"] = (table["part"] == "essential").astype(float)
    rows = []
    for name in ("", "essential|intronic", "essential", "intronic", "exonic"):
        some = table[table["part"].str.contains(name)]
        bad = some["pathogenic"] == 1
        row = {"part": name or "all", "P": bad.sum(), "B": (~bad).sum(), "genes": some["host"].nunique()}
        for score in ("unmasked", "mask position", "mask nearest", "position alone"):
            row[score] = ranked(some, score)
        for least in (0.2, 0.5):
            above = some["unmasked"] >= least
            row[f"P, B >= {least}"] = f"{(bad & above).sum()}, {(~bad & above).sum()}"
        rows.append(row)
    print(f"{len(table)} single-class SNVs, {scored.statuses.count('ok')} scored; AUROC of the largest delta")
    print("essential: 1 or 2 bases into the intron; intronic: 3 to 8; exonic: 3 bases; 95 %: draws of genes")
    show(rows)


def part_of(position: int, genes: Sequence[Gene]) -> tuple[str, str]:
    """The part of a splice region at a position (0-based), and the gene; empty outside."""
    near = [(9, "", "")]
    for gene in (gene for gene in genes if gene.start <= position < gene.end):
        for sites, into in ((gene.donors, 1), (gene.acceptors, -1)):
            for depth in (position - sites) * into * (1 if gene.strand == "+" else -1):
                if 1 <= depth <= 8:
                    near.append((int(depth), "essential" if depth <= 2 else "intronic", gene.name))
                elif -3 < depth <= 0:
                    near.append((1 - int(depth), "exonic", gene.name))
    return min(near)[1:]


def ranked(table: pd.DataFrame, score: str) -> str:
    """AUROC with its interval over genes."""
    if table["pathogenic"].nunique() < 2:
        return f"all >= {table[score].min():.2f}"
    groups = [group[["pathogenic", score]].to_numpy() for _, group in table.groupby("host")]
    return over_genes(lambda draw: variants.auroc(*np.concatenate([groups[i] for i in draw]).T), len(groups))


def speed(model: SpliceModel, reference: Reference, _: argparse.Namespace) -> None:
    """CPU seconds of one thread, and how many times faster mutagenesis is than whole predictions."""
    gene = chosen()[0][0]
    site, target = int(gene.donors[0]), attribution.SpliceSite("donor", FLANK)
    wide = reference.fetch(Interval("20", site - 2 * FLANK, site + 2 * FLANK)).sequence
    allele = Allele("20", site + 1, wide[2 * FLANK], "C" if wide[2 * FLANK] == "A" else "A")
    scorer = variants.SpliceScorer(model, reference, transcripts())
    text = reference.fetch(Interval("20", site - FLANK, site + FLANK + 1, gene.strand)).sequence
    changed = [text[:FLANK] + other + text[FLANK + 1 :] for other in BASES]
    region = (FLANK - 2, FLANK + 7)
    mutants = 3 * (region[1] - region[0])
    seconds = partial(timeit, timer=time.process_time, number=1)
    fast = seconds(lambda: attribution.mutagenesis(model, text, target, region=region))
    slow = seconds(lambda: [model.predict(one) for one in changed]) / len(changed) * (mutants + 1)
    whole = np.array([model.predict(one).donor[0, 0] for one in changed])
    apart = np.abs(1 / (1 + np.exp(-attribution.ask(model, changed, target))) - whole).max()
    print(f"10 kb of output: {seconds(lambda: model.predict(wide)):.2f} CPU s, one thread")
    print(f"an SNV, both alleles, 50 bp on each side: {seconds(lambda: scorer.effects(allele)):.2f} CPU s")
    print(f"{mutants} changes of a donor: mutagenesis {fast:.2f} CPU s, whole predictions {slow:.1f} CPU s")
    print(f"  ratio {slow / fast:.1f}; largest difference of {len(changed)} probabilities {apart:.1e}")


def show(rows: Any) -> None:
    """A plain table."""
    print(pd.DataFrame(rows).to_string(index=False, na_rep="", float_format="{:.3f}".format))


PARTS = {"topk": topk, "motifs": motifs, "clinvar": clinvar, "speed": speed}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--model", default="ci-spliceai")
    parser.add_argument("--sites", type=int, default=12, help="donors and acceptors that are changed")
    parser.add_argument("--clinvar", type=Path, default=CLINVAR)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pd.set_option("display.width", 250)
    model, reference = models.load(options.model, device="cpu"), Reference(data.bundle("chr20"))
    print(f"{model}\n{TRAINED}")
    for name in [options.part] if options.part else PARTS:
        begin = time.process_time()
        print(f"\n{name}")
        PARTS[name](model, reference, options)
        print(f"({time.process_time() - begin:.0f} CPU s)")


if __name__ == "__main__":
    main()
