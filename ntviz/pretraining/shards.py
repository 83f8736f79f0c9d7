"""A genome tokenised once: the k-mer that begins at each base, on disk, mapped into memory.

Tokens of any frame on either strand are then a strided slice, so random starts cost nothing, and what is read equals
tokenising the FASTA, id for id. Two bytes a base.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from ntviz import environment
from ntviz.pretraining.bases import Indexed, N, decode, reverse
from ntviz.reference import Reference
from ntviz.tokens import Tokenizer, Vocabulary

_PIECE = 1 << 22
_FORMAT = 1
_TRACK, _CONTENTS = "track.npy", "contigs.json"


class Track:
    """The k-mers of one contig; sliced, it gives base codes.

    Parameters
    ----------
    folder
        What `write` returned.
    first
        Where the contig begins in the file, in bases.
    length
        Bases of the contig.
    k
        Letters of a token.
    """

    def __init__(self, folder: Path, first: int, length: int, k: int) -> None:
        self.folder, self._first, self._length, self.k = folder, first, length, k

    def __len__(self) -> int:
        """Bases of the contig."""
        return self._length

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Codes of a part, uint8 [base]; A C G T N are 0 to 4."""
        numbers = self._numbers[part]
        leading = numbers >> (2 * (self.k - 1))
        return np.where(numbers < 4**self.k, leading, numbers - 4**self.k).astype(np.uint8)

    @property
    def _numbers(self) -> np.ndarray:
        return _mapped(self.folder)[self._first : self._first + self._length]

    def tokens(self, start: int, end: int, backwards: bool, tokenizer: Tokenizer) -> np.ndarray:
        """Token ids of a part of the contig, as the tokenizer gives them.

        Parameters
        ----------
        start, end
            0-based half-open, bp.
        backwards
            Read the other strand.
        """
        vocabulary = tokenizer.vocabulary
        whole = (end - start) // self.k * self.k
        if backwards:
            numbers, rest = self._numbers[end - whole : end : self.k][::-1], self[start : end - whole]
        else:
            numbers, rest = self._numbers[start : start + whole : self.k], self[start + whole : end]
        if vocabulary.k != self.k or (numbers >= 4**self.k).any() or (rest == N).any():
            part = self[start:end]
            return tokenizer(decode(reverse(part) if backwards else part)).ids
        singles = vocabulary.single_ids[reverse(rest) if backwards else rest]
        kmers = _ids(vocabulary.name, backwards)[numbers]
        return np.concatenate([[vocabulary.cls_id] if vocabulary.n_special else [], kmers, singles]).astype(
            np.int64
        )


def write(fasta: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, *, k: int = 6) -> Path:
    """The folder with the k-mers of a FASTA, made once and found again by the file's content.

    Parameters
    ----------
    fasta
        Plain or bgzip.
    folder
        Where such folders are kept; default: the cache folder.
    k
        Letters of a token, at most 7: a number must fit in two bytes.

    Raises
    ------
    ValueError
        A k that does not fit, or a FASTA without bases.
    OSError
        The disk is full; nothing half-written is left.
    """
    if not 1 <= k <= 7:
        raise ValueError(f"k must be 1 to 7, so that a k-mer fits in two bytes; got {k}.")
    fasta = Path(fasta)
    kept = Path(folder) if folder is not None else environment.cache_dir() / "pretraining"
    target = kept / f"{environment.sha256(fasta)[:32]}-k{k}-{_FORMAT}"
    if (target / _CONTENTS).is_file():
        return target
    with Reference(fasta) as reference:
        contigs = dict(reference.contigs)
    total = sum(contigs.values())
    if not total:
        raise ValueError(f"A FASTA must hold bases to be tokenised; {fasta} holds none. Check the file.")
    with (
        environment.atomic_directory(target) as made,
        environment.progress(total=total, what="tokenising", unit="bases") as bar,
    ):
        track = np.lib.format.open_memmap(made / _TRACK, mode="w+", dtype=np.uint16, shape=(total,))
        first = 0
        for chrom, length in contigs.items():
            codes = Indexed(fasta, chrom, length)
            for start in range(0, length, _PIECE):
                end = min(start + _PIECE, length)
                track[first + start : first + end] = _kmers(codes[start : min(end + k - 1, length)], k)[
                    : end - start
                ]
                bar.update(end - start)
            first += length
        track.flush()
        del track
        (made / _CONTENTS).write_text(json.dumps({"k": k, "contigs": contigs}) + "\n", encoding="utf-8")
    return target


def read(folder: str | os.PathLike[str]) -> dict[str, Track]:
    """The contigs of a folder that `write` made, in the FASTA's order.

    Raises
    ------
    ValueError
        The folder is damaged.
    """
    folder = Path(folder)
    try:
        contents = json.loads((folder / _CONTENTS).read_text(encoding="utf-8"))
        k, contigs = (
            int(contents["k"]),
            {str(name): int(length) for name, length in contents["contigs"].items()},
        )
        found = len(_mapped(folder))
    except (*environment.DAMAGED, OSError, AttributeError) as error:
        raise _damaged(folder, f"reading it failed: {type(error).__name__}: {error}") from error
    if found != sum(contigs.values()):
        raise _damaged(folder, f"it holds {found:,} bases, its list of contigs {sum(contigs.values()):,}")
    tracks, first = {}, 0
    for chrom, length in contigs.items():
        tracks[chrom] = Track(folder, first, length, k)
        first += length
    return tracks


def _damaged(folder: Path, why: str) -> ValueError:
    return ValueError(
        f"{folder} must be a genome tokenised by shards.write; {why}. Delete the folder: it is made anew."
    )


@lru_cache(maxsize=64)
def _mapped(folder: Path) -> np.ndarray:
    # A mapping holds a file open; hundreds of genomes must not.
    return np.load(folder / _TRACK, mmap_mode="r")


def _kmers(codes: np.ndarray, k: int) -> np.ndarray:
    """Base-4 number of the k-mer that begins at each base, uint16; where it has N or runs out, 4**k + the base's code."""
    padded = np.concatenate([codes, np.full(k - 1, N, np.uint8)])
    number = np.zeros(len(codes), np.uint16)
    clean = np.ones(len(codes), bool)
    for offset in range(k):
        letter = padded[offset : offset + len(codes)]
        number = number * np.uint16(4) + letter
        clean &= letter < N
    return np.where(clean, number, np.uint16(4**k) + codes).astype(np.uint16)


@lru_cache(maxsize=8)
def _ids(name: str, backwards: bool) -> np.ndarray:
    """Token id of each k-mer's number, or of its reverse complement's."""
    from ntviz.tokens import VOCABULARIES

    vocabulary: Vocabulary = VOCABULARIES[name]
    powers = 4 ** np.arange(vocabulary.k - 1, -1, -1)
    letters = vocabulary.kmer_base_codes
    numbers = (3 - letters[:, ::-1] if backwards else letters) @ powers
    ids = np.empty(4**vocabulary.k, np.int64)
    ids[numbers] = np.arange(vocabulary.kmer_ids.start, vocabulary.kmer_ids.stop)
    return ids
