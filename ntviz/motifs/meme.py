"""Motifs of a file as one collection: MEME, JASPAR, HOMER and TRANSFAC."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntviz.environment import lines_of
from ntviz.genome.sequence import BASES
from ntviz.motifs.matrix import UNIFORM, Motif, as_background


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
        """The motif of an identifier, with or without its version, or of a name that one motif has; else a ValueError."""
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
        If the file is none of these, is truncated, is not of DNA or holds a broken motif; the message names the line.

    References
    ----------
    https://meme-suite.org/meme/doc/meme-format.html, https://jaspar.elixir.no/docs/,
    http://homer.ucsd.edu/homer/motif/creatingCustomMotifs.html; TRANSFAC as JASPAR writes it.

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
        return _Meme(path.name, lines).motifs()
    return Motifs(_of_matrices(path.name, lines), source=path.name)


class _Meme:
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
        given, begin = re.match(r"ALPHABET\s*=\s*(\S+)", line), self.at
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
        sites, width = (re.search(rf"\b{key}\s*=\s*(\S+)", header) for key in ("nsites", "w"))
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


class _Matrix(NamedTuple):
    """Rows of numbers as they stand in a file; the letters before them, none where there are none."""

    line: int
    names: list[str]
    rows: list[list[str]]
    letters: str = ""


def _of_matrices(source: str, lines: Sequence[str]) -> Iterator[Motif]:
    """The motifs of a JASPAR, HOMER or TRANSFAC file; errors name the first line of a matrix."""
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if re.match(r">|\s*([ACGTacgt]\s*[\[|:]?\s*)?[-+]?[.\d]", first):
        matrices = _headed(source, lines)
    elif any(re.match(r"P[0O]\s", line) for line in lines):
        matrices = _transfac(source, lines)
    else:
        kind = f"begins with {first[:40]!r}" if first else "is empty"
        raise ValueError(
            f"A motif file must be MEME, JASPAR, HOMER or TRANSFAC; {source} {kind}. Convert it with the MEME suite, for "
            f"example uniprobe2meme, or write counts of A, C, G, T in four rows under a line '>NAME'."
        )
    taken: set[str] = set()
    for matrix in matrices:
        # HOMER's motifs begin with a consensus, which two may share.
        free = [name for name in matrix.names[:2] if name not in taken] or matrix.names
        taken.add(free[0])
        try:
            yield _motif(free[0], "".join(matrix.names[1:2]), _oriented(matrix))
        except ValueError as error:
            raise ValueError(f"Line {matrix.line or 1} of {source}: {error}") from None


def _headed(source: str, lines: Sequence[str]) -> Iterator[_Matrix]:
    """Matrices under lines that begin with '>'; one without such a line is named as the file is."""
    matrix = _Matrix(0, [source.removesuffix(".gz").rsplit(".", 1)[0]], [])
    for number, line in enumerate(lines, start=1):
        if line.startswith(">"):
            if matrix.rows or matrix.line:
                yield matrix
            names = line[1:].strip().split("\t") if "\t" in line.strip() else line[1:].split(maxsplit=1)
            matrix = _Matrix(number, [name.strip() for name in names] or [str(number)], [])
        elif line.strip() and not line.startswith("#"):
            cells = re.sub(r"[\[\]|:]", " ", line).split()
            letter = cells.pop(0).upper() if cells[0].upper() in BASES else ""
            matrix.rows.append(cells)
            matrix = matrix._replace(letters=matrix.letters + letter)
    yield matrix


def _transfac(source: str, lines: Sequence[str]) -> Iterator[_Matrix]:
    """Matrices of records that end in //; rows are positions under a line P0 with the four bases."""
    names: dict[str, str] = {}
    matrix = _Matrix(0, [], [])
    for number, line in enumerate([*lines, "//"], start=1):
        key, *cells = line.split() or [""]
        if key in ("AC", "ID", "NA"):
            names.setdefault(key, " ".join(cells))
        elif key in ("P0", "PO"):
            if [cell.upper() for cell in cells[:4]] != list(BASES):
                raise ValueError(
                    f"Line {number} of {source} must name the columns A, C, G, T; received {line[:40]!r}."
                )
            matrix = _Matrix(number, [], [])
        elif key.isdigit() and matrix.line:
            matrix.rows.append(cells[:4])
        elif key == "//" and matrix.line:
            found = [names[key] for key in ("AC", "ID", "NA") if key in names]
            yield matrix._replace(names=[found[0], found[-1]] if found else [str(matrix.line)])
            names, matrix = {}, _Matrix(0, [], [])


def _oriented(matrix: _Matrix) -> np.ndarray:
    """Numbers [position, base] in the order ACGT."""
    name = matrix.names[0]
    try:
        values = np.array([[float(cell) for cell in row] for row in matrix.rows])
    except ValueError:
        raise ValueError(f"a matrix must be rows of numbers, all of one length; {name} is not.") from None
    if matrix.letters:
        if sorted(matrix.letters) != list(BASES):
            raise ValueError(
                f"a matrix must have one row for each of A, C, G, T; {name} has {matrix.letters}."
            )
        return values[[matrix.letters.index(base) for base in BASES]].T
    if values.shape == (4, 4) and len(matrix.names) < 3:
        # Four positions of four bases: each position has the same sites, so its sum tells which way it lies.
        across, down = (np.allclose(sums := values.sum(axis=axis), sums[0], rtol=0.01) for axis in (1, 0))
        if across == down:
            raise ValueError(
                f"a matrix must say where its bases are; the four rows of four of {name} can be read both ways. "
                f"Write A, C, G and T before them."
            )
        return values if across else values.T
    return values.T if values.ndim == 2 and values.shape[1] != 4 else values


def _motif(identifier: str, name: str, values: np.ndarray) -> Motif:
    if (values < 0).any():
        raise ValueError(
            f"a matrix must hold counts or probabilities; {identifier} holds scores below 0. Take its counts."
        )
    if values.ndim == 2 and values.shape[1] == 4 and np.allclose(values.sum(axis=1), 1, atol=0.01):
        return Motif(identifier, values, name=name)
    return Motif.from_counts(identifier, values, name=name)
