"""Variants from a notebook or a table, scored: `score`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import environment
from ntviz.genome import Variant
from ntviz.models.protocol import DNAModel, SplicePredictor
from ntviz.reference import Reference
from ntviz.variants.filing import count, filled
from ntviz.variants.options import Options
from ntviz.variants.rows import Table
from ntviz.variants.scoring import Scorer
from ntviz.variants.summary import Summary
from ntviz.variants.surveying import pieces, survey

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.variants.splicing import SpliceScorer

_CHUNK = 2_000
_MANY = 20  # REF compared; of fewer, each row says it


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

    Warns
    -----
    UserWarning
        REF, or names of variants or contigs, speak for another assembly than the reference's.

    Examples
    --------
    The llr of a deletion of 1 bp by hand: in windows of 15 tokens, ceil(1/6) + 1 = 2 of them, each masked by itself.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from ntviz import data, models
    >>> from ntviz.genome import Interval
    >>> model, reference = models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20"))
    >>> def bases(start, end):
    ...     return reference.fetch(Interval("chr20", start, end)).sequence
    >>> def pll(sequence, first):
    ...     tokens, total = model.tokenize(sequence), 0.0
    ...     for place in (1 + first, 2 + first):  # one place further, as <cls> comes first
    ...         masked = tokens.ids.copy()
    ...         masked[place] = model.mask_id
    ...         logits = model.forward(replace(tokens, ids=masked)).logits[0, place].astype(float)
    ...         total += logits[tokens.ids[place]] - np.log(np.exp(logits).sum())
    ...     return total
    >>> at = 43_042_360  # from 0; no neighbour is the same base, so it is left-aligned
    >>> begin = at // 6 * 6 - 7 * 6  # its token is in the middle of the window: number 7, from 0
    >>> ref = bases(begin, begin + 90)
    >>> same_begin = bases(begin, at) + bases(at + 1, begin + 91)
    >>> same_end = bases(begin - 1, at) + bases(at + 1, begin + 90)
    >>> by_hand = (pll(same_begin, 7) - pll(ref, 7) + pll(same_end, 6) - pll(ref, 6)) / 2
    >>> text = f"chr20:{at}:{bases(at - 1, at + 1)}>{bases(at - 1, at)}"
    >>> row = score(model, reference, text, scores="llr", window=90, both_strands=False, progress=None).iloc[0]
    >>> text, row["kind"], row["method"], bool(abs(row["llr"] - by_hand) < 1e-4), round(float(by_hand), 2)
    ('chr20:43042360:AG>A', 'deletion', 'pll', True, -0.77)
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
    table = Table.of(what)
    surveyed = survey(table)
    summary = Summary(Path(), Path(), (1, 1), surveyed, scorer.reference.assembly)
    made = [(one, scorer.score(one.alleles, what=progress)) for one in pieces(table, _CHUNK)]
    for one, scored in made:
        count(summary, one, scored)
    doubts = summary.doubts if summary.checked >= _MANY or surveyed.assemblies else []
    for doubt in doubts:
        environment.tell(doubt)
        warnings.warn(doubt, stacklevel=3)
    result = filled(table, scorer, surveyed, made)
    result.attrs["scoring"] = scorer.about
    result.attrs["sequences"] = scorer.sequences
    return result
