"""Bases as numbers: in memory, read through a FASTA's index when sliced, or as k-mers on disk. A corpus treats all alike."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ntviz import environment, storage
from ntviz.genome import Interval
from ntviz.genome.sequence import codes as encode
from ntviz.genome.sequence import kmer_numbers
from ntviz.reference import Reference
from ntviz.storage import AnyPath
from ntviz.tokens import VOCABULARIES, Tokenizer, Vocabulary

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
N = 4  # code of an unknown base; A, C, G, T are 0 to 3
_PIECE, _FORMAT = 1 << 22, 1
_TRACK, _CONTENTS = "track.npy", "contigs.json"


def decode(codes: np.ndarray) -> str:
    """The upper-case sequence of base codes [base].

    >>> decode(encode("GATTACA"))
    'GATTACA'
    """
    return _LETTERS[codes].tobytes().decode("ascii")


def reverse(codes: np.ndarray) -> np.ndarray:
    """Codes [base] of the other strand.

    >>> reverse(encode("AACN")).tolist()
    [4, 2, 3, 3]
    """
    return np.where(codes < N, 3 - codes, N).astype(np.uint8)[::-1]


# Both open files are few: hundreds of genomes must not hold hundreds of files open.
_opened = lru_cache(maxsize=64)(Reference)


@lru_cache(maxsize=64)
def _mapped(folder: Path) -> np.ndarray:
    return np.load(folder / _TRACK, mmap_mode="r")


@dataclass(frozen=True)
class Indexed:
    """Base codes of a contig that stay in the FASTA until they are sliced: uint8 [base], in steps of 1."""

    path: Path
    chrom: str
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice, /) -> np.ndarray:
        start, end, step = part.indices(self.length)
        if step != 1:
            raise ValueError(f"Bases of a FASTA are read in steps of 1; got {step}. Slice what comes back.")
        if end <= start:
            return np.zeros(0, np.uint8)
        return encode(_opened(self.path).fetch(Interval(self.chrom, start, end)).sequence)


@dataclass(frozen=True)
class Track:
    """The k-mer that begins at each base of a contig, two bytes a base on disk; sliced, it gives base codes, uint8 [base].

    Tokens of any frame on either strand are then a strided slice, and equal tokenising the FASTA.
    """

    folder: Path
    first: int
    length: int
    k: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice, /) -> np.ndarray:
        numbers = self._numbers[part]
        leading = numbers >> (2 * (self.k - 1))
        return np.where(numbers < 4**self.k, leading, numbers - 4**self.k).astype(np.uint8)

    @property
    def _numbers(self) -> np.ndarray:
        return _mapped(self.folder)[self.first : self.first + self.length]

    def tokens(self, start: int, end: int, backwards: bool, tokenizer: Tokenizer) -> np.ndarray:
        """Token ids of a part (0-based half-open) of the contig or of its other strand, as the tokenizer gives them."""
        vocabulary = tokenizer.vocabulary
        whole = (end - start) // self.k * self.k
        if backwards:
            numbers, rest = self._numbers[end - whole : end : self.k][::-1], self[start : end - whole]
        else:
            numbers, rest = self._numbers[start : start + whole : self.k], self[start + whole : end]
        if vocabulary.k != self.k or (numbers >= 4**self.k).any() or (rest == N).any():
            return token_ids(self[start:end], backwards, tokenizer)
        singles = vocabulary.single_ids[reverse(rest) if backwards else rest]
        first = [vocabulary.cls_id] if vocabulary.n_special else []
        return np.concatenate([first, _ids(vocabulary.name, backwards)[numbers], singles]).astype(np.int64)


Codes = np.ndarray | Indexed | Track
"""Base codes [base] of a contig: an array, or what reads one when sliced."""


def token_ids(codes: np.ndarray, backwards: bool, tokenizer: Tokenizer) -> np.ndarray:
    """Token ids of base codes, or of their other strand."""
    return tokenizer(decode(reverse(codes) if backwards else codes)).ids


def shards(fasta: AnyPath, folder: AnyPath | None = None, *, k: int = 6) -> dict[str, Track]:
    """The contigs of a FASTA (plain or bgzip) as k-mers on disk, made once and found again by the file's content.

    They are kept in `folder`, the cache folder when None. Tokens have `k` letters, at most 7, as a number has two bytes.

    Raises
    ------
    ValueError, OSError
        A k that does not fit, a FASTA without bases, or what was made before is damaged; the disk is full, and nothing is left.
    """
    if not 1 <= k <= 7:
        raise ValueError(f"k must be 1 to 7, so that a k-mer fits in two bytes; got {k}.")
    fasta = environment.opened(Path(fasta))
    kept = Path(folder) if folder is not None else environment.cache_dir() / "pretraining"
    target = kept / f"{storage.sha256(fasta)[:32]}-k{k}-{_FORMAT}"
    if not (target / _CONTENTS).is_file():
        _write(fasta, target, k)
    try:
        contents = json.loads((target / _CONTENTS).read_text(encoding="utf-8"))["contigs"]
        contigs = {str(name): int(length) for name, length in contents.items()}
        if len(_mapped(target)) != (total := sum(contigs.values())):
            raise ValueError(f"it holds {len(_mapped(target)):,} bases, its contigs {total:,}")
    except (*storage.DAMAGED, OSError, AttributeError) as error:
        raise ValueError(f"{target} must be a genome tokenised by ntviz; reading it failed: {type(error).__name__}: {error}. "
                         "Delete the folder: it is made anew.") from error  # fmt: skip
    firsts = itertools.accumulate(contigs.values(), initial=0)
    return {name: Track(target, first, size, k) for (name, size), first in zip(contigs.items(), firsts, strict=False)}


def _write(fasta: Path, target: Path, k: int) -> None:
    with Reference(fasta) as reference:
        contigs = dict(reference.contigs)
    total, first = sum(contigs.values()), 0
    if not total:
        raise ValueError(f"A FASTA must hold bases to be tokenised; {fasta} holds none. Check the file.")
    with (
        storage.atomic_directory(target) as made,
        environment.progress(total=total, what="tokenising", unit="bases") as bar,
    ):
        track = np.lib.format.open_memmap(made / _TRACK, mode="w+", dtype=np.uint16, shape=(total,))
        for chrom, length in contigs.items():
            codes = Indexed(fasta, chrom, length)
            for start in range(0, length, _PIECE):
                end = min(start + _PIECE, length)
                # Where a k-mer has N or the contig ends: 4**k + the base's code.
                padded = np.concatenate([codes[start : end + k - 1], np.full(k - 1, N, np.uint8)])[: end - start + k - 1]  # fmt: skip
                number, clean = kmer_numbers(padded, k, np.uint16)
                track[first + start : first + end] = np.where(clean, number, np.uint16(4**k) + padded[: end - start])
                bar.update(end - start)
            first += length
        track.flush()
        del track
        (made / _CONTENTS).write_text(json.dumps({"k": k, "contigs": contigs}) + "\n", encoding="utf-8")


def token_numbers(vocabulary: Vocabulary, backwards: bool = False) -> np.ndarray:
    """Base-4 number of each k-mer token, in the order of their ids, or of its reverse complement."""
    letters = vocabulary.kmer_base_codes
    return (3 - letters[:, ::-1] if backwards else letters) @ (4 ** np.arange(vocabulary.k - 1, -1, -1))


@lru_cache(maxsize=8)
def _ids(name: str, backwards: bool) -> np.ndarray:
    """Token id of each k-mer's number, or of its reverse complement's."""
    return VOCABULARIES[name].kmer_ids.start + np.argsort(token_numbers(VOCABULARIES[name], backwards))


def fingerprint(content: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def unknown_runs(codes: Codes) -> tuple[np.ndarray, str]:
    """Stretches of N of a contig, int64 [run, (start, end)], 0-based half-open, and its fingerprint; read piece by piece."""
    edges, digest, before = [np.zeros(0, np.int64)], hashlib.sha256(), False
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        digest.update(piece.tobytes())
        unknown = piece == N
        edges.append(np.flatnonzero(np.diff(unknown, prepend=before)) + start)
        before = bool(unknown[-1])
    if before:
        edges.append(np.array([len(codes)]))
    return np.concatenate(edges).reshape(-1, 2), digest.hexdigest()[:16]


def unknown_before(runs: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """How many N lie before each position, from the runs that `unknown_runs` gives.

    >>> unknown_before(np.array([[2, 4], [6, 7]]), np.array([0, 3, 5, 9])).tolist()
    [0, 1, 2, 3]
    """
    # The count grows by one a base inside of a run and stays between two.
    total = np.append(0, np.cumsum(runs[:, 1] - runs[:, 0]))
    count = np.stack([total[:-1], total[1:]], axis=1)
    return np.interp(positions, np.append(-1, runs), np.append(0, count)).astype(np.int64)
