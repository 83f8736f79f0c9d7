"""`ntviz score`: any VCF or table in, the same out, scored."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ntviz.cli import sharded
from ntviz.cli.messages import failing, note, say, usage
from ntviz.environment import tell
from ntviz.storage import write_card

if TYPE_CHECKING:
    from ntviz.reference import Reference
    from ntviz.runs.commands import Score
    from ntviz.variants import Background, Options, Scorer, SpliceScorer

_OF_SPLICE_NETWORKS = {"genes", "distance", "mask"}
_OF_LANGUAGE_MODELS = {
    "scores",
    "frames",
    "place",
    "window",
    "layer",
    "region",
    "forward_only",
    "background",
    "calibrate",
    "head",
}
_CHANGES_NO_NUMBER = {
    *("path", "out", "shard", "cache", "table", "no_table", "piece", "device", "batch_tokens", "overwrite")
}


def score(context: typer.Context, asked: Score) -> None:
    """Score every alternative of a VCF or table: the same records come out, with INFO keys NTV_... or columns, and a status for each.

    All tokens that a substitution touches are masked together. Insertions and deletions, trimmed and left-aligned, are scored over
    ceil(bp/6)+1 tokens of 6 bp, bp being the longer allele: each token masked by itself, log p summed, alternative minus reference;
    from the first changed base on in windows that begin at the same base, up to the last changed base in windows that end at the
    same base, and the mean of the two.

    POS counts from 1. Killed at any moment and run again, it goes on where it stopped. Exit code: 0 all was written, 1 it
    failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import variants
    from ntviz.variants import files
    from ntviz.variants.plan import Mismatch
    from ntviz.variants.vcf import VcfError

    with usage(OSError, ValueError):
        options = variants.Options(
            tuple(sharded.split(asked.scores)),
            region=int(asked.region) if asked.region.isdigit() else asked.region,
            both_strands=not asked.forward_only,
            **{name: getattr(asked, name) for name in ("frames", "place", "window", "layer", "on_mismatch")},
        )
        shard = sharded.shard_of(asked.shard)
        if not asked.path.is_file():
            raise FileNotFoundError(
                f"the variants must be in a file, but there is none at {asked.path}. Check the path"
            )
        files.check_output(asked.path, asked.out, asked.table, overwrite=asked.overwrite)
        if asked.piece < 1:
            raise ValueError(f"--piece must be at least 1 record, but {asked.piece} came")
        scorer = _scorer(asked, options)
    problems = usage(VcfError, FileExistsError, FileNotFoundError)
    with sharded.going_on(), failing(OSError, Mismatch), problems:
        summary = variants.score_file(
            asked.path, asked.out, scorer, shard=shard, cache=asked.cache, table=asked.table,
            with_table=not asked.no_table, piece=asked.piece, overwrite=asked.overwrite,
            command=_command(asked, splicing=isinstance(scorer, variants.SpliceScorer)),
        )  # fmt: skip
        if summary.written:
            counts = dict(summary.statuses.most_common())
            summary.written.append(write_card(asked.out, [*context.obj, *summary.warnings], alleles=counts))
    note(summary.text)
    for file in summary.written:
        say(str(file))


def _scorer(asked: Score, options: Options) -> Scorer | SpliceScorer:
    from ntviz import data, models, variants
    from ntviz.models.protocol import SplicePredictor
    from ntviz.reference import Reference
    from ntviz.variants.files import scorer_of

    bases = Reference(asked.reference or data.bundle("chr20"))
    loaded = models.load(asked.model, device=asked.device, dtype=asked.dtype)
    if isinstance(loaded, SplicePredictor):
        changed = {field.name for field in fields(asked) if getattr(asked, field.name) != field.default}
        if other := sorted(changed & (_OF_LANGUAGE_MODELS - {"scores", "background"})):
            takes = "--genes, --distance, --mask and --on-mismatch"
            raise ValueError(f"a splice network takes {takes}, but {', '.join(other)} came. Leave it out")
        given: dict[str, Any] = {
            "distance": asked.distance,
            "mask": asked.mask,
            "on_mismatch": asked.on_mismatch,
        }
        return scorer_of(loaded, bases, annotation=asked.genes or data.bundle("genes"), **given)
    random = random_substitutions(loaded, bases, options) if asked.background else None
    calibration = variants.calibration(loaded, bases, options, folders=_shipped()) if asked.calibrate else None
    head = variants.Head.load(asked.head, loaded, bases) if asked.head else None
    beside = {"background": random, "calibration": calibration, "head": head}
    return variants.Scorer(loaded, bases, options, **beside, batch_tokens=asked.batch_tokens)


def _shipped() -> list[Path]:
    """Where backgrounds and calibrations of the bundle are."""
    from ntviz import data

    with contextlib.suppress(FileNotFoundError):
        return [data.bundle("backgrounds")]
    return []


def random_substitutions(model: Any, bases: Reference, options: Options) -> Background | None:
    """The background that scores are given percentiles of; None, and a note, where the reference is too small for one."""
    from ntviz import variants
    from ntviz.variants.backgrounds import TooFew

    try:
        return variants.background(model, bases, options, folders=_shipped())
    except TooFew as error:
        tell(f"no percentiles: {str(error).partition('. ')[0]}. A larger --reference gives them.")
    return None


def _command(asked: Score, *, splicing: bool) -> str:
    """The command as it can be typed again, without folders, shards and what changes no number."""
    left_out = _CHANGES_NO_NUMBER | (_OF_LANGUAGE_MODELS if splicing else _OF_SPLICE_NETWORKS)
    words = ["ntviz", "score", asked.path.name]
    for name, value in vars(asked).items():
        if name in left_out or value is None or value is False:
            continue
        option = "--" + name.replace("_", "-")
        text = value.name if isinstance(value, Path) else str(value)
        if name == "model" and Path(text).is_dir():
            text = Path(text).name
        words += [option] if value is True else [option, shlex.quote(text)]
    return " ".join(words)
