"""DNA strings: clean them, turn them around, encode, shuffle and edit them.

A sequence in ntviz is upper-case text of A, C, G, T and N. `clean` makes one from what people type or files
hold, and says what it changed; everything else expects a clean sequence and refuses other letters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ntviz.genome import Interval, Variant, canonical_contig

BASES = "ACGT"
IUPAC = "RYSWKMBDHV"
GAPS = "-*X"
"""What files hold where a base is missing or masked: gaps of alignments, and X of RepeatMasker."""

_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
_NO_BASE = (IUPAC + GAPS).encode()
_TO_N = bytes.maketrans(_NO_BASE, b"N" * len(_NO_BASE))
# Row of each byte in the one-hot table: A 0, C 1, G 2, T 3, N the zero row 4.
_BASE_INDEX = np.full(256, 4, dtype=np.uint8)
_BASE_INDEX[np.frombuffer(BASES.encode(), dtype=np.uint8)] = np.arange(4)
_ONE_HOT = np.eye(5, 4, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean sequence, and how many letters were changed to get it.

    Attributes
    ----------
    lowered
        Lower-case letters that were upper-cased (soft-masked repeats in a FASTA).
    ambiguous
        IUPAC letters, and gaps (-, *, X), that became N.
    n
        N in `sequence`, those included.
    whitespace
        Spaces and line breaks removed from between the bases.
    """

    sequence: str
    lowered: int
    ambiguous: int
    n: int
    whitespace: int = 0

    @property
    def note(self) -> str:
        """What was changed, as one line for people; empty when there is nothing to say."""
        several = self.whitespace != 1
        parts = [
            f"{self.whitespace:,} space{'s' * several} or line break{'s were' if several else ' was'} removed",
            f"{self.lowered:,} lower-case letter{' was' if self.lowered == 1 else 's were'} upper-cased",
            f"{self.ambiguous:,} IUPAC letter{' or gap' if self.ambiguous == 1 else 's or gaps'} became N",
            f"{self.n:,} of {len(self.sequence):,} bases {'is' if self.n == 1 else 'are'} N",
        ]
        counts = (self.whitespace, self.lowered, self.ambiguous, self.n)
        note = "; ".join(part for part, count in zip(parts, counts, strict=True) if count)
        return f"{note}." if note else ""


def listed(sequences: Iterable[str]) -> list[str]:
    """The sequences as a list; a text by itself is one sequence. Raises ValueError when one is no text.

    >>> listed("ACGT"), listed(("A", "C"))
    (['ACGT'], ['A', 'C'])
    """
    found = [sequences] if isinstance(sequences, str) else list(sequences)
    for row, text in enumerate(found):
        if not isinstance(text, str):
            raise ValueError(
                f"Sequences must be texts; received {text!r:.40} ({type(text).__name__}) at index {row:,}. Leave it out."
            )
    return found


def clean(text: str, *, typed: bool) -> Cleaned:
    r"""The sequence in a text, upper-cased, with counts of what was changed.

    `typed` is True for text that a person typed or pasted: line breaks and spaces between bases are removed and counted, IUPAC
    letters are refused, because the person can say which base is meant. It is False for text from a file: IUPAC letters and gaps
    (-, *, X) become N and are counted, because references hold a few; whitespace inside is refused.

    A ValueError says that there is no base, or names the letter that is not allowed and its 1-based position, counted without
    whitespace.

    >>> clean("acg\nTN", typed=True)
    Cleaned(sequence='ACGTN', lowered=3, ambiguous=0, n=1, whitespace=1)
    """
    stripped = _text(text).strip()
    if not stripped:
        raise ValueError(f"A sequence must hold at least one base; received {text!r}. Paste or read the bases.")
    letters = "".join(stripped.split()) if typed else stripped
    # One '?' for each letter outside ASCII, so that positions stay those of the text.
    raw = letters.encode("ascii", "replace")
    upper = raw.upper()
    lowered = int(np.count_nonzero(np.frombuffer(raw, np.uint8) != np.frombuffer(upper, np.uint8)))
    allowed = b"ACGTN" if typed else b"ACGTN" + _NO_BASE
    if upper.translate(None, allowed):
        position = next(index for index, byte in enumerate(upper) if byte not in allowed)
        others = "" if typed else " (IUPAC letters and gaps become N)"
        raise ValueError(
            f"A sequence must be made of A, C, G, T, N{others}; received {letters[position]!r} at position "
            f"{position + 1:,}. {_advice(letters[position])}"
        )
    ambiguous = 0
    if not typed:
        ambiguous = len(upper) - len(upper.translate(None, _NO_BASE))
        upper = upper.translate(_TO_N)
    sequence = upper.decode("ascii")
    return Cleaned(sequence, lowered, ambiguous, sequence.count("N"), len(stripped) - len(letters))


