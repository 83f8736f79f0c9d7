"""The enrichment of attention as files: by one run or by many shards, killed at any moment, always the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import environment
from ntviz.attention import enriching
from ntviz.attention.enrichment_table import Enrichment
from ntviz.environment import Finished, Output, Unfinished

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.models.protocol import DNAModel
    from ntviz.reference import Reference

SUFFIXES = (".parquet", ".tsv", ".csv")


def enrich_file(
    out: str | Path,
    model: DNAModel,
    intervals: Any,
    reference: Reference,
    elements: enriching.Elements,
    *,
    shard: tuple[int, int] = (1, 1),
    cache: str | Path | None = None,
    overwrite: bool = False,
    notes: Sequence[str] = (),
    **options: Any,
) -> Finished | Unfinished:
    """Writes the table of `enrichment`, and beside it the windows and what all of it follows from.

    Windows are counted in parts, each kept as soon as it is done. A run that was killed goes on where it stopped, several
    shards may share the folder at once, and the bytes are those of one run.

    Parameters
    ----------
    out
        Where to: .parquet, .tsv or .csv. Of `x.parquet`, `x.windows.parquet` says what became of each window and
        `x.json` what was asked and found.
    model, intervals, reference, elements
        As of `enrichment`.
    shard
        (i, n) from 1: only every n-th part is counted, and nothing is written but parts. When all shards are done, the
        run without a shard writes `out`. With (1, 1) everything is done at once.
    cache
        Folder of parts, kept; None uses `out` + ".parts" and removes it in the end. Parts are found by what they follow
        from (weights, bases, elements, windows, options), never by names.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
    notes
        Sentences on the inputs, put into `x.json`.
    options
        As of `enrichment`.

    Raises
    ------
    ValueError
        `out` has another ending, or as `enrichment`.
    FileExistsError
        `out` is there, from a run that ended.
    """
    target = output(out, cache)
    environment.share(0, shard)
    enriching.check(elements, **options)
    target.begin(overwrite=overwrite)
    found = enriching.enrichment(
        model,
        intervals,
        reference,
        elements,
        shard=None if shard == (1, 1) else shard,
        out=target.shelf,
        **options,
    )
    if isinstance(found, Unfinished):
        return found
    written = _written(found, target.path, notes)
    target.end()
    return Finished(written, found.summary)


def output(out: str | Path, cache: str | Path | None = None) -> Output:
    """Where a table goes, by an ending that is known.

    Raises
    ------
    ValueError
        It is not.
    """
    path = Path(out)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"A table of attention must go to {', '.join(SUFFIXES)}; received {path.name}. Rename it."
        )
    return Output(path, None if cache is None else Path(cache))


def _written(found: Enrichment, path: Path, notes: Sequence[str]) -> tuple[Path, ...]:
    windows = path.with_suffix(f".windows{path.suffix}")
    card = environment.write_card(path, notes, summary=found.summary, **found.about)
    _table(found.sequences, windows)
    # What was asked for comes last: where it is, all is.
    _table(found.table, path)
    return path, windows, card


def _table(table: pd.DataFrame, path: Path) -> None:
    with environment.atomic_write(path) as handle:
        if path.suffix == ".parquet":
            table.to_parquet(handle, index=False)
        else:
            handle.write(table.to_csv(index=False, sep="\t" if path.suffix == ".tsv" else ",").encode())
