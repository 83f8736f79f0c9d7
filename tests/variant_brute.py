"""Scores of one variant from their definitions: one window, one strand and one pass at a time, on plain strings."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ntviz.variants.options import SCORES, Options

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def turned(text: str):
    """The other strand."""
    return text.translate(COMPLEMENT)[::-1]


def given(values, what=np.mean):
    """The mean of what there is; a divergence needs bases that both windows have."""
    finite = [value for value in values if math.isfinite(value)]
    return float(what(finite)) if finite else math.nan


def changed(contig, pos, ref, alt) -> tuple[int, str, str]:
    """0-based start and the shortest alleles, insertions and deletions as far left as they go: VCF's normal form."""
    start = pos - 1
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        start, ref, alt = start + 1, ref[1:], alt[1:]
    if not ref or not alt:
        # One step left at a time, as long as the edited contig stays the same text.
        edited = contig[:start] + alt + contig[start + len(ref) :]
        while start:
            other_ref = contig[start - 1 : start - 1 + len(ref)]
            other_alt = edited[start - 1 : start - 1 + len(alt)]
            if contig[: start - 1] + other_alt + contig[start - 1 + len(ref) :] != edited:
                break
            start, ref, alt = start - 1, other_ref, other_alt
    return start, ref, alt


def first_base(contig, start, ref) -> int:
    """The base whose token is read: the first changed one; of an insertion at an end or before N, the one before."""
    first = min(start, len(contig) - 1)
    return first - 1 if not ref and first and contig[first] == "N" else first


