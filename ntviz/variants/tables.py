"""Variants from a notebook or a table, scored: `score`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.genome import Variant, canonical_contig
from ntviz.models.protocol import DNAModel, SplicePredictor
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.options import Options
from ntviz.variants.scoring import Scorer

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.variants.splicing import SpliceScorer

_NAMES = {
    "chrom": ("chrom", "#chrom", "chr", "chromosome", "contig", "seqname"),
    "pos": ("pos", "position", "start_1based"),
    "ref": ("ref", "reference", "reference_allele", "ref_allele"),
    "alt": ("alt", "alternative", "alternate", "alt_allele", "alternate_allele"),
    "id": ("id", "rsid", "name", "variant_id"),
}
_CHUNK = 2_000


def score(
    model: DNAModel,
    reference: Reference,
    what: Variant | str | Path | Iterable[Variant | str] | pd.DataFrame,
    *,
    background: Any = None,
    progress: str | None = "variants",
    **options: Any,
) -> pd.DataFrame:
    """One row an allele, in the order given: chrom, pos (1-based), id, ref, alt, status, kind, method, note, and scores.

    Parameters
    ----------
    model
        Any `models.DNAModel` with a mask, or a splice network.
    reference
        Bases.
    what
        A variant or several, as `Variant` or text ("chr20:43042364 C>T"); a DataFrame with the columns chrom, pos
        (1-based), ref, alt and perhaps id, whose other columns are kept; or the path of a .tsv, .csv or .parquet
        with these. A VCF keeps its form in `variants.score_file`.
    background
        From `variants.background`; adds percentiles.
    progress
        Name of the progress bar; None for none.
    options
        Of `Options`: scores, frames, place, window, layer, region, both_strands, on_mismatch. Of `SpliceScorer` for a splice network:
        annotation (an `Annotation`, or the path of one), distance, mask, on_mismatch.

    Raises
    ------
    ValueError
        The table lacks a column, the file is of another kind, an option is unknown, or a single variant given as text
        is none. What is wrong with one row of many is its status.
    TypeError
        `what` is nothing of the above, or an option is unknown.
    """
    return score_table(scorer_of(model, reference, background=background, **options), what, progress)


def scorer_of(
    model: Any, reference: Reference, *, background: Any = None, batch_tokens: int = 16_384, **options: Any
) -> Scorer | SpliceScorer:
    """The scorer that fits a model; see `score` for the options."""
    if not isinstance(model, SplicePredictor):
        return Scorer(model, reference, Options(**options), background=background, batch_tokens=batch_tokens)
    from ntviz import annotation
    from ntviz.variants.splicing import SpliceScorer

    genes = options.pop("annotation", None)
    if genes is None:
        raise ValueError(
            "A splice network must be told the genes; received no annotation=. Pass a GTF or GFF3, or annotation.read(data.bundle('genes'))."
        )
    if not isinstance(genes, annotation.Annotation):
        options.setdefault("annotation_name", Path(genes).name)
        genes = annotation.read(genes)
    return SpliceScorer(model, reference, genes, **options)


def score_table(scorer: Scorer | SpliceScorer, what: Any, progress: str | None = "variants") -> pd.DataFrame:
    """As `score`, by a scorer that is there already."""
    import numpy as np
    import pandas as pd

    given = _table(what)
    taken = {column: _column(given, column) for column in _NAMES}
    alleles = [
        Allele(str(chrom), _position(pos), str(ref), str(alt))
        for chrom, pos, ref, alt in zip(
            *(given[taken[c]] for c in ("chrom", "pos", "ref", "alt")), strict=True
        )
    ]
    parts = [
        scorer.score(alleles[begin : begin + _CHUNK], what=progress)
        for begin in range(0, max(len(alleles), 1), _CHUNK)
    ]
    seen: set[tuple[str, int, str, str]] = set()
    statuses: list[str] = []
    for allele, status in zip(alleles, (one for part in parts for one in part.statuses), strict=True):
        key = canonical_contig(allele.chrom), allele.pos, allele.ref.upper(), allele.alt.upper()
        statuses.append("duplicate" if status == "ok" and key in seen else status)
        seen.add(key)
    result = pd.DataFrame(
        {
            "chrom": [allele.chrom for allele in alleles],
            "pos": [allele.pos for allele in alleles],
            "id": given[taken["id"]].astype(str).tolist() if taken["id"] else ".",
            "ref": [allele.ref for allele in alleles],
            "alt": [allele.alt for allele in alleles],
            "status": statuses,
            "kind": [one for part in parts for one in part.kinds],
            "method": [one for part in parts for one in part.methods],
            "note": [one for part in parts for one in part.notes],
        },
        index=given.index,
    )
    others = given.drop(columns=[name for name in taken.values() if name])
    values = np.vstack([part.values for part in parts])
    scores = pd.DataFrame(values, columns=list(scorer.columns), index=given.index)
    clash = [name for name in others if name in result or name in scores]
    result = pd.concat([result, others.drop(columns=clash), scores], axis=1)
    result.attrs["scoring"] = scorer.about
    result.attrs["sequences"] = scorer.sequences
    return result


def _table(what: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(what, pd.DataFrame):
        return what
    if isinstance(what, Path) or (isinstance(what, str) and Path(what).suffix in _READERS):
        path = Path(what)
        if path.suffix not in _READERS:
            raise ValueError(
                f"A table of variants must end in {', '.join(_READERS)}; received {path.name}. Use variants.score_file "
                "for VCF."
            )
        if not path.is_file():
            raise FileNotFoundError(
                f"A table of variants must exist; there is no file {str(path)!r}. Check the path."
            )
        return _READERS[path.suffix](path)
    if isinstance(what, str | Variant):
        what = [what]
    try:
        alleles = [Allele.of(one) for one in what]
    except AttributeError as error:
        raise TypeError(
            f"Variants must be text, Variant, a DataFrame or a path; received {type(what).__name__}. Pass one of these."
        ) from error
    return pd.DataFrame(alleles, columns=["chrom", "pos", "ref", "alt"])


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    import pandas as pd

    # Alleles such as NA and contigs such as 01 are text, whatever they look like.
    return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


_READERS = {
    ".tsv": lambda path: _read_text(path, "\t"),
    ".csv": lambda path: _read_text(path, ","),
    ".parquet": _read_parquet,
}


def _column(table: pd.DataFrame, wanted: str) -> str:
    by_name = {str(name).strip().lower(): name for name in table.columns}
    for name in _NAMES[wanted]:
        if name in by_name:
            return by_name[name]
    if wanted == "id":
        return ""
    raise ValueError(
        f"A table of variants must have the columns chrom, pos, ref, alt (id if there is one); it lacks {wanted} among "
        f"{', '.join(map(str, table.columns))}. Rename the column; positions count from 1, as in VCF."
    )


def _position(value: Any) -> int:
    """The position; -1, which lies on no contig, for what is none."""
    try:
        return int(str(value).replace(",", ""))
    except ValueError:
        pass
    try:
        number = float(value)
    except (TypeError, ValueError):
        return -1
    return int(number) if number == number // 1 else -1
