"""`ntviz score`: any VCF or table in, the same out, scored."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntviz.cli import sharded
from ntviz.cli.saying import failing, note, say, usage
from ntviz.environment import tell, write_card

if TYPE_CHECKING:
    from ntviz.variants import Scorer, SpliceScorer
    from ntviz.variants.options import Options


def score(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="IN", help="A VCF (plain, gzip, bgzip), or .tsv, .csv, .parquet.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Where to: .vcf.gz (bgzip and index) or .vcf; .tsv, .csv, .parquet of tables. A .json is put beside it."
        ),
    ],
    reference: Annotated[
        Path | None, typer.Option(help="FASTA; default: the bundle's chromosome 20 (GRCh37).")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A name of `ntviz models`, or a checkpoint directory.")
    ] = "ntviz-mini",
    scores: Annotated[
        str,
        typer.Option(
            help="Some of llr, base_llr, wt_llr, entropy, l1, l2, cosine, dot, alt_loss, loss_diff, jsd; or all."
        ),
    ] = "llr,base_llr,entropy,l2,jsd",
    frames: Annotated[int, typer.Option(help="1, or 6 to average over all offsets of 6-mers.")] = 1,
    place: Annotated[
        int | None,
        typer.Option(help="Place of the variant in its token, from 0; default: a grid on the contig."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="bp read; default: what the model takes, at most 6,000.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Layer of embeddings; default: the last.")] = None,
    region: Annotated[
        str, typer.Option(help="Of embeddings: token, window, or tokens to each side.")
    ] = "token",
    forward_only: Annotated[
        bool, typer.Option("--forward-only", help="Read the forward strand alone.")
    ] = False,
    on_mismatch: Annotated[
        str, typer.Option(help="A REF that is not the reference's: skip, flag, swap or fail.")
    ] = "skip",
    genes: Annotated[
        Path | None,
        typer.Option(help="Of a splice network: GTF or GFF3 of the genes; default: the bundle's."),
    ] = None,
    distance: Annotated[int, typer.Option(help="Of a splice network: bp on each side of POS.")] = 50,
    mask: Annotated[str, typer.Option(help="Of a splice network: none, nearest or position.")] = "position",
    background: Annotated[
        bool,
        typer.Option(
            help="Percentiles among random substitutions of the same kind, made once for each model."
        ),
    ] = True,
    shard: Annotated[str, typer.Option(help=sharded.SHARD)] = "1/1",
    cache: Annotated[Path | None, typer.Option(help=sharded.CACHE)] = None,
    table: Annotated[
        Path | None, typer.Option(help="Parquet of alleles; default: beside OUT, none of a table.")
    ] = None,
    no_table: Annotated[bool, typer.Option("--no-table", help="No parquet.")] = False,
    piece: Annotated[int, typer.Option(help="Records scored and kept at once.")] = 500,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a forward pass.")] = 16_384,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help=sharded.PLAN)] = False,
    rate: Annotated[float | None, typer.Option(help=sharded.RATE)] = None,
) -> None:
    """Score every alternative of a VCF or table: the same records come out, with INFO keys NTV_... or columns, and a status for each.

    All tokens that a substitution touches are masked together. Insertions and deletions, trimmed and left-aligned, are scored over
    ceil(bp/6)+1 tokens of 6 bp, bp being the longer allele: each token masked by itself, log p summed, alternative minus reference;
    from the first changed base on in windows that begin at the same base, up to the last changed base in windows that end at the
    same base, and the mean of the two.

    POS counts from 1. Killed at any moment and run again, it goes on where it stopped. Exit code: 0 all was written, 1 it
    failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import data, variants
    from ntviz.variants import filing
    from ntviz.variants.planning import Mismatch
    from ntviz.variants.vcf import VcfError

    given = locals()
    with usage(OSError, ValueError):
        options = variants.Options(
            tuple(name.strip() for name in scores.split(",") if name.strip()),
            frames=frames,
            place=place,
            window=window,
            layer=layer,
            region=int(region) if region.isdigit() else region,
            both_strands=not forward_only,
            on_mismatch=on_mismatch,
        )
        number = sharded.shard_of(shard)
        if not path.is_file():
            raise FileNotFoundError(
                f"the variants must be in a file, but there is none at {path}. Check the path"
            )
        if not plan:
            filing.check_output(path, out, table, overwrite=overwrite)
        if piece < 1:
            raise ValueError(f"--piece must be at least 1 record, but {piece} came")
        if plan:
            _plan(path, model, options, piece, batch_tokens, rate, device, dtype)
            return
        splicing = {
            "annotation": genes or data.bundle("genes"),
            "distance": distance,
            "mask": mask,
            "on_mismatch": on_mismatch,
        }
        scorer = _scorer(reference, model, options, splicing, background, device, dtype, batch_tokens)
    problems = usage(VcfError, FileExistsError, FileNotFoundError)
    with sharded.going_on(), failing(OSError, Mismatch), problems:
        summary = variants.score_file(
            path,
            out,
            scorer,
            shard=number,
            cache=cache,
            table=table,
            with_table=not no_table,
            piece=piece,
            overwrite=overwrite,
            command=_command(given, splicing=isinstance(scorer, variants.SpliceScorer)),
        )
        if summary.written:
            counts = dict(summary.statuses.most_common())
            summary.written.append(write_card(out, [*context.obj, *summary.warnings], alleles=counts))
    note(summary.text)
    for file in summary.written:
        say(str(file))


