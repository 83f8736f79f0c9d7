"""Motifs of a file as one collection: MEME format here, and others by `formats`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ntviz.environment import lines_of
from ntviz.motifs import formats
from ntviz.motifs.matrix import UNIFORM, Motif, as_background
from ntviz.sequence import BASES

_ALPHABET = re.compile(r"ALPHABET\s*=\s*(\S+)")
_SITES = re.compile(r"\bnsites\s*=\s*(\S+)")
_WIDTH = re.compile(r"\bw\s*=\s*(\S+)")


class Motifs:
    """Several motifs, in order, found by identifier or by name.

    Parameters
    ----------
    motifs
        With identifiers that differ.
    background
        Base probabilities ACGT that the file states; 0.25 each when it states none.
    source
        Name of the file, for messages.

    Raises
    ------
    ValueError
        If an identifier is there twice.
    """

    def __init__(
        self,
        motifs: Iterable[Motif],
        *,
        background: tuple[float, ...] = UNIFORM,
        source: str = "the collection",
    ) -> None:
        self._motifs: dict[str, Motif] = {}
        for motif in motifs:
            if motif.id in self._motifs:
                raise ValueError(
                    f"Each motif must have an identifier of its own; {source} has {motif.id!r} twice. Rename one of them."
                )
            self._motifs[motif.id] = motif
        self.background = tuple(as_background(background).tolist())
        self.source = source

    def __len__(self) -> int:
        """Number of motifs."""
        return len(self._motifs)

    def __iter__(self) -> Iterator[Motif]:
        return iter(self._motifs.values())

    def __repr__(self) -> str:
        return f"Motifs({self.source}: {len(self):,} motifs)"

    def __getitem__(self, name: str) -> Motif:
        """The motif of an identifier, with or without its version, or of a name that one motif has.

        Raises
        ------
        ValueError
            If there is none (the message names the nearest), or there are several.
        """
        if name in self._motifs:
            return self._motifs[name]
        found = [motif for motif in self if motif.id.partition(".")[0] == name] or self.named(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"A motif must be one; {name!r} is {', '.join(motif.id for motif in found)} in {self.source}. Use an "
                f"identifier, or named({name!r}) for all of them."
            )
        known = {text.upper(): text for motif in self for text in (motif.id, motif.name)}
        nearest = [known[text] for text in difflib.get_close_matches(name.upper(), known, n=3, cutoff=0.6)]
        hint = f"Nearest: {', '.join(nearest)}. " if nearest else ""
        raise ValueError(
            f"A motif must be one of the {len(self):,} of {self.source}; received {name!r}. {hint}Use an identifier or a "
            f"name that is there."
        )

    def named(self, name: str) -> list[Motif]:
        """All motifs of a name, in any case; empty when there is none."""
        return [motif for motif in self if motif.name.lower() == name.lower()]


def read(path: str | Path) -> Motifs:
    r"""The motifs of a file, plain or gzip: MEME, JASPAR, HOMER or TRANSFAC, told by what it holds.

    MEME is version 4 or later: minimal, or the text that MEME, DREME and STREME write. JASPAR is four rows of counts under a
    line `>identifier name`, with or without the letters A, C, G, T; HOMER is a row a position.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is none of these, is truncated, is not of DNA or holds a motif that is broken; the message names the line.

    References
    ----------
    The minimal MEME motif format of the MEME suite (https://meme-suite.org/meme/doc/meme-format.html); of other parts
    of MEME's own output nothing is read. JASPAR's matrix formats (https://jaspar.elixir.no/docs/), HOMER's motif files
    (http://homer.ucsd.edu/homer/motif/creatingCustomMotifs.html), and TRANSFAC's as JASPAR writes it.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "toy.meme"
    >>> _ = file.write_text(
    ...     "MEME version 4\n\nMOTIF M1 toy\nletter-probability matrix: alength= 4 w= 2 nsites= 8\n 1 0 0 0\n 0 0 0.5 0.5\n"
    ... )
    >>> motifs = read(file)
    >>> list(motifs), motifs["toy"].nsites
    ([Motif(M1 toy, 2 bp)], 8)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A motif file must exist; received {path}, and there is none. Check the path."
        )
    lines = [line for _, line in lines_of(path)]
    if any(line.startswith("MEME version") for line in lines):
        return _Parser(path.name, lines).motifs()
    return Motifs(formats.read(path, lines), source=path.name)


class _Parser:
    """Lines of a MEME file, taken one by one; errors name the line, counted from 1."""

    def __init__(self, source: str, lines: list[str]) -> None:
        self.source, self.lines, self.at = source, lines, 0

    def motifs(self) -> Motifs:
        found: list[Motif] = []
        background = UNIFORM
        names: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            self.at += 1
            if line.startswith("ALPHABET"):
                self._alphabet(line)
            elif line.startswith("Background letter frequencies"):
                background = self._background()
            elif line.startswith("MOTIF"):
                # MEME's own output goes on with width, sites and E-value.
                names = line.partition("width =")[0].split()[1:]
                if not names:
                    raise self._error("a motif must have an identifier")
            elif line.startswith("letter-probability matrix"):
                found.append(self._motif(names, line))
        if not found:
            raise ValueError(
                f"A motif file must hold a motif; {self.source} holds none with a letter-probability matrix. Check that it "
                f"is whole."
            )
        return Motifs(found, background=background, source=self.source)

    def _alphabet(self, line: str) -> None:
        """Refuse what is not DNA: `ALPHABET= ACGT`, or lines that define each letter, a pair by a line, and END ALPHABET."""
        given, begin = _ALPHABET.match(line), self.at
        letters = set(given[1]) if given else set()
        while given is None and self.at < len(self.lines):
            bare = re.sub('"[^"]*"', "", self.lines[self.at])
            self.at += 1
            if bare.startswith("END ALPHABET"):
                break
            if "=" not in bare:  # as in N = ACGT
                letters |= {part.split()[0] for part in bare.split("~") if part.strip()}
        if letters != set(BASES) or (given and given[1] != BASES):
            self.at = begin
            raise self._error(f"the alphabet must be {BASES}")

    def _background(self) -> tuple[float, ...]:
        letters: dict[str, float] = {}
        while self.at < len(self.lines) and len(letters) < len(BASES):
            fields = self.lines[self.at].split()
            self.at += 1
            if len(fields) % 2 or not fields:
                raise self._error("background frequencies must be letters with numbers")
            letters |= dict(zip(fields[::2], map(self._number, fields[1::2]), strict=True))
        if sorted(letters) != sorted(BASES):
            raise self._error(f"background frequencies must be of {BASES}")
        return tuple(letters[base] for base in BASES)

    def _motif(self, names: list[str], header: str) -> Motif:
        if not names:
            raise self._error("a matrix must follow a line MOTIF")
        sites, width = _SITES.search(header), _WIDTH.search(header)
        nsites = None if sites is None else round(self._number(sites[1]))
        rows: list[list[float]] = []
        while self.at < len(self.lines) and re.match(r"\s*[-+]?[.\d]", self.lines[self.at]):
            fields = self.lines[self.at].split()
            self.at += 1
            if len(fields) != len(BASES):
                raise self._error(f"a row of a matrix must have {len(BASES)} numbers")
            rows.append([self._number(field) for field in fields])
        if width is not None and len(rows) != self._number(width[1]):
            raise self._error(f"{names[0]} must have w= {width[1]} rows and has {len(rows)}")
        try:
            return Motif(names[0], np.array(rows), name=" ".join(names[1:]), nsites=nsites or None)
        except ValueError as error:
            raise ValueError(f"Line {self.at} of {self.source}: {error}") from None

    def _number(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._error(f"{text[:20]!r} must be a number")
        return number

    def _error(self, what: str) -> ValueError:
        line = self.lines[min(self.at, len(self.lines)) - 1]
        return ValueError(
            f"Line {self.at} of {self.source} must be MEME format, but {what}: {line[:80]!r}. Correct the line."
        )