def _text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"A sequence must be text; received {type(text).__name__}. Pass the bases as a str.")
    return text


def _advice(letter: str) -> str:
    if letter in "Uu":
        return "Is it RNA? Write T for U."
    if letter.upper() in IUPAC:
        return "Choose one of the bases that this IUPAC letter stands for, or write N."
    if letter == ">":
        return "Leave out the header line of the FASTA."
    if letter.isspace():
        return "Join the lines of the file first."
    return "Remove it, or write N where the base is not known."


def require(sequence: str) -> str:
    """The sequence itself, once it is known to be clean: upper-case A, C, G, T, N, at least one base."""
    if not _text(sequence):
        raise ValueError("A sequence must hold at least one base; received an empty one. Widen the region.")
    if sequence.encode("ascii", "replace").translate(None, b"ACGTN"):
        position = next(index for index, letter in enumerate(sequence) if letter not in "ACGTN")
        raise ValueError(
            f"A sequence must be upper-case A, C, G, T, N; received {sequence[position]!r} at position {position + 1:,}. Pass "
            f"the text through sequence.clean first."
        )
    return sequence


def reverse_complement(sequence: str) -> str:
    """The other strand of a clean sequence, read 5' to 3'; N stays N.

    >>> reverse_complement("AACGN")
    'NCGTT'
    """
    return require(sequence).translate(_COMPLEMENT)[::-1]


def gc(sequence: str) -> float:
    """Fraction of G and C among the bases of a clean sequence that are not N; nan when all are N.

    >>> gc("GCANN")
    0.6666666666666666
    """
    known = len(require(sequence)) - sequence.count("N")
    return (sequence.count("G") + sequence.count("C")) / known if known else float("nan")


def codes(sequence: str) -> np.ndarray:
    """Number of each base, uint8 [position]: A, C, G, T are 0 to 3, N and any other letter 4; empty text is allowed.

    >>> codes("ACGTN").tolist()
    [0, 1, 2, 3, 4]
    """
    return _BASE_INDEX[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]


def kmer_numbers(codes: np.ndarray, k: int, dtype: type = np.int64) -> tuple[np.ndarray, np.ndarray]:
    """Base-4 number of the k-mer at each place of `codes` where one fits, and whether it is free of N; else it means nothing.

    >>> [part.tolist() for part in kmer_numbers(codes("ACGN"), 2)]
    [[1, 6, 12], [True, True, False]]
    """
    places = max(len(codes) - k + 1, 0)
    number, clean = np.zeros(places, dtype), np.ones(places, bool)
    for offset in range(k):
        letter = codes[offset : offset + places]
        number = number * dtype(4) + letter
        clean &= letter < 4
    return number, clean


