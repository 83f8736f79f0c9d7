"""Motifs of a file as one collection: MEME, JASPAR, HOMER and TRANSFAC."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntviz.environment import lines_of
from ntviz.genome.sequence import BASES
from ntviz.motifs.matrix import UNIFORM, Motif, as_background


class Motifs:
    """Several motifs with identifiers that differ, in order, found by identifier or by name.

    `background` holds the base probabilities ACGT that the file states; `source` is its name.
    """

    def __init__(
        self, motifs: Iterable[Motif], *, background: tuple[float, ...] = UNIFORM, source: str = "the collection"
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
            f"A motif must be one of the {len(self):,} of {self.source}; received {name!r}. {hint}Use one that is there."
        )

    def named(self, name: str) -> list[Motif]:
        """All motifs of a name, in any case; empty when there is none."""
        return [motif for motif in self if motif.name.lower() == name.lower()]


def read(path: str | Path) -> Motifs:
    r"""The motifs of a file, plain or gzip: MEME, JASPAR, HOMER or TRANSFAC, recognised by what it holds.

    MEME is version 4 or later: minimal, or the text that MEME, DREME and STREME write. JASPAR is four rows of counts under a
    line `>identifier name`, with or without the letters A, C, G, T; HOMER is a row a position; TRANSFAC is as JASPAR writes
    it. A file that is none of these, is truncated, is not of DNA or holds a broken motif is a ValueError that names the line.

    References
    ----------
    https://meme-suite.org/meme/doc/meme-format.html, https://jaspar.elixir.no/docs/,
    http://homer.ucsd.edu/homer/motif/creatingCustomMotifs.html

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "toy.meme"
    >>> matrix = "letter-probability matrix: alength= 4 w= 2 nsites= 8\n 1 0 0 0\n 0 0 0.5 0.5\n"
    >>> _ = file.write_text(f"MEME version 4\n\nMOTIF M1 toy\n{matrix}")
    >>> motifs = read(file)
    >>> list(motifs), motifs["toy"].nsites
    ([Motif(M1 toy, 2 bp)], 8)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"A motif file must exist; received {path}, and there is none.")
    lines = [line for _, line in lines_of(path)]
    if any(line.startswith("MEME version") for line in lines):
        return _meme(path.name, lines)
    return Motifs(_of_matrices(path.name, lines), source=path.name)


