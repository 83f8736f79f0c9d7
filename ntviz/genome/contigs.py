"""Names of contigs: aliases, RefSeq accessions, and the member of a list that a name means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# RefSeq accession versions of the human chromosomes 1 to 22, X, Y in GRCh37; in GRCh38 each is one higher.
_GRCH37_VERSIONS = (10, 11, 11, 11, 9, 11, 13, 10, 11, 10, 9, 11, 10, 8, 9, 9, 10, 9, 9, 10, 8, 10, 10, 9)
ACCESSION = re.compile(r"NC_(?P<number>\d{6})\.(?P<version>\d+)")
_PREFIXED = re.compile(r"(?:chr)?(?P<name>\d+|X|Y|MT?)", re.IGNORECASE)


def canonical_contig(name: str) -> str:
    """The bare name of a contig: `20` for `20`, `chr20` and `NC_000020.10`; unknown names stay as they are.

    The mitochondrion is `MT`. A RefSeq accession loses its version, and with it its assembly: see `accession_assembly`.

    >>> [canonical_contig(name) for name in ("chr20", "NC_000020.11", "chrM", "chrUn_gl000220")]
    ['20', '20', 'MT', 'chrUn_gl000220']
    """
    if name == "NC_012920.1":
        return "MT"
    if accession := ACCESSION.fullmatch(name):
        number = int(accession["number"])
        return {23: "X", 24: "Y"}.get(number, str(number)) if 1 <= number <= 24 else name
    prefixed = _PREFIXED.fullmatch(name)
    bare = prefixed["name"].upper() if prefixed else name
    return "MT" if bare == "M" and prefixed else bare


def browser_contig(name: str) -> str:
    """The name that a genome browser shows: `chr20` for `20` and `NC_000020.10`; unknown names stay as they are.

    >>> [browser_contig(name) for name in ("20", "NC_000020.10", "MT", "scaffold_1")]
    ['chr20', 'chr20', 'chrM', 'scaffold_1']
    """
    bare = canonical_contig(name)
    return f"chr{'M' if bare == 'MT' else bare}" if _PREFIXED.fullmatch(bare) else name


def accession_assembly(name: str) -> str | None:
    """`GRCh37` or `GRCh38` when the contig name is a RefSeq accession of a human chromosome in it, else None.

    >>> accession_assembly("NC_000020.10"), accession_assembly("chr20")
    ('GRCh37', None)
    """
    accession = ACCESSION.fullmatch(name)
    if accession is None or not 1 <= int(accession["number"]) <= 24:
        return None
    newer = int(accession["version"]) - _GRCH37_VERSIONS[int(accession["number"]) - 1]
    return {0: "GRCh37", 1: "GRCh38"}.get(newer)


def resolve_contig(name: str, available: Iterable[str]) -> str:
    """The member of `available` that is the contig `name`, under whatever alias.

    The same spelling wins. Otherwise canonical names are compared, then names without `chr`, so that `2L` finds `chr2L`. Two
    RefSeq accessions of different versions are different sequences and never match. A ValueError says that none matches (it
    names the nearest and lists up to ten), or more than one.

    >>> resolve_contig("NC_000020.10", ["chr19", "chr20"])
    'chr20'
    """
    names = list(available)
    if name in names:
        return name
    others = [other for other in names if not (ACCESSION.fullmatch(name) and ACCESSION.fullmatch(other))]
    for key in (canonical_contig, lambda contig: re.sub("^chr", "", contig, flags=re.IGNORECASE)):
        found = [other for other in others if key(other) == key(name)]
        if len(found) == 1:
            return found[0]
        if found:
            spellings = " and ".join(map(repr, found))
            raise ValueError(f"A contig must match one name; received {name!r}, which matches {spellings}. Use one of these.")  # fmt: skip
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"Nearest: {', '.join(nearest)}. " if nearest else ""
    listed = ", ".join(names[:10]) + (f", and {len(names) - 10:,} more" if len(names) > 10 else "")
    raise ValueError(
        f"A contig must be one of those present; received {name!r}. {hint}Present: {listed or 'none'}. Use one of these names."
    )


def check_contig_name(name: str) -> None:
    """Raise unless the name is text, not empty and without whitespace."""
    if not isinstance(name, str):
        raise TypeError(f"A contig name must be text; received {type(name).__name__} {name!r}. Write it in quotes: '{name}'.")  # fmt: skip
    if not name or any(letter.isspace() for letter in name):
        raise ValueError(
            f"A contig name must have letters and no whitespace; received {name!r}. Use the first word of the FASTA header."
        )