def one_hot(sequence: str) -> np.ndarray:
    """The clean sequence as float32 [position, base] in order ACGT; N is a row of zeros.

    >>> one_hot("CN").tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return _ONE_HOT[codes(require(sequence))]


def shuffle(sequence: str, *, k: int = 2, seed: int) -> str:
    """A random sequence with exactly the same k-mer counts, drawn uniformly from all of them.

    N stay where they are: each run between N is shuffled by itself. For `k` of 2 and more, keeping the counts also keeps the first
    and last `k - 1` bases of each run, and a run with a single arrangement comes back unchanged.

    References
    ----------
    Altschul SF, Erickson BW (1985) Mol Biol Evol 2:526-538: a k-mer preserving shuffle is a random Eulerian
    path over (k-1)-mers. They draw the last edges out of the vertices until these form a tree; here
    Wilson's (1996) loop-erased walks draw the tree at once, from the same distribution.

    Examples
    --------
    >>> shuffle("AATTNACGACTACA", k=1, seed=0)[4]
    'N'
    """
    if k < 1:
        raise ValueError(f"k must be at least 1 base; received {k}. 1 keeps bases, 2 keeps dinucleotides.")
    rng = np.random.default_rng(seed)
    return re.sub("[^N]+", lambda run: _shuffle_run(run[0], k, rng), require(sequence))


def _shuffle_run(run: str, k: int, rng: np.random.Generator) -> str:
    if k == 1:
        letters = np.frombuffer(run.encode("ascii"), dtype=np.uint8)
        return rng.permutation(letters).tobytes().decode("ascii")
    if len(run) <= k:
        return run
    # Vertices are (k-1)-mers, numbered in the order they appear; each base after the first k-1 is an edge.
    numbers: dict[str, int] = {}
    path = [numbers.setdefault(run[i : i + k - 1], len(numbers)) for i in range(len(run) - k + 2)]
    edges: list[list[int]] = [[] for _ in numbers]
    for source, target in itertools.pairwise(path):
        edges[source].append(target)
    for index, targets in enumerate(edges):
        edges[index] = [targets[i] for i in rng.permutation(len(targets))]
    # A path uses up all edges if and only if the last edges out of the vertices are a tree towards its end.
    in_tree = [False] * len(edges)
    in_tree[path[-1]] = True
    last: list[int] = [0] * len(edges)
    for vertex in range(len(edges)):
        walker = vertex
        while not in_tree[walker]:
            last[walker] = int(rng.integers(len(edges[walker])))
            walker = edges[walker][last[walker]]
        walker = vertex
        while not in_tree[walker]:
            in_tree[walker] = True
            targets, chosen = edges[walker], last[walker]
            walker = targets[chosen]
            targets[chosen], targets[-1] = targets[-1], targets[chosen]
    endings = [word[-1] for word in numbers]
    taken = [0] * len(edges)
    vertex, letters = path[0], [run[: k - 1]]
    for _ in range(len(path) - 1):
        source = vertex
        vertex = edges[source][taken[source]]
        taken[source] += 1
        letters.append(endings[vertex])
    return "".join(letters)


def apply_variant(sequence: str, interval: Interval, variant: Variant) -> str:
    """The sequence of the interval with the variant's ALT in place of its REF, longer or shorter for an indel.

    `sequence` is the clean text of `interval` in its own direction. The contig of the variant may be another alias. A ValueError
    says that it does not lie wholly inside, or that its REF is not what the sequence holds there.

    >>> apply_variant("ACGT", Interval("chr20", 1000, 1004), Variant("20", 1002, "C", "CTT"))
    'ACTTGT'
    """
    if len(require(sequence)) != len(interval):
        raise ValueError(
            f"The sequence must be as long as its interval; received {len(sequence):,} bases for {interval.label()}, which has "
            f"{len(interval):,}. Fetch the sequence of this interval."
        )
    if not interval.contains(variant.interval):
        same = canonical_contig(variant.chrom) == canonical_contig(interval.chrom)
        where = "outside" if same else "another contig"
        raise ValueError(
            f"The variant must lie wholly inside the interval; received {variant} for {interval.label()}: "
            f"{where}. Widen or move the interval."
        )
    forward = reverse_complement(sequence) if interval.strand == "-" else sequence
    offset = variant.start - interval.start
    end = offset + len(variant.ref)
    if forward[offset:end] != variant.ref:
        advice = "Check that both are of the same assembly, and that the position counts from 1."
        if forward[offset + 1 : end + 1] == variant.ref:
            advice = f"The REF fits at {variant.pos + 1}: the position may count from 0. {advice}"
        raise ValueError(
            f"The variant's REF must be the reference's; received {variant}, where the sequence holds "
            f"{forward[offset:end]}. {advice}"
        )
    changed = forward[:offset] + variant.alt + forward[end:]
    return reverse_complement(changed) if interval.strand == "-" else changed
