"""`ntviz landscape`: what a model reconstructs at each base of a region, up to a chromosome."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ntviz.cli import sharded
from ntviz.cli.saying import failing, usage


def landscape(
    context: typer.Context,
    region: Annotated[
        str,
        typer.Argument(
            metavar="REGION", help="1-based, both ends included, such as chr20:1-60,000; or a contig."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to: .npz of all arrays, or .bedgraph of one track.")],
    model: Annotated[
        str, typer.Option(help="A name of `ntviz models`, or a checkpoint directory.")
    ] = "ntviz-mini",
    reference: Annotated[
        Path | None, typer.Option(help="FASTA; default: the bundle's chromosome 20 (GRCh37).")
    ] = None,
    track: Annotated[
        str, typer.Option(help="Of a bedGraph: probability, entropy, correct or perplexity.")
    ] = "probability",
    bin: Annotated[int, typer.Option(help="bp of a line of a bedGraph.")] = 1,  # noqa: A002
    by_element: Annotated[
        bool,
        typer.Option(
            "--by-element",
            help="Write a table by genomic element too: OUT's name, .elements.tsv, and a .json.",
        ),
    ] = False,
    genes: Annotated[
        Path | None, typer.Option(help="Of the elements: GTF, GFF3 or BED; default: the bundle's.")
    ] = None,
    beds: Annotated[str, typer.Option(help="Files of more elements, by commas.")] = "",
    share: Annotated[
        float, typer.Option(help="Share of tokens hidden at once, up to 0.5; 0: one at a time.")
    ] = 0.15,
    frames: Annotated[int, typer.Option(help="Ways of cutting the contig into tokens, averaged.")] = 1,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="Read the reverse complement too, and average.")
    ] = False,
    window: Annotated[
        int | None, typer.Option(help="bp read at a time; default: what the model takes, at most 1,536.")
    ] = None,
    flank: Annotated[
        int | None,
        typer.Option(help="bp at either end that are read only; default: a quarter of the window."),
    ] = None,
    control: Annotated[
        str, typer.Option(help="composition, shuffled, both by a comma, or none.")
    ] = "composition",
    seed: Annotated[int, typer.Option(help="Of the shuffles.")] = 0,
    piece: Annotated[int, typer.Option(help="bp made and kept at once.")] = 250_000,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a forward pass.")] = 16_384,
    shard: Annotated[str, typer.Option(help=sharded.SHARD)] = "1/1",
    cache: Annotated[Path | None, typer.Option(help=sharded.CACHE)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help=sharded.PLAN)] = False,
    rate: Annotated[float | None, typer.Option(help=sharded.RATE)] = None,
) -> None:
    """Hide each base of a region from a model, and keep what it expects there.

    bedGraph counts from 0, as it is defined. Killed at any moment and run again, it goes on where it stopped. Exit code: 0
    all was done, 1 it failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import data, landscape, models
    from ntviz.genome import Interval
    from ntviz.landscape import filing
    from ntviz.landscape.asking import ask
    from ntviz.reference import Reference

    with usage(OSError, ValueError):
        number = sharded.shard_of(shard)
        size = sharded.size_of(dtype)
        output = filing.output(out, cache, track=track, bin=bin)
        if not plan:
            output.check(overwrite=overwrite)
        bases = Reference(reference or data.bundle("chr20"))
        place = Interval.from_str(region) if ":" in region else bases.whole(region)
        options: dict[str, Any] = {
            "share": share or None,
            "frames": frames,
            "both_strands": both_strands,
            "window": window,
            "flank": flank,
            "control": () if control == "none" else sharded.words(control),
            "seed": seed,
            "batch_tokens": batch_tokens,
            "piece": piece,
        }
        outline = models.outline(model)
        if plan:
            sharded.planned(
                lambda measured: landscape.forecast(
                    outline, bases, place, rate=measured, itemsize=size, **options
                ),
                rate,
                device,
                dtype,
            )
            return
        # All that can be wrong is found before any weights are loaded.
        ask(outline, bases, place, **options)
        elements = None
        if by_element:
            from ntviz import attention

            first, *more = sharded.annotated(genes, beds, reference, bases, place)
            elements = attention.paper_elements(first, bases, *more, within=place)
        loaded = models.load(model, device=device, dtype=dtype)
    with sharded.going_on(), failing(OSError, MemoryError), usage(ValueError, FileExistsError):
        found = landscape.reconstruct_file(
            out,
            loaded,
            bases,
            place,
            shard=number,
            cache=cache,
            overwrite=overwrite,
            track=track,
            bin=bin,
            elements=elements,
            notes=context.obj,
            **options,
        )
    sharded.ended(found)
