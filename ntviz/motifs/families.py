"""Classes and families of the proteins that motifs are of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ntviz import environment

_BUNDLED = "motifs/JASPAR2026_CORE_vertebrates.families.tsv"
_COLUMNS = ("motif", "name", "class", "family")
_COMPLEX = "::"  # between the proteins of a complex


class Family(NamedTuple):
    """Structural class and family of the DNA-binding domain of a protein, as TFClass names them.

    Of a complex, the different ones of its proteins are joined by ``::``; either is empty where it is not known.
    """

    group: str
    family: str

    @property
    def families(self) -> tuple[str, ...]:
        """The families one by one; none where it is not known."""
        return tuple(part for part in self.family.split(_COMPLEX) if part)


def families(path: str | Path | None = None) -> dict[str, Family]:
    """Class and family of motifs, by identifier.

    Parameters
    ----------
    path
        A table separated by tabs with the columns motif, name, class and family, in UTF-8; that of the bundle's JASPAR
        2026 motifs when not given, which is ``data.bundle("motif-families")``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such table, or a motif is there twice; the message names the line, counted from 1.

    References
    ----------
    TFClass (Wingender et al., Nucleic Acids Research 2018), as JASPAR annotates its matrices with it.

    Examples
    --------
    >>> known = families()
    >>> len(known), known["MA0139.2"].family
    (1019, 'More than 3 adjacent zinc fingers')
    >>> known["MA0065.3"].families
    ('Thyroid hormone receptor-related factors (NR1)', 'RXR-related receptors (NR2)')
    """
    path = environment.data_dir() / _BUNDLED if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A table of families must exist; received {path}, and there is none. Check the path; `python data/build.py` "
            f"makes the bundle's."
        )
    try:
        lines = path.read_text(encoding=environment.encoding_of(path)).splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"A table of families must be text in UTF-8; {path.name} is not ({error}). Save it again as plain text."
        ) from error
    header = tuple(lines[0].split("\t")) if lines else ()
    if header != _COLUMNS:
        raise ValueError(
            f"A table of families must begin with the columns {', '.join(_COLUMNS)}, separated by tabs; {path.name} begins "
            f"with {lines[0][:60] if lines else ''!r}. Correct its first line."
        )
    found: dict[str, Family] = {}
    for number, line in enumerate(lines[1:], start=2):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != len(_COLUMNS) or not fields[0]:
            raise ValueError(
                f"Line {number} of {path.name} must hold {len(_COLUMNS)} fields, the first of which names a motif; received "
                f"{line[:60]!r}. Correct the line."
            )
        if fields[0] in found:
            raise ValueError(
                f"Each motif must be there once; line {number} of {path.name} has {fields[0]!r} again. Remove one of them."
            )
        found[fields[0]] = Family(fields[2], fields[3])
    return found
