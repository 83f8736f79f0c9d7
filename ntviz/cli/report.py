"""`ntviz report`: variants of a file, a card each, as one page for a colleague."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ntviz.cli.messages import failing, note, say, usage
from ntviz.cli.sharded import going_on

if TYPE_CHECKING:
    from ntviz.explore.variant_card import Bench
    from ntviz.variants import Scorer


def report(
    path: Annotated[Path, Argument(metavar="IN", help="A VCF (plain, gzip, bgzip), or .tsv, .csv, .parquet; 1 to 500 variants.")],
    out: Annotated[Path, Option(help="Where to: a page (.html), or a folder for the page, the scored VCF and a session for IGV.")],
    model: Annotated[str, Option(help="A name of `ntviz models`, or a checkpoint directory.")] = "ntviz-mini",
    reference: Annotated[Path | None, Option(help="FASTA; default: the bundle's chromosome 20 (GRCh37).")] = None,
    genes: Annotated[Path | None, Option(help="GTF or GFF3 of the genes; default: the bundle's.")] = None,
    region: Annotated[str | None, Option(help="Only variants that touch it: 1-based, such as chr20:43,000,000-43,100,000.")] = None,
    first: Annotated[int | None, Option(help="Only the first so many variants, 500 at most.")] = None,
    splice: Annotated[str | None, Option(help="A splice network too: ci-spliceai (in the bundle), or a checkpoint directory.")] = None,
    around: Annotated[int, Option(help="bp to each side whose substitutions are scored, 10 to 100.")] = 30,
    background: Annotated[bool, Option(help="Percentiles among random substitutions of the same kind, made once for each model.")] = True,
    control: Annotated[bool, Option(help="The LLR of the randomly initialised model beside.")] = True,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, Option("--overwrite", help="Replace OUT.")] = False,
) -> None:  # fmt: skip
    """Explain variants: one page that opens offline, with a card for each alternative, and a table to sort.

    A card says where the variant lies, its consequence for a gene, every score with its percentile, and shows every substitution
    around it. One that cannot be scored has a card that says why.

    POS counts from 1. Killed at any moment and run again, it goes on where it stopped. Exit code: 0 all was written, 1 it
    failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz.runs import variant_report

    # All that needs no model first.
    with usage(OSError, ValueError):
        if not 10 <= around <= 100:
            raise ValueError(f"--around must be 10 to 100 bp, but {around} came")
        variant_report.output_of(out, path, overwrite=overwrite)
        chosen = variant_report.choose(path, region=region, first=first)
        bench, twin = _bench(model, reference, genes, splice, around, background, control, device)
    asked = {"--model": Path(model).name, "--region": region, "--first": first, "--splice": splice and Path(splice).name, "--around": around}  # fmt: skip
    words = [word for name, value in asked.items() if value is not None for word in (name, str(value))]
    command = shlex.join(["ntviz", "report", path.name, *words])
    with going_on(), failing(OSError, ValueError):
        made = variant_report.write(chosen, out, bench, control=twin, overwrite=overwrite, command=command)
    note(made.text)
    for file in made.written:
        say(str(file))


def _bench(
    model: str, reference: Path | None, genes: Path | None, splice: str | None, around: int, background: bool, control: bool, device: str,
) -> tuple[Bench, Scorer | None]:  # fmt: skip
    """What cards are made with, and the control."""
    from ntviz import annotation, data, models, variants
    from ntviz.cli.score import random_substitutions
    from ntviz.explore.variant_card import Bench
    from ntviz.models.protocol import SplicePredictor
    from ntviz.reference import Reference

    bases, found = Reference(reference or data.bundle("chr20")), annotation.read(genes or data.bundle("genes"))
    loaded, network = models.load(model, device=device), models.load(splice, device=device) if splice else None
    if isinstance(loaded, SplicePredictor):
        raise ValueError(f"--model must be a language model, but {model} is a splice network. Give it as --splice")
    if network is not None and not isinstance(network, SplicePredictor):
        raise ValueError(f"--splice must be a splice network, but {splice} came. Write --splice ci-spliceai")
    sites = None if network is None else variants.SpliceScorer(network, bases, found)
    random = random_substitutions(loaded, bases, variants.Options()) if background else None
    scorer = variants.Scorer(loaded, bases, variants.Options(("all",)))
    twin = variants.Scorer(loaded.random_twin(), bases, variants.Options(("llr",))) if control else None
    return Bench(loaded, bases, found, scorer, None, around, {}, random, sites), twin
