"""Tests with known answers: judges that know one rule, likelihoods against reading one token at a time, nulls, and bad input."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from variant_toy import fasta, toy_reference

from ntviz import annotation, benchmark, models
from ntviz.benchmark import questions
from ntviz.benchmark.known_answers import likelihood_of
from ntviz.benchmark.questions import Source, items, promoter, promoter_score
from ntviz.genome.sequence import reverse_complement
from ntviz.models import Forward
from ntviz.motifs import Motif
from ntviz.tokens import Tokenizer
from ntviz.tokens.vocabulary import HYENADNA
from ntviz.variants.consequences import Markov

FIXTURES = Path(__file__).parent / "fixtures"
FLAT = Markov(1, np.log(np.full((4, 4), 0.25)))
SITE = "GGATTCCGACAT"
STOPS = ("TAA", "TAG", "TGA")


class Judge:
    """A causal model over bases that gives each base of a sequence the log-probability -20 + rule(sequence) / 100."""

    without_mask, name = "it is causal.", "judge"

    def __init__(self, rule, max_bp: int = 4_000) -> None:
        self.rule, self.max_bp, self.tokenizer = rule, max_bp, Tokenizer(HYENADNA)

    def tokenize(self, sequence: str):
        return self.tokenizer(sequence)

    def forward(self, batch, *, outputs=("logits",)) -> Forward:
        ids, mask = self.tokenizer.batch(batch)
        logits = np.zeros((*ids.shape, HYENADNA.n_logits))
        for row, tokens in enumerate(batch):
            p = np.exp(-20 + self.rule(tokens.sequence) / 100)
            logits[row] = np.log((1 - p) / (HYENADNA.n_logits - 1))
            np.put_along_axis(logits[row, :-1], ids[row, 1:, None], np.log(p), axis=1)
        return Forward(ids, mask, logits=logits)


def at_content(text: str) -> int:
    return text.count("A") + text.count("T")


def repeats(text: str, other: str | None = None, k: int = 12) -> int:
    """k-mers of a text that stand in it, or in another one, elsewhere."""
    seen = [text[at : at + k] for at in range(len(text) - k + 1)]
    return len(seen) - len(set(seen)) if other is None else len(set(seen) & {other[at : at + k] for at in range(len(other) - k + 1)})  # fmt: skip


def open_frame(text: str) -> int:
    """Longest stretch of codons without a stop, in any of the three frames."""
    longest = 0
    for frame in range(3):
        codons = [text[at : at + 3] for at in range(frame, len(text) - 2, 3)]
        stops = [-1, *(at for at, codon in enumerate(codons) if codon in STOPS), len(codons)]
        longest = max(longest, *(b - a for a, b in pairwise(stops)))
    return longest


def noise(text: str) -> float:
    return np.random.default_rng(zlib.crc32(text.encode())).normal()


RULES = {
    "at": at_content, "repeats": repeats, "turned": lambda text: repeats(text, reverse_complement(text)), "frame": open_frame,
    "start": lambda text: "GCCGCCACCATG" in text, "donor": lambda text: "CAGGTAAGT" in text,
    "acceptor": lambda text: "TTTTTTTTTTCAGG" in text, "promoter": promoter_score, "motif": lambda text: SITE in text, "noise": noise,
}  # fmt: skip


def gene(rng: np.random.Generator) -> tuple[str, list[tuple[int, int]]]:
    """A gene of two coding exons, an intron between, and where the exons are; 200 bp on both sides."""

    def letters(n: int) -> str:
        return "".join(rng.choice(list("ACGT"), n))

    def codons(n: int) -> str:
        # Out of frame they make stops soon.
        return "".join(rng.choice(["CTA", "ATG", "ACT", "GAT", "AGC", "AAC", "AAT", "GAC", "GTA", "TAC"], n))

    first = "ATG" + codons(110) + "CAG"
    intron = "GTAAGT" + letters(250) + "TTTTTTTTTTTTTTCAG"
    second = "GGC" + codons(50) + "TAA"
    text = letters(191) + "GCCGCCACC" + first + intron + second + letters(200)
    return text, [(200, 200 + len(first)), (200 + len(first + intron), 200 + len(first + intron + second))]


@pytest.fixture(scope="module")
def genes(tmp_path_factory):
    """A reference and an annotation of 16 genes, those of odd numbers on the reverse strand."""
    folder, rng, contig, lines = tmp_path_factory.mktemp("genes"), np.random.default_rng(1), "", []
    for number in range(16):
        text, exons = gene(rng)
        if number % 2:
            text, exons = reverse_complement(text), [(len(text) - b, len(text) - a) for a, b in exons][::-1]
        strand = "+-"[number % 2]
        for start, end in exons:
            for kind in ("exon", "CDS"):
                lines.append(f'20\ttoy\t{kind}\t{len(contig) + start + 1}\t{len(contig) + end}\t.\t{strand}\t.\tgene_id "g{number}"; transcript_id "t{number}"; gene_name "G{number}";')  # fmt: skip
        contig += text
    path = folder / "genes.gtf"
    path.write_text("\n".join(lines) + "\n")
    return fasta(folder / "genes.fa", contig), annotation.read(path)


MOTIFS = [Motif.from_sites("M1", [SITE])]


def ask(model, given, *names: str, n: int = 16, **options) -> pd.DataFrame:
    found = benchmark.known_answers(
        model, *given, questions=names, n=n, markov=FLAT, control=None, draws=200, **options
    )
    return found.table.set_index(["question", "case"])


@pytest.mark.parametrize(
    ("rule", "question", "expected"),
    [
        ("repeats", "copying", {"a copy 60 bp on": 1, "a copy 600 bp on": 1, "a copy 63 bp on: other tokens of six": 1, "the reverse complement": 0.5}),
        ("turned", "copying", {"the reverse complement": 1, "a copy 60 bp on": 0.5}),
        ("frame", "reading frame", {"3 bases lost, or 2 or 4": (0.85, 1), "stop codon in frame, or out of it": (0.7, 1)}),
        ("start", "start codon", {"ATG of the start, or another": 1}),
        ("donor", "splice site", {"GT of a donor, or another": 1, "AG of an acceptor, or another": 0.5}),
        ("acceptor", "splice site", {"AG of an acceptor, or another": 1}),
        ("motif", "motif", {"a JASPAR site or its bases in another order": 1}),
        ("at", "agreement", {"both strands": (0.9, 1)}),
        ("at", "composition", {"two stretches, or their bases shuffled": (0.9, 1), "the same with equal A and T": 0.5, "70 % or 60 % A and T": (0.8, 1)}),
        ("at", "order of bases", {"genome or its bases shuffled": 0.5, "genome or its dinucleotides shuffled": 0.5}),
        ("at", "splice site", {"GT of a donor, or another": 0.5, "AG of an acceptor, or another": 0.5}),
        ("at", "start codon", {"ATG of the start, or another": 0.5}),
        ("at", "reading frame", {"stop codon in frame, or out of it": 0.5}),
        ("at", "copying", {"a copy 60 bp on": 0.5}),
        ("at", "motif", {"a JASPAR site or its bases in another order": 0.5}),
    ],
)  # fmt: skip
def test_who_knows_one_rule_answers_its_question_and_no_other(genes, rule, question, expected):
    table = ask(Judge(RULES[rule]), genes, question, motifs=MOTIFS if question == "motif" else ())
    for case, value in expected.items():
        low, high = value if isinstance(value, tuple) else (value, value)
        row = table.loc[(question, case)]
        assert low <= row["value"] <= high and row["n"] >= 10, (case, row["value"])
        assert row["low"] <= row["value"] <= row["high"]
    # A flat chain says nothing, but for what its first base costs.
    assert (table["kmers"] == 0.5).all()


def test_matrices_answer_what_is_theirs(genes):
    """Of splice sites and starts a matrix of the other genes; of promoters the boxes at their places; of motifs the motif."""
    table = ask(Judge(RULES["promoter"]), genes, "splice site", "start codon", "promoter", "motif", n=40, motifs=MOTIFS)
    assert table.loc["motif", "pwm"].tolist() == [1]
    assert (table.loc[["splice site", "start codon"], "pwm"] >= 0.9).all()
    boxes = table.loc["promoter"]
    assert boxes.loc[["-10 box intact or broken", "broken -10 box compensated or not", "elements in place or scrambled"], "pwm"].tolist() == [1, 1, 1]  # fmt: skip
    assert (boxes["pwm"] > 0.85).all() and boxes["value"].tolist() == boxes["pwm"].tolist()
    assert table.loc["splice site", "value"].notna().all() and boxes["verdict"].str.startswith("right: 1.00").any()


def test_promoters_follow_their_rules():
    plain = "C" * 100
    text = promoter(plain, compensated=True, box_10=questions.BROKEN_10)
    assert (text[30:36], text[53:59], text[15:21], text[50:53]) == ("TTGACA", "TGTAAT", "AAAAAA", "TGT")
    assert promoter(plain, spacer=12)[48:54] == "TATAAT" and promoter(plain, swapped=True)[30:36] == "TATAAT"
    # By hand: 12 letters of the boxes, TG and UP, each 0.7 or 0.1 against a quarter.
    yes, no = np.log2(0.7 / 0.25), np.log2(0.1 / 0.25)
    assert promoter_score(promoter(plain)) == pytest.approx(12 * yes + 8 * no)
    assert promoter_score(text) == pytest.approx(19 * yes + no)
    assert promoter_score("C" * 10) == -np.inf


def test_examples_follow_their_rules(genes):
    source, rng = Source(*genes, tuple(MOTIFS)), {one.case: one for one in questions.QUESTIONS}
    for one in items(rng["10 % of the bases changed"], source, 8, 0):
        right, wrong = one.factors[0]
        copy, first = right.sequence[right.start : right.end], right.sequence[:60]
        assert 0 <= sum(a != b for a, b in zip(copy, first, strict=True)) < 20
        assert sorted(first) == sorted(wrong.sequence[:60]) and right.sequence[60:] == wrong.sequence[60:]
    for one in items(rng["the same with equal A and T"], source, 8, 0):
        assert len({at_content(term.sequence) for terms in one.factors for term in terms}) == 1
    for one in items(rng["frame of the tokens"], source, 8, 0):
        whole, later = one.factors[0][0], one.factors[1][0]
        assert whole.sequence[whole.start : whole.end] == later.sequence[later.start : later.end]
    for one in items(rng["GT of a donor, or another"], source, 8, 0):
        kept, broken, other, beside = one.factors[0]
        assert kept.sequence[120:122] == "GT" and broken.sequence[120:122] == "AT" and beside.sequence[120:122] == "GT"
        assert kept.sequence == other.sequence and sum(a != b for a, b in zip(other.sequence, beside.sequence, strict=True)) == 1  # fmt: skip


def test_nobody_knows_by_chance(genes):
    """Over 56 rows of a random judge the mean is 0.5, and intervals hold 0.5 as often as they say, nearly."""
    rows = pd.concat([ask(Judge(RULES["noise"]), genes, "promoter", n=20, seed=seed) for seed in range(8)])
    assert abs(rows["value"].mean() - 0.5) < 0.05
    assert (rows["low"] > 0.5).mean() < 0.1 and ((rows["low"] <= 0.5) & (rows["high"] >= 0.5)).mean() > 0.86


def test_a_seed_gives_the_same_examples_whatever_else_is_asked(genes):
    one, same, other = (ask(Judge(at_content), genes, *names, seed=seed) for names, seed in (
        (("composition",), 3), (("composition", "agreement"), 3), (("composition",), 4)))  # fmt: skip
    pd.testing.assert_frame_equal(one, same.loc[["composition"]])
    assert not one["nats"].equals(other["nats"])


def test_log_likelihoods_are_those_of_one_token_at_a_time(mini):
    """Masked: each token that begins in the bases by itself, by torch. Causal: the next base, by torch, in unequal batches."""
    text, other = (toy_text(seed) for seed in (0, 1))
    asked = [(text, 12, 60), (other[:50], 0, 50), (text, 0, 96)]
    read, how = likelihood_of(mini, batch_tokens=40)
    expected = []
    for sequence, start, end in asked:
        tokens, total = mini.tokenize(sequence), 0.0
        for at in range(1, len(tokens)):
            if start <= tokens.spans[at, 0] < end:
                ids = tokens.ids.copy()[None]
                ids[0, at] = mini.mask_id
                logits = torch.from_numpy(mini.forward(ids).logits[0, at]).double()
                total += float(logits.log_softmax(0)[tokens.ids[at]])
        expected.append(total)
    assert read(asked) == pytest.approx(expected, rel=1e-5) and how.startswith("pseudo-log-likelihood")
    causal = models.load(FIXTURES / "hyenadna_tiny", device="cpu")
    read, how = likelihood_of(causal, batch_tokens=150)
    expected = []
    for sequence, start, end in asked:
        logits = torch.from_numpy(causal.forward(causal.tokenize(sequence)).logits[0]).double().log_softmax(1)
        ids = causal.tokenize(sequence).ids
        expected.append(sum(float(logits[at - 1, ids[at]]) for at in range(max(start, 1), end)))
    assert (
        read(asked) == pytest.approx(expected, rel=1e-4) and how == "log-probability of each base after those before it"
    )
    assert likelihood_of(FLAT)[0](asked) == pytest.approx([48 * np.log(0.25), 49 * np.log(0.25), 95 * np.log(0.25)])


def toy_text(seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), 96))


@pytest.mark.parametrize("name", ["nt_v1_tiny", "nt_v2_tiny", "dnabert2_tiny", "hyenadna_tiny", "ntv3_tiny"])
def test_every_language_model_is_asked_beside_its_random_twin(genes, name):
    question = "promoter" if name == "hyenadna_tiny" else "motif"
    model = models.load(FIXTURES / name, device="cpu")
    found = benchmark.known_answers(model, *genes, motifs=MOTIFS, questions=[question], n=5, markov=FLAT, draws=50)
    assert found.table[["value", "random", "low", "random_low", "nats"]].notna().all(axis=None), found.table
    assert found.model == model.name and repr(found).startswith(f"{model.name} answers")


def test_the_sentence_counts_and_names_the_controls(genes):
    found = benchmark.known_answers(Judge(RULES["donor"]), *genes, questions=["splice site"], n=16, markov=FLAT, control=Judge(RULES["noise"]), draws=100)  # fmt: skip
    assert found.sentence == (
        "judge answers 1 of 2 questions with a known answer better than chance (0.1 are expected by chance, k-mers 0, the randomly "
        "initialised model 0) and 1 better than k-mers do, most so splice site (GT of a donor, or another): 1.00 (1.00 to 1.00), k-mers 0.50."
    )  # fmt: skip
    assert found.table["verdict"].tolist() == [
        "right: 1.00 (1.00 to 1.00), better than k-mers 0.50 and the randomly initialised model 0.56", "no better than chance: 0.50 (0.50 to 0.50)"]  # fmt: skip
    few = benchmark.known_answers(Judge(at_content), *genes, questions=["splice site"], n=3, markov=FLAT)
    assert set(few.table["verdict"]) == {"not judged: 3 examples, and 5 are needed"} and few.table["low"].isna().all()
    assert few.sentence == "judge was asked nothing with 5 examples or more."
    lost = ask(Judge(lambda _: float("nan")), genes, "motif", motifs=MOTIFS)
    assert lost["verdict"].tolist() == ["not judged: a likelihood is not a finite number"]


def test_contexts_that_are_too_short_are_told(genes):
    table = ask(Judge(at_content, max_bp=300), genes, "copying", n=6)
    assert (
        table.loc[("copying", "a copy 600 bp on"), "verdict"] == "not asked: it needs 768 bp, and the model reads 300"
    )
    assert table["n"].tolist() == [6, 0, 6, 6, 6, 6] and table.loc[("copying", "a copy 600 bp on"), ["value", "kmers", "pwm"]].isna().all()  # fmt: skip


def test_bad_input_ends_in_words(genes, tmp_path):
    reference, told = genes
    judge = Judge(at_content)
    lonely = tmp_path / "lonely.fa"
    lonely.write_text(">E_000|x\nACGT\n")
    small = toy_reference(tmp_path, contigs={"20": 400}, n=[("20", 100, 380)])
    elsewhere = fasta(tmp_path / "elsewhere.fa", 90 * "ACGT", "7")
    plain = [Motif.from_sites("A", ["A" * 10])]
    for message, given, options in (
        ("received 'copies'", genes, {"questions": ["copies"]}),
        ("received 'splice site' without genes", (reference,), {"questions": ["splice site"]}),
        ("received 'motif' without motifs", genes, {"questions": ["motif"]}),
        ("must be at least 1; received 0", genes, {"n": 0}),
        (r"coding transcripts, whole and in frame, on 7; received Annotation", (elsewhere, told), {"questions": ["start codon"]}),
        ("There must be 600 bp without N in the reference; none was found", (small,), {"questions": ["copying"]}),
        ("8 to 20 bp and 1 bit a position on average; received 1 motifs", genes, {"questions": ["motif"], "motifs": plain}),
        (r"has 1 and 0\. Pass the file", genes, {"questions": ["promoter"], "promoters": lonely}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            benchmark.known_answers(judge, *given, **{"n": 6, "markov": FLAT} | options)
    for model in (
        *(models.load(FIXTURES / f"{name}_tiny", device="cpu") for name in ("enformer", "segment_nt")),
        object(),
    ):
        with pytest.raises(ValueError, match="must give likelihoods of bases; .* does not. Use a language model"):
            benchmark.known_answers(model, reference)
