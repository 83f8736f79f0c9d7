"""Pairs of variants against haplotypes built by hand, planted interactions, and the haplotypes of a sample against bcftools."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from variant_brute import Brute, turned
from variant_toy import ToyModel, another, fasta, toy_reference

from ntviz import data, variants
from ntviz.models import Forward
from ntviz.reference import Reference
from ntviz.tokens import Tokens
from ntviz.variants.haplotypes import PHASED
from ntviz.variants.pairs import PAIRED, edited

LENGTH, K = 1_500, 6


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), contigs={"20": LENGTH, "21": 600}, n=[("20", 1200, 1220)])


@pytest.fixture(scope="module")
def contig(reference):
    return reference.fetch(reference.whole("20")).sequence


class Coupled(ToyModel):
    """log p of a token: weights of its bases, the same on both strands, and `strength` for G or C in it and elsewhere together."""

    strength = 0.0

    def forward(self, batch, *, outputs=("logits",), at=None, layers=None):
        tokens = [batch] if isinstance(batch, Tokens) else list(batch)
        known = self.tokenizer.vocabulary
        strong = np.array([word.count("G") + word.count("C") if len(word) == K else 0 for word in known.tokens[: known.n_logits]])  # fmt: skip
        bases = np.array([0.7 * strong[i] if len(word) == K else -50 for i, word in enumerate(known.tokens[: known.n_logits])])  # fmt: skip
        ids, mask = self.tokenizer.batch(tokens)
        rest = strong[np.minimum(ids, known.n_logits - 1)].sum(axis=1)
        rows = bases + self.strength * strong * rest[:, None]
        logits = np.repeat(rows[:, None], ids.shape[1] if at is None else at.shape[1], axis=1).astype(np.float32)
        self.sequences += len(ids)
        return Forward(ids, mask.astype(bool), logits=logits)


def swap(contig, pos, by=2):
    """A substitution, 1-based, as text; by=2 puts G or C in for A or T, and A or T for G or C."""
    return f"20:{pos}:{contig[pos - 1]}>{another(contig[pos - 1], by)}"


def weak(contig, start):
    """The first place from `start` on, 1-based, with A or T."""
    return next(pos for pos in range(start, start + 50) if contig[pos - 1] in "AT")


def to_strong(contig, start):
    pos = weak(contig, start)
    return f"20:{pos}:{contig[pos - 1]}>{'G' if contig[pos - 1] == 'A' else 'C'}"


def cut(contig, pos, size):
    return f"20:{pos}:{contig[pos - 1 : pos + size]}>{contig[pos - 1]}"


def grown(contig, pos, bases):
    return f"20:{pos}:{contig[pos - 1]}>{contig[pos - 1]}{bases}"


def asked(model, reference, *pairs, **how):
    return variants.pairs(model, reference, list(pairs), **{"what": None, **how})


CASES = {
    "one token": lambda c: (swap(c, 607), swap(c, 611)),
    "next tokens": lambda c: (swap(c, 612), swap(c, 613)),
    "far": lambda c: (swap(c, 650), swap(c, 602)),
    "MNV over two tokens": lambda c: (f"20:611:{c[610:613]}>{''.join(map(another, c[610:613]))}", swap(c, 640)),
    "deletion and SNV": lambda c: (cut(c, 603, 1), swap(c, 640)),
    "SNV and deletion": lambda c: (cut(c, 640, 7), swap(c, 603)),
    "insertion and deletion": lambda c: (grown(c, 603, "GATTACA"), cut(c, 650, 2)),
    "two insertions": lambda c: (grown(c, 603, "G"), grown(c, 637, "TT")),
}


def by_hand(brute, contig, first, second, begin, length):
    """Sums of log p(token) of the four sequences [haplotype, strand], each token masked by itself, one at a time."""

    def parts(text):
        _, pos, change = text.split(":")
        ref, alt = change.split(">")
        start = int(pos) - 1
        while ref and alt and ref[0] == alt[0]:
            start, ref, alt = start + 1, ref[1:], alt[1:]
        while ref and alt and ref[-1] == alt[-1]:
            ref, alt = ref[:-1], alt[:-1]
        return start, ref, alt

    one, two = parts(first), parts(second)
    changes, left, right = (one, two), min(one, two), max(one, two)
    same_length = all(len(ref) == len(alt) for _, ref, alt in changes)
    found = []
    for carried in ((), (0,), (1,), (0, 1)):
        text = contig
        for start, ref, alt in sorted((changes[at] for at in carried), reverse=True):
            assert text[start : start + len(ref)] == ref
            text = text[:start] + alt + text[start + len(ref) :]
        begins, ends = text[begin:][:length], text[len(text) - (len(contig) - begin - length) - length :][:length]

        def tokens(start, ref, alt):
            return -(-max(len(ref), len(alt)) // K) + 1 if len(ref) != len(alt) else None

        if same_length:
            touched = sorted({(start + i - begin) // K for start, ref, _ in changes for i in range(len(ref))})
            wanted = [(begins, token) for token in touched]
        else:
            first_token = (left[0] - begin) // K
            count = tokens(*left) or (left[0] + len(left[1]) - 1 - begin) // K - first_token + 1
            wanted = [(begins, first_token + i) for i in range(count)]
            last_token = (right[0] + len(right[1]) - 1 - begin) // K
            count = tokens(*right) or last_token - (right[0] - begin) // K + 1
            wanted += [(ends, last_token - i) for i in range(count)]
        found.append([
            sum(brute.run(window, reverse, (token,))[0][token, brute.word(window, token, reverse)] for window, token in wanted)
            for reverse in (False, True)
        ])  # fmt: skip
    return np.array(found)


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_haplotypes_built_by_hand(reference, contig, name):
    model, (first, second) = ToyModel(max_tokens=32), CASES[name](contig)
    row = asked(model, reference, (first, second), control=False).iloc[0]
    middle = [int(text.split(":")[1]) for text in (first, second)]
    brute = Brute(model, variants.Options(), 186)
    # The window in whose middle the pair lies: 31 tokens on the contig's grid.
    tries = [by_hand(brute, contig, first, second, (sum(middle) // 2 // K + off - 15) * K, 186) for off in (-1, 0, 1)]
    columns = ["score_both", "score_first", "score_second", "interaction", "interaction_fwd", "interaction_rev"]
    expected = []
    for none, one, two, both in tries:
        rest = both - one - two + none
        expected.append([(both - none).mean(), (one - none).mean(), (two - none).mean(), rest.mean(), *rest])
    assert row["status"] == "ok" and min(np.abs(np.array(expected) - row[columns].astype(float).to_numpy()).max(axis=1)) < 1e-3  # fmt: skip
    turned_row = asked(model, reference, (second, first), control=False).iloc[0]
    assert turned_row["score_first"] == pytest.approx(row["score_second"], abs=1e-5)
    assert turned_row["interaction"] == pytest.approx(row["interaction"], abs=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_an_additive_model_has_no_interaction(reference, contig, name):
    row = asked(Coupled(max_tokens=32), reference, CASES[name](contig)).iloc[0]
    assert row["interaction"] == pytest.approx(0, abs=1e-4)
    assert max(abs(row["score_first"]), abs(row["score_second"])) > 1e-3
    assert row["score_both"] == pytest.approx(row["score_first"] + row["score_second"], abs=1e-4)
    assert row["control"] and row["control_interaction"] == pytest.approx(0, abs=1e-4)


def test_a_planted_interaction_comes_out_exactly(reference, contig):
    model = Coupled(max_tokens=32)
    model.strength = 0.01
    first, second = to_strong(contig, 600), to_strong(contig, 660)
    row = asked(model, reference, (first, second)).iloc[0]
    # Each of the two puts one more G or C into its token, and into what stands around the other's: once at each place.
    assert row["interaction"] == pytest.approx(2 * 0.01, abs=1e-4)
    assert row["interaction_fwd"] == pytest.approx(row["interaction_rev"], abs=1e-4)
    assert row["control_interaction"] == pytest.approx(2 * 0.01, abs=1e-4)  # the coupling has no distance
    # The toy mixes tokens at most four apart: further away there is none, near by there is.
    near, far = asked(ToyModel(max_tokens=64), reference, (swap(contig, 602), swap(contig, 618)), (swap(contig, 602), swap(contig, 640)))["interaction"]  # fmt: skip
    assert abs(near) > 1e-2 and abs(far) < 1e-4


def test_controls_are_like_the_second_on_the_other_side(reference, contig):
    pairs = [CASES[name](contig) for name in CASES]
    table = asked(ToyModel(max_tokens=32), reference, *pairs)
    for row in table.itertuples():
        first, second, control = (variants.Allele.of(text) for text in (row.first, row.second, row.control))
        sides = [np.sign(other.pos - first.pos) for other in (second, control)]
        assert sides[0] == -sides[1] and abs(abs(control.pos - first.pos) - abs(second.pos - first.pos)) <= 75
        assert contig[control.pos - 1 :][: len(control.ref)] == control.ref
        if len(second.ref) == len(second.alt):
            assert (control.ref[1:], control.alt[1:]) == (second.ref, second.alt)
        again = asked(ToyModel(max_tokens=32), reference, (row.first, row.control), control=False).iloc[0]
        assert again["interaction"] == pytest.approx(row.control_interaction, abs=1e-5)


def test_a_pair_costs_eight_readings_and_many_are_read_as_one(reference, contig):
    table = asked(ToyModel(max_tokens=32), reference, (swap(contig, 602), swap(contig, 650)), control=False)
    assert table.attrs["sequences"] == 8
    pairs = [(swap(contig, 602), swap(contig, pos)) for pos in range(614, 674, 4)]
    many = asked(ToyModel(max_tokens=32), reference, *pairs)
    alone = [asked(ToyModel(max_tokens=32), reference, pair).iloc[0] for pair in pairs[::5]]
    for row, one in zip(many.iloc[::5].itertuples(), alone, strict=True):
        assert row.interaction == pytest.approx(one["interaction"], abs=1e-4)
    forward = asked(ToyModel(max_tokens=32), reference, *pairs, both_strands=False)
    np.testing.assert_allclose(forward["interaction"], many["interaction_fwd"], atol=1e-4)
    assert forward["interaction_rev"].isna().all() and len(asked(ToyModel(max_tokens=32), reference)) == 0


def test_each_status_is_there_and_costs_nothing_else(reference, contig):
    good = swap(contig, 602)
    cases = {
        "first": [(f"20:650:{another(contig[649])}>{contig[649]}", good), ("99:5:A>C", good), ("rs334", good)],
        "second": [(good, "20:9999:A>C")],
        "other_contig": [(good, f"21:100:{(b := reference.fetch('21:100-100').sequence)}>{another(b)}")],
        "overlap": [(good, good), (good, swap(contig, 602, 1)), (cut(contig, 600, 4), good),
            (grown(contig, 602, "G"), grown(contig, 602, "T"))],
        "too_far": [(good, swap(contig, 800))],
        "too_close": [(cut(contig, 603, 1), swap(contig, 612)), (grown(contig, 603, "A"), cut(contig, 606, 2))],
        "n_in_window": [(swap(contig, 1180), swap(contig, 1230))],
        "ok": [(grown(contig, 601, "G"), swap(contig, 640)), (good, swap(contig, 604))],
    }  # fmt: skip
    table = asked(ToyModel(max_tokens=32), reference, *(pair for pairs in cases.values() for pair in pairs))
    assert table["status"].tolist() == [status for status, pairs in cases.items() for _ in pairs]
    assert cases.keys() | {"out_of_bounds"} == PAIRED.keys()
    assert table.attrs["statuses"] == {status: len(pairs) for status, pairs in cases.items()}
    assert table["note"].tolist()[:4] == ["first: ref_mismatch", "first: contig_missing", "first: malformed: it is no variant", "second: out_of_bounds"]  # fmt: skip
    columns = ["score_both", "score_first", "score_second", "interaction"]
    assert (table[columns].notna().all(axis=1) == (table["status"] == "ok")).all()
    for pairs in ([good], [(good,)]):
        with pytest.raises(ValueError, match="A pair must be two variants"):
            variants.pairs(ToyModel(), reference, pairs)
    short = fasta(reference.path.with_name("short.fa"), contig[:50])
    pairs = [(cut(contig, 3, 1), swap(contig, 40)), (swap(contig, 3), swap(contig, 40))]
    assert asked(ToyModel(), short, *pairs)["status"].tolist() == ["out_of_bounds", "ok"]


def test_alleles_stay_where_they_are_written(tmp_path):
    # Moved to the left, the deletion would pass the substitution and leave another sequence.
    text = "ACGTTGCAGATC" * 20 + "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAG" + "ACGTTGCAGATC" * 20
    at = text.index("CAAAA")
    change = variants.Allele("20", at + 10, "A", "T")
    assert edited(text, 0, [])[at : at + 3] == "CAA"
    pair = (f"20:{change.pos}:A>T", f"20:{at + 40}:AA>A")
    table = asked(ToyModel(max_tokens=32), fasta(tmp_path / "run.fa", text), pair, control=False)
    assert table["status"].tolist() == ["ok"] and table["distance"].tolist() == [30]


GENOTYPES = [
    (603, 1, "0|1", "ok"), (610, 2, "1|0", "ok"), (620, "cut", "1|1", "ok"), (630, "grown", "0|1", "ok"), (640, 1, "1/1", "ok"),
    (650, 1, "0/1", "unphased"), (655, 1, "./.", "no_genotype"), (660, 1, ".|1", "no_genotype"), (665, 1, "0|0", ""),
    (670, "cut", "0|1", "ok"), (671, 1, "0|1", "overlap"), (680, 1, "1", "ploidy"), (695, "wrong", "1|0", "ref_mismatch"),
    (699, "cut", "1|1", "beyond_window"), (690, "<DEL>", "0|1", "symbolic"),
]  # fmt: skip


def written(folder, contig, rows, *, name="in.vcf", phase_sets=None, bad=False):
    lines = ["##fileformat=VCFv4.3", f"##contig=<ID=20,length={LENGTH}>", '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">',
        '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="p">', '##ALT=<ID=DEL,Description="d">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tother\tmother"]  # fmt: skip
    for number, (pos, how, genotype, _) in enumerate(rows):
        ref = contig[pos - 1 : pos + 2] if how == "cut" else contig[pos - 1]
        alt = {"cut": ref[0], "grown": f"{ref}TTGA", "wrong": ref, "<DEL>": "<DEL>"}.get(how) or another(ref, how)
        ref = another(ref) if how == "wrong" else ref
        keys, values = ("GT", genotype) if phase_sets is None else ("GT:PS", f"{genotype}:{phase_sets[number]}")
        lines.append(f"20\t{pos}\tv{number}\t{ref}\t{alt}\t.\t.\t.\t{keys}\t0|0\t{values}")
    lines += ["20\t605\tno columns"] * bad
    (folder / name).write_text("\n".join([*lines, ""]))
    return folder / name


def test_haplotypes_have_their_variants_and_statuses(reference, contig, tmp_path):
    path = written(tmp_path, contig, GENOTYPES, bad=True)
    found = variants.haplotypes(path, "mother", "chr20:601-700", reference)
    wanted = [status for *_, status in GENOTYPES if status]
    assert found.table["status"].tolist() == wanted and set(wanted) <= PHASED.keys()
    assert found.counts == {
        **{status: wanted.count(status) for status in dict.fromkeys(wanted)},
        "absent": 1,
        "malformed": 1,
    }
    assert "mother: 8 variants on 2 haplotypes; left out: " in found.statement and "1 unphased" in found.statement
    assert [[one.pos for one in mine] for mine in found.variants] == [[610, 620, 640], [603, 620, 630, 640, 670]]
    for mine, sequence in zip(found.variants, found.sequences, strict=True):
        text = contig
        for one in reversed(mine):
            text = text[: one.start] + one.alt + text[one.end :]
        assert sequence == text[600 : 700 + len(text) - len(contig)]
    assert len(found.pairs) == len(set(found.pairs)) == 12
    table = asked(ToyModel(max_tokens=40), reference, *found.pairs)
    assert set(table["status"]) <= {"ok", "too_close", "too_far"} and (table["status"] == "ok").sum() >= 4
    with pytest.raises(ValueError, match=r"one of the 2 of in\.vcf; received 'mothers'\. Near to it: mother"):
        variants.haplotypes(path, "mothers", "20:601-700", reference)


def test_haplotypes_equal_those_of_bcftools_and_the_index_changes_nothing(reference, contig, tmp_path):
    rows = sorted(row for row in GENOTYPES if row[3] == "ok" and row[0] < 670)
    path = written(tmp_path, contig, rows)
    packed = tmp_path / "in.vcf.gz"
    subprocess.run(["bcftools", "view", "-Oz", "-o", packed, path], check=True)
    plain = variants.haplotypes(packed, "mother", "20:601-700", reference)
    subprocess.run(["bcftools", "index", "-t", packed], check=True)
    indexed = variants.haplotypes(packed, "mother", "chr20:601-700", reference)
    assert indexed.sequences == plain.sequences and indexed.table.equals(plain.table)
    window = f">20:601-700\n{contig[600:700]}\n"
    for number, sequence in enumerate(plain.sequences, 1):
        done = subprocess.run(["bcftools", "consensus", "-s", "mother", "-H", str(number), packed], input=window, capture_output=True, text=True, check=True)  # fmt: skip
        assert "".join(done.stdout.splitlines()[1:]) == sequence


def test_phase_holds_within_a_set_and_any_ploidy_will_do(reference, contig, tmp_path):
    rows = [(603, 1, "0|1", "ok"), (610, 1, "1|0", "other_phase_set"), (620, 1, "1|0", "ok"), (630, 1, "1|1", "ok")]
    found = variants.haplotypes(written(tmp_path, contig, rows, phase_sets=[600, 610, 600, 610]), "mother", "20:601-700", reference)  # fmt: skip
    assert found.table["status"].tolist() == [status for *_, status in rows]
    assert [[one.pos for one in mine] for mine in found.variants] == [[620, 630], [603, 630]]
    for genotypes, expected in (
        (("1", "0"), [[603]]),
        (("0|1|1|0", "1|1|1|1"), [[610], [603, 610], [603, 610], [610]]),
    ):
        rows = [(603, 1, genotypes[0], "ok"), (610, 1, genotypes[1], "ok")]
        found = variants.haplotypes(written(tmp_path, contig, rows), "mother", "20:601-700", reference)
        assert [[one.pos for one in mine] for mine in found.variants] == expected
    nothing = variants.haplotypes(written(tmp_path, contig, []), "mother", "20:601-700", reference)
    assert nothing.sequences == (contig[600:700],) * 2 and nothing.pairs == [] and nothing.counts == {}


def test_the_default_model_and_its_control(mini):
    reference = Reference(data.bundle("chr20"))
    bases = reference.fetch("20:43042360-43042375").sequence
    pair = [f"20:{43_042_360 + at}:{bases[at]}>{another(bases[at])}" for at in (0, 9)]
    row, blind = (variants.pairs(one, reference, [pair], what=None).iloc[0] for one in (mini, mini.random_twin(0)))
    assert row["status"] == "ok" and np.isfinite([row["interaction"], row["control_interaction"]]).all()
    assert abs(blind["interaction"]) < 0.5 and turned(turned(bases)) == bases
