"""`ntviz enrich`: which heads of a model look at which elements of a genome, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntviz.cli import sharded
from ntviz.cli.saying import failing, usage

if TYPE_CHECKING:
    from ntviz.annotation import Annotation
    from ntviz.genome import Interval
    from ntviz.reference import Reference

NULLS = "shift,shuffle,twin,distance"


def enrich(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Where to: .parquet, .tsv or .csv; a .json is put beside it.")],
    model: Annotated[
        str, typer.Option(help="A name of `ntviz models`, or a checkpoint directory.")
    ] = "ntviz-mini",
    reference: Annotated[
        Path | None, typer.Option(help="FASTA; default: the bundle's chromosome 20 (GRCh37).")
    ] = None,
    genes: Annotated[
        Path | None, typer.Option(help="GTF, GFF3 or BED of genes; default: the bundle's.")
    ] = None,
    beds: Annotated[
        str, typer.Option(help="Files of more elements, by commas: BED, ENCODE's cCREs, Regulatory Build.")
    ] = "",
    motifs: Annotated[
        str, typer.Option(help="Names of motifs whose matches are elements, by commas, such as CTCF.")
    ] = "",
    within: Annotated[
        str, typer.Option(help="Region that elements are taken from, 1-based; default: the whole reference.")
    ] = "",
    kinds: Annotated[str, typer.Option(help="Elements asked about, by commas; default: all there are.")] = "",
    around: Annotated[
        str, typer.Option(help="Elements that windows are drawn around, by commas.")
    ] = "promoter,splice_acceptor,cpg_island",
    windows: Annotated[int, typer.Option(help="Windows around each of them.")] = 200,
    length: Annotated[
        int | None, typer.Option(help="bp of a window; default: what the model takes, at most 6,000.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Share of a query's attention above which a pair counts.")
    ] = 0.3,
    nulls: Annotated[str, typer.Option(help="What to compare with, by commas; none for nothing.")] = NULLS,
    shifts: Annotated[int, typer.Option(help="How often elements are turned around their window.")] = 200,
    bootstrap: Annotated[int, typer.Option(help="Resamples behind the intervals.")] = 1000,
    alpha: Annotated[float, typer.Option(help="False discovery rate of what is called significant.")] = 0.05,
    special: Annotated[str, typer.Option(help="Special tokens: exclude, or include.")] = "exclude",
    batch: Annotated[int, typer.Option(help="Windows of a forward pass; changes time and memory only.")] = 1,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    shard: Annotated[str, typer.Option(help=sharded.SHARD)] = "1/1",
    cache: Annotated[Path | None, typer.Option(help=sharded.CACHE)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help=sharded.PLAN)] = False,
    rate: Annotated[float | None, typer.Option(help=sharded.RATE)] = None,
) -> None:
    """Ask which heads look at which elements: shares of attention on each, beside shifted, shuffled and random ones.

    Windows are drawn around elements of a reference. Killed at any moment and run again, it goes on where it stopped. Exit
    code: 0 all was done, 1 it failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import attention, models
    from ntviz.attention import enriching, filing
    from ntviz.reference import Reference

    with usage(OSError, ValueError):
        number = sharded.shard_of(shard)
        size = sharded.size_of(dtype)
        output = filing.output(out, cache)
        if not plan:
            output.check(overwrite=overwrite)
        outline = models.outline(model)
        bases = Reference(reference or _bundled())
        elements = _elements(bases, genes, beds, motifs, within, reference)
        drawn = _drawn(
            elements, bases, sharded.words(around), windows, length or min(outline.max_bp, 6_000), seed
        )
        options: dict[str, Any] = {
            "kinds": sharded.words(kinds) or None,
            "threshold": threshold,
            "nulls": () if nulls == "none" else sharded.words(nulls),
            "shifts": shifts,
            "bootstrap": bootstrap,
            "alpha": alpha,
            "batch": batch,
            "special": special,
            "seed": seed,
        }
        # All that can be wrong is found before any weights are loaded.
        question = enriching.check(elements, **options)
        if plan:
            sharded.planned(
                lambda measured: attention.forecast(
                    outline,
                    drawn,
                    question.kinds,
                    rate=measured,
                    nulls=question.nulls,
                    shifts=shifts,
                    batch=batch,
                    itemsize=size,
                ),
                rate,
                device,
                dtype,
            )
            return
        loaded = models.load(model, device=device, dtype=dtype)
    with sharded.going_on(), failing(OSError, MemoryError), usage(ValueError, FileExistsError):
        found = attention.enrich_file(
            out,
            loaded,
            drawn,
            bases,
            elements,
            shard=number,
            cache=cache,
            overwrite=overwrite,
            notes=context.obj,
            **options,
        )
    sharded.ended(found)


def _bundled() -> Path:
    from ntviz import data

    return data.bundle("chr20")


def _elements(
    bases: Reference, genes: Path | None, beds: str, motifs: str, within: str, reference: Path | None
) -> Annotation:
    from ntviz import attention, data
    from ntviz import motifs as package
    from ntviz.genome import Interval

    region = Interval.from_str(within) if within else None
    first, *more = sharded.annotated(genes, beds, reference, bases, region)
    known = package.read(data.bundle("motifs")) if motifs else None
    named = [] if known is None else [one for name in sharded.words(motifs) for one in known.named(name)[:1]]
    if len(named) < len(sharded.words(motifs)):
        raise ValueError(f"--motifs must name motifs of the bundle, but {motifs!r} came. CTCF is one")
    return attention.paper_elements(first, bases, *more, motifs=named, within=region)


def _drawn(
    elements: Annotation, bases: Reference, around: list[str], n: int, length: int, seed: int
) -> list[Interval]:
    from ntviz import attention

    if not around:
        raise ValueError("--around must name at least one kind of element, but none came. promoter is one")
    unknown = [kind for kind in around if kind not in elements.kinds]
    if unknown:
        raise ValueError(f"--around must be among {', '.join(elements.kinds)}, but {unknown[0]!r} came")
    found: list[Interval] = []
    for kind in around:
        found += attention.windows(elements, kind, length=length, n=n, reference=bases, seed=seed)
    return found