def window(contig, start, ref, alt: str, k: int, tokens: int, offset: int):
    """First base and length of the window whose tokens begin at multiples of k plus offset; None where there is none."""
    first = first_base(contig, start, ref)
    token = first - (first - offset) % k
    token += (first + max(len(ref) - 1, 0) // 2 - token) // k * k
    while token + k > len(contig):
        token -= k
    low, high = contig.rfind("N", 0, token + k) + 1, contig.find("N", token)
    high = len(contig) if high < 0 else high
    if token < low or token + k > high:
        return None
    # Bases beside the window, for what a deletion draws in: on both sides, else right, else left, else none.
    spare = max(len(ref) - len(alt), 0)
    sides = [(spare, spare), (0, spare), (spare, 0), (0, 0)]
    whole = min(token, start), max(token + k, start + len(ref))

    def begins(length: int, left: int, right: int) -> list[int]:
        return [
            at
            for at in range(low + left, high - right - length + 1)
            if (at - token) % k == 0 and at <= whole[0] and whole[1] <= at + length
        ]

    for left, right in sides:
        if found := begins(tokens * k, left, right):
            return min(found, key=lambda at: abs(at - (token - tokens // 2 * k))), tokens * k
    if (low, high) != (0, len(contig)):
        return None
    # A contig that is too short for any full window: the longest with bases on one side.
    for left, right in sides[1:3]:
        for length in range(tokens * k, 0, -k):
            if found := begins(length, left, right):
                return min(found), length
    return None


class Brute:
    """All scores of one allele from one model, by frame and strand: {score: [frame, strand]}."""

    def __init__(self, model, options: Options, window: int) -> None:
        self.model, self.options = model, options
        vocabulary = model.tokenize("A").vocabulary
        self.k, self.specials = vocabulary.k, 0 if vocabulary.cls_id is None else 1
        self.tokens = window // self.k
        words = vocabulary.tokens[: vocabulary.n_logits]
        self.id_of = {word: place for place, word in enumerate(words)}
        self.whole = [i for i, word in enumerate(words) if len(word) == self.k and set(word) <= set("ACGT")]
        # Nothing of a model but its answers is kept: alleles that lie together are read in the same windows.
        self.run = lru_cache(96)(self._run)
        # Which base each whole word has at each place, [word, place, 4].
        self.has = np.array([[[base == b for b in "ACGT"] for base in words[i]] for i in self.whole], float)

    def _run(self, text: str, reverse: bool, masked=()) -> tuple[np.ndarray, np.ndarray]:
        """Log probabilities [token, vocab] and hidden states [token, hidden] in the order of the forward strand."""
        tokens = self.model.tokenize(turned(text) if reverse else text)
        count = len(text) // self.k
        ids = tokens.ids.copy()
        for token in masked:
            ids[self.specials + (count - 1 - token if reverse else token)] = self.model.mask_id
        found = self.model.forward(replace(tokens, ids=ids), outputs=("logits", "hidden_states"))
        logits = found.logits[0, self.specials :].astype(np.float64)
        layer = self.model.layers if self.options.layer is None else self.options.layer
        hidden = found.hidden_states[0, layer, self.specials :].astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        log_probs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        return (log_probs[::-1], hidden[::-1]) if reverse else (log_probs, hidden)

    def word(self, text: str, token: int, reverse: bool) -> int:
        word = text[token * self.k : token * self.k + self.k]
        return self.id_of[turned(word) if reverse else word]

    def bases(self, log_probs: np.ndarray, reverse: bool) -> np.ndarray:
        """Probabilities [base, 4] from those of the whole words of each token."""
        words = np.exp(log_probs[:, self.whole])
        bases = np.tensordot(words / words.sum(axis=1, keepdims=True), self.has, 1)
        return (bases[:, ::-1, ::-1] if reverse else bases).reshape(-1, 4)

    def pairs(self, contig, start, ref, alt: str, offset: int):
        """Both windows, the genome's base under each of their bases, and the touched tokens, of each alignment."""
        found = window(contig, start, ref, alt, self.k, self.tokens, offset)
        if found is None:
            return
        begin, length = found
        edited = contig[:start] + alt + contig[start + len(ref) :]
        names = list(range(len(contig)))
        edited_names = names[:start] + [None] * len(alt) + names[start + len(ref) :]
        end, k = begin + length, self.k
        reference = contig[begin:end], names[begin:end]
        if len(ref) == len(alt):
            touched = range((start - begin) // k, (start + len(ref) - 1 - begin) // k + 1)
            yield reference, (edited[begin:end], edited_names[begin:end]), touched
            return
        count = math.ceil(max(len(ref), len(alt)) / k) + 1
        first, last = (start - begin) // k, (start + len(ref) - 1 - begin) // k
        ways = [(begin, range(first, min(first + count, length // k)))]
        ways += [(end + len(alt) - len(ref) - length, range(max(last - count + 1, 0), last + 1))]
        for at, touched in ways:
            text = edited[max(at, 0) : at + length]
            if touched and len(text) == length and "N" not in text:
                yield reference, (text, edited_names[at : at + length]), touched

    def scores(self, contig, pos, ref, alt) -> dict[str, np.ndarray]:
        start, ref, alt = changed(contig, pos, ref, alt)
        options, k = self.options, self.k
        first = first_base(contig, start, ref)
        if options.frames > 1:
            begins = [first - place for place in range(k) if 0 <= first - place <= len(contig) - k]
            offsets = [begin % k for begin in begins]
        elif options.place is not None:
            offsets = [max(0, min(first - options.place, len(contig) - k)) % k]
        else:
            # The last tokens of the grid are moved back to fit.
            over = max(start + len(ref), min(start, len(contig) - 1) + 1) > len(contig) // k * k
            offsets = [len(contig) % k if over else 0]
        by_frame = []
        for offset in offsets:
            pairs = list(self.pairs(contig, start, ref, alt, offset))
            if not pairs:
                continue
            strands = [False, True] if options.both_strands else [False]
            by_frame.append([[self.of_pair(pair, start, ref, alt, r) for pair in pairs] for r in strands])
        return {
            name: np.array([[given([one[name] for one in pair]) for pair in frame] for frame in by_frame])
            for name in SCORES
        }

    def of_pair(self, pair, start: int, ref: str, alt: str, reverse: bool) -> dict[str, float]:
        (ref_text, ref_names), (alt_text, alt_names), touched = pair
        k, out = self.k, dict.fromkeys(SCORES, math.nan)
        plain_ref, hidden_ref = self.run(ref_text, reverse)
        plain_alt, hidden_alt = self.run(alt_text, reverse)

        def ratio(alt_probs, ref_probs):
            word = self.word
            alts = sum(alt_probs(t)[t, word(alt_text, t, reverse)] for t in touched)
            return alts - sum(ref_probs(t)[t, word(ref_text, t, reverse)] for t in touched)

        out["wt_llr"] = ratio(lambda t: plain_ref if len(ref) == len(alt) else plain_alt, lambda t: plain_ref)
        if len(ref) == len(alt):
            hidden, _ = self.run(ref_text, reverse, touched)
            out["llr"] = ratio(lambda t: hidden, lambda t: hidden)
            bases = self.bases(hidden, reverse)[[ref_names.index(start + i) for i in range(len(ref))]]
            odds = [p["ACGT".index(a)] / p["ACGT".index(r)] for p, r, a in zip(bases, ref, alt, strict=True)]
            out["base_llr"] = np.log(odds).sum()
            out["entropy"] = np.mean([-(p * np.log(p)).sum() for p in bases])
        else:
            read = lambda text: lambda t: self.run(text, reverse, (t,))[0]  # noqa: E731
            out["llr"] = ratio(read(alt_text), read(ref_text))
        total = len(ref_text) // k
        region = range(total)
        if self.options.region != "window":
            more = 0 if self.options.region == "token" else self.options.region
            region = range(max(touched[0] - more, 0), min(touched[-1] + more + 1, total))
        r, a = (sum(states[t] for t in region) / len(region) for states in (hidden_ref, hidden_alt))
        out["l1"], out["l2"] = np.abs(r - a).sum(), np.linalg.norm(r - a)
        out["dot"] = (r * a).sum()
        out["cosine"] = (r * a).sum() / np.linalg.norm(r) / np.linalg.norm(a)
        losses = [
            -np.mean([probs[t, self.word(text, t, reverse)] for t in region])
            for probs, text in ((plain_ref, ref_text), (plain_alt, alt_text))
        ]
        out["alt_loss"], out["loss_diff"] = losses[1], losses[1] - losses[0]
        p, q = self.bases(plain_ref, reverse), self.bases(plain_alt, reverse)
        outside = [i for i in range(len(ref_text)) if i // k not in touched]
        where = {alt_names[i]: i for i in outside if alt_names[i] is not None}
        divergences = []
        for i in outside:
            if ref_names[i] in where and not start <= ref_names[i] < start + len(ref):
                one, other = p[i], q[where[ref_names[i]]]
                middle = (one + other) / 2
                divergences.append(((one * np.log(one / middle)) + (other * np.log(other / middle))).sum() / 2)
        out["jsd"] = given(divergences)
        return out

    def row(self, contig, pos, ref, alt) -> list[float]:
        """The columns of the options; NaN where no window holds the variant."""
        found = self.scores(contig, pos, ref, alt)
        if not len(found["llr"]):
            return [math.nan] * len(self.options.columns)
        row = []
        for name in self.options.scores:
            strands = [given(strand) for strand in found[name].T]
            row.append(given(strands))
            if self.options.both_strands:
                row += [*strands, strands[0] - strands[1]]
            if self.options.frames > 1:
                row.append(given([given(frame) for frame in found[name]], np.std))
        return row
