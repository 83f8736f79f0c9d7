"""Motif files that are not MEME's: matrices of JASPAR, HOMER and TRANSFAC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntviz.motifs.matrix import Motif
from ntviz.sequence import BASES

_MATRIX = re.compile(r"\s*([ACGTacgt]\s*[\[|:]?\s*)?[-+]?[.\d]")


class _Matrix(NamedTuple):
    """Rows of numbers as they stand in a file; the letters before them, none where there are none."""

    line: int
    names: list[str]
    rows: list[list[str]]
    letters: str = ""


def read(path: Path, lines: Sequence[str]) -> Iterator[Motif]:
    """The motifs of the lines of a file.

    Raises
    ------
    ValueError
        If they are in none of the three formats, or a matrix is broken; the message names its first line.
    """
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if first.startswith(">") or _MATRIX.match(first):
        matrices = _headed(path, lines)
    elif any(re.match(r"P[0O]\s", line) for line in lines):
        matrices = _transfac(path, lines)
    else:
        kind = f"begins with {first[:40]!r}" if first else "is empty"
        raise ValueError(
            f"A motif file must be MEME, JASPAR, HOMER or TRANSFAC; {path.name} {kind}. Convert it with "
            f"the MEME suite, for example uniprobe2meme, or write counts of A, C, G, T in four rows under a line '>NAME'."
        )
    taken: set[str] = set()
    for matrix in matrices:
        # HOMER's motifs begin with a consensus, which two may share.
        free = [name for name in matrix.names[:2] if name not in taken] or matrix.names
        taken.add(free[0])
        try:
            yield _motif(free[0], "".join(matrix.names[1:2]), _oriented(matrix))
        except ValueError as error:
            raise ValueError(f"Line {matrix.line or 1} of {path.name}: {error}") from None


def _headed(path: Path, lines: Sequence[str]) -> Iterator[_Matrix]:
    """Matrices under lines that begin with '>'; one without such a line is named as the file is."""
    matrix = _Matrix(0, [path.name.removesuffix(".gz").rsplit(".", 1)[0]], [])
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


def _transfac(path: Path, lines: Sequence[str]) -> Iterator[_Matrix]:
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
                    f"Line {number} of {path.name} must name the columns A, C, G, T; received {line[:40]!r}."
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
    try:
        values = np.array([[float(cell) for cell in row] for row in matrix.rows])
    except ValueError:
        raise ValueError(
            f"a matrix must be rows of numbers, all of one length; {matrix.names[0]} is not."
        ) from None
    if matrix.letters:
        if sorted(matrix.letters) != list(BASES):
            raise ValueError(
                f"a matrix must have one row for each of A, C, G, T; {matrix.names[0]} has {matrix.letters}."
            )
        return values[[matrix.letters.index(base) for base in BASES]].T
    if values.shape == (4, 4) and len(matrix.names) < 3:
        # Four positions of four bases: each position has the same sites, so its sum tells which way it lies.
        across, down = (
            np.allclose(sums, sums[0], rtol=0.01) for sums in (values.sum(axis=1), values.sum(axis=0))
        )
        if across == down:
            raise ValueError(
                f"a matrix must say where its bases are; the four rows of four of {matrix.names[0]} can be read both ways. "
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