def _plan(
    path: Path,
    model: str,
    options: Options,
    piece: int,
    batch_tokens: int,
    rate: float | None,
    device: str,
    dtype: str,
) -> None:
    from ntviz import models, variants

    outline, size = models.outline(model), sharded.size_of(dtype)

    def forecast(measured: float) -> Any:
        return variants.forecast(
            path, outline, options, rate=measured, piece=piece, batch_tokens=batch_tokens, itemsize=size
        )

    sharded.planned(forecast, rate, device, dtype)


def _scorer(
    reference: Path | None,
    model: str,
    options: Options,
    splicing: dict[str, Any],
    background: bool,
    device: str,
    dtype: str,
    batch_tokens: int,
) -> Scorer | SpliceScorer:
    from ntviz import data, models, variants
    from ntviz.models.protocol import SplicePredictor
    from ntviz.reference import Reference
    from ntviz.variants.backgrounds import TooFew
    from ntviz.variants.tables import scorer_of

    bases = Reference(reference or data.bundle("chr20"))
    loaded = models.load(model, device=device, dtype=dtype)
    if isinstance(loaded, SplicePredictor):
        other = {
            name: value
            for name, value in vars(options).items()
            if value != getattr(variants.Options(), name) and name not in ("on_mismatch", "scores")
        }
        if other:
            raise ValueError(
                f"a splice network takes --genes, --distance, --mask and --on-mismatch, but {', '.join(sorted(other))} came. Leave it out"
            )
        return scorer_of(loaded, bases, **splicing)
    random = None
    if background:
        try:
            random = variants.background(loaded, bases, options, folders=_shipped())
        except TooFew as error:
            tell(f"no percentiles: {str(error).partition('. ')[0]}. A larger --reference gives them.")
    return variants.Scorer(loaded, bases, options, background=random, batch_tokens=batch_tokens)


def _shipped() -> list[Path]:
    from ntviz import data

    try:
        return [data.bundle("backgrounds")]
    except FileNotFoundError:
        return []


_OF_SPLICE_NETWORKS = {"genes", "distance", "mask"}
_OF_LANGUAGE_MODELS = {"scores", "frames", "place", "window", "layer", "region", "forward_only", "background"}


def _command(given: dict[str, Any], *, splicing: bool) -> str:
    """The command as it can be typed again, without folders, shards and what changes no number."""
    left_out = {
        "out",
        "shard",
        "cache",
        "table",
        "no_table",
        "piece",
        "device",
        "batch_tokens",
        "overwrite",
        "path",
        "plan",
        "rate",
    } | (_OF_LANGUAGE_MODELS if splicing else _OF_SPLICE_NETWORKS)
    words = ["ntviz", "score", given["path"].name]
    for name, value in given.items():
        if name in left_out or name.startswith("_") or value is None or value is False or callable(value):
            continue
        if not isinstance(value, str | int | Path):
            continue
        option = "--" + name.replace("_", "-")
        text = value.name if isinstance(value, Path) else str(value)
        if name == "model" and Path(text).is_dir():
            text = Path(text).name
        words += [option] if value is True else [option, shlex.quote(text)]
    return " ".join(words)