def _meme(source: str, lines: list[str]) -> Motifs:
    """The motifs of the lines of a MEME file; errors name the line, counted from 1."""

    def error(at: int, what: str) -> ValueError:
        line = lines[at - 1][:80]
        return ValueError(f"Line {at} of {source} must be MEME format, but {what}: {line!r}. Correct the line.")

    def number(text: str, at: int) -> float:
        with suppress(ValueError):
            if math.isfinite(value := float(text)):
                return value
        raise error(at, f"{text[:20]!r} must be a number")

    motifs: list[Motif] = []
    background: tuple[float, ...] = UNIFORM
    names: list[str] = []
    for at, line in enumerate(map(str.strip, lines), start=1):
        if line.startswith("ALPHABET"):
            # `ALPHABET= ACGT`, or lines that define each letter, a pair by a line, and END ALPHABET
            given = re.match(r"ALPHABET\s*=\s*(\S+)", line)
            letters = set(given[1]) if given else set()
            block = itertools.takewhile(lambda text: not text.startswith("END ALPHABET"), lines[at:])
            for bare in () if given else (re.sub('"[^"]*"', "", text) for text in block):
                if "=" not in bare:  # as in N = ACGT
                    letters |= {part.split()[0] for part in bare.split("~") if part.strip()}
            if letters != set(BASES) or (given and given[1] != BASES):
                raise error(at, f"the alphabet must be {BASES}")
        elif line.startswith("Background letter frequencies"):
            stated: dict[str, float] = {}
            last = at
            for last, text in enumerate(lines[at : at + len(BASES)], start=at + 1):
                fields = text.split()
                if len(fields) % 2 or not fields:
                    raise error(last, "background frequencies must be letters with numbers")
                stated |= dict(zip(fields[::2], (number(field, last) for field in fields[1::2]), strict=True))
                if len(stated) >= len(BASES):
                    break
            if sorted(stated) != sorted(BASES):
                raise error(last, f"background frequencies must be of {BASES}")
            background = tuple(stated[base] for base in BASES)
        elif line.startswith("MOTIF"):
            names = line.partition("width =")[0].split()[1:]  # MEME's own output goes on with width, sites and E-value
            if not names:
                raise error(at, "a motif must have an identifier")
        elif line.startswith("letter-probability matrix"):
            if not names:
                raise error(at, "a matrix must follow a line MOTIF")
            sites, width = (re.search(rf"\b{key}\s*=\s*(\S+)", line) for key in ("nsites", "w"))
            nsites = None if sites is None else round(number(sites[1], at))
            rows: list[list[float]] = []
            for text in itertools.takewhile(lambda text: re.match(r"\s*[-+]?[.\d]", text), lines[at:]):
                last, fields = at + len(rows) + 1, text.split()
                if len(fields) != len(BASES):
                    raise error(last, f"a row of a matrix must have {len(BASES)} numbers")
                rows.append([number(field, last) for field in fields])
            last = at + len(rows)
            if width is not None and len(rows) != number(width[1], at):
                raise error(last, f"{names[0]} must have w= {width[1]} rows and has {len(rows)}")
            try:
                motifs.append(Motif(names[0], np.array(rows), name=" ".join(names[1:]), nsites=nsites or None))
            except ValueError as wrong:
                raise ValueError(f"Line {last} of {source}: {wrong}") from None
    if not motifs:
        raise ValueError(
            f"A motif file must hold a motif; {source} holds none with a letter-probability matrix. Check that it is whole."
        )
    return Motifs(motifs, background=background, source=source)


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
            yield _motif(matrix, free[0])
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
                raise ValueError(f"Line {number} of {source} must name the columns A, C, G, T; received {line[:30]!r}.")
            matrix = _Matrix(number, [], [])
        elif key.isdigit() and matrix.line:
            matrix.rows.append(cells[:4])
        elif key == "//" and matrix.line:
            found = [names[key] for key in ("AC", "ID", "NA") if key in names]
            yield matrix._replace(names=[found[0], found[-1]] if found else [str(matrix.line)])
            names, matrix = {}, _Matrix(0, [], [])


def _motif(matrix: _Matrix, identifier: str) -> Motif:
    """The motif of a matrix that lies either way; counts or probabilities."""
    name = matrix.names[0]
    try:
        values = np.array([[float(cell) for cell in row] for row in matrix.rows])
    except ValueError:
        raise ValueError(f"a matrix must be rows of numbers, all of one length; {name} is not.") from None
    if matrix.letters:
        if sorted(matrix.letters) != list(BASES):
            raise ValueError(f"a matrix must have one row for each of A, C, G, T; {name} has {matrix.letters}.")
        values = values[[matrix.letters.index(base) for base in BASES]].T
    elif values.shape == (4, 4) and len(matrix.names) < 3:
        # Four positions of four bases: each position has the same sites, so its sum tells which way it lies.
        across, down = (np.allclose(sums := values.sum(axis=axis), sums[0], rtol=0.01) for axis in (1, 0))
        if across == down:
            raise ValueError(
                f"a matrix must say where its bases are; the four rows of four of {name} can be read both ways. "
                f"Write A, C, G and T before them."
            )
        values = values if across else values.T
    elif values.ndim == 2 and values.shape[1] != 4:
        values = values.T
    if (values < 0).any():
        raise ValueError(f"a matrix must hold counts or probabilities; {identifier} holds scores below 0. Take its counts.")  # fmt: skip
    probable = values.ndim == 2 and values.shape[1] == 4 and np.allclose(values.sum(axis=1), 1, atol=0.01)
    return (Motif if probable else Motif.from_counts)(identifier, values, name="".join(matrix.names[1:2]))
