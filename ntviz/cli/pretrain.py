"""`ntviz pretrain`: a pretraining run as one command, started again as often as it takes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from ntviz.cli.messages import failing, note, say, usage
from ntviz.environment import lines_of

if TYPE_CHECKING:
    from ntviz.pretraining.haplotypes import Source
    from ntviz.pretraining.recipe import Recipe

_KNOWN = {
    "": ("recipe", "steps", "changes", "corpus", "run"),
    "corpus": ("fastas", "genomes", "vcf", "sheet", "unphased", "held_out", "store", "overlap_bp", "max_n"),
    "run": ("evaluate_every", "evaluate_sequences", "checkpoint_every"),
}


def pretrain(
    config: Annotated[Path, Argument(help="TOML: recipe, steps, [changes], [corpus], [run].")],
    out: Annotated[Path, Option(help="Run directory; what stands there is gone on with.")],
    device: Annotated[str, Option(help="auto, cpu, cuda or mps.")] = "auto",
    hours: Annotated[float | None, Option(help="Stop after this long, with a checkpoint.")] = None,
    accept_changes: Annotated[bool, Option("--accept-changes", help="Go on although recipe, corpus or held-out regions changed.")] = False,
) -> None:  # fmt: skip
    """Pretrain a model, or go on: under torchrun over all its processes.

    What stands in OUT is gone on with if recipe, bases and held-out regions are those that it was begun with: more steps may
    be asked for, and FASTA files may lie elsewhere or be compressed.

    SIGTERM and SIGUSR1 end it after the step that is going on, with a checkpoint and exit code 75: start it again. Exit
    code: 0 all steps are done or the hours are over, 1 it failed, as by a loss that is not finite, 2 the arguments were
    wrong or not those of the run in OUT, 75 it was asked to stop.
    """
    with usage(OSError, ValueError):
        asked = _read(config)
        recipe, steps = _recipe(asked), asked["steps"]
        if hours is not None and not hours > 0:
            raise ValueError(f"--hours must be above 0; got {hours:g}. Leave it out for no limit")
        source = _source(asked["corpus"], recipe, config.parent)
    from ntviz import environment
    from ntviz.pretraining import checkpoints, training

    main = os.environ.get("RANK", "0") == "0"
    with (
        failing(OSError, ValueError, FloatingPointError),
        usage(checkpoints.Changed),
        environment.progress(total=steps, what="pretraining", unit="steps") as bar,
    ):

        def show(row: dict[str, Any]) -> None:
            if main:
                speed = f"{row['tokens_per_second']:,.0f} tokens a second"
                bar.update(row["step"] - bar.done, note=f"loss {row['loss']:.3f}, {speed}")

        run = training.train(
            recipe, source, out, steps=steps, device=device, max_seconds=None if hours is None else 3600 * hours,
            heed_signals=True, accept_changes=accept_changes, on_step=show, **asked.get("run", {}),
        )  # fmt: skip
    if main and run.stopped:
        note(f"ntviz: asked to stop after step {len(run.history):,} of {steps:,}; the same command goes on")
    elif main:
        say(str(run.directory))
    if run.stopped:
        raise typer.Exit(training.REQUEUE)


def _read(path: Path) -> dict[str, Any]:
    try:
        asked = tomllib.loads("\n".join(line for _, line in lines_of(path)))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} must be TOML; it is not: {error}. Mend that line") from error
    for name, known in _KNOWN.items():
        table = asked.get(name, {}) if name else asked
        if not isinstance(table, Mapping):
            raise ValueError(f"{name} of {path} must be a table; got {table!r}. Write [{name}] above its lines")
        _known(table, known, f"[{name}]" if name else "the top")
    if "corpus" not in asked:
        raise ValueError(f"{path} must say what to read in [corpus]; it has no such table. Add it")
    for name, value in {"steps": asked.get("steps"), **asked.get("run", {})}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} of {path} must be a whole number from 1; got {value!r}. Mend it")
    return asked


def _known(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise ValueError(f"{where} must hold {', '.join(known)}; got {name!r}. Rename or remove it")


def _recipe(asked: Mapping[str, Any]) -> Recipe:
    from ntviz.pretraining import recipe as recipes

    changes = asked.get("changes", {})
    known = recipes.Recipe().as_dict()
    _known(changes, known, "[changes]")
    for name, value in changes.items():
        kind = type(known[name])
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"{name} in [changes] must be a {kind.__name__}; got {value!r}")
    return recipes.named(str(asked.get("recipe", "paper")), **changes)


def _source(asked: Mapping[str, Any], recipe: Recipe, folder: Path) -> Source:
    """The corpus that a table describes; its paths are taken from the file's folder."""
    from ntviz.genome import Interval
    from ntviz.pretraining import corpus, haplotypes
    from ntviz.tokens import VOCABULARIES

    bases = VOCABULARIES[recipe.vocabulary].max_bases(recipe.max_tokens)
    cut: dict[str, Any] = {"tokens_bp": bases, "chunk_bp": bases + 106}
    cut |= {name: asked[name] for name in ("overlap_bp", "max_n") if name in asked}
    kinds = [name for name in ("fastas", "genomes") if name in asked]
    if len(kinds) != 1:
        one = "fastas (a list of files) or genomes (a sheet), one of them"
        raise ValueError(f"[corpus] must name {one}; it names {' and '.join(kinds) or 'neither'}. Remove or add one")
    if "vcf" not in asked and ("sheet" in asked or "unphased" in asked):
        raise ValueError("sheet and unphased of [corpus] belong to a vcf; there is none. Add or remove it")
    if kinds == ["genomes"]:
        if "vcf" in asked or "held_out" in asked:
            why = "the sheet has a column held_out"
            raise ValueError(f"With genomes, [corpus] must hold neither vcf nor held_out: {why}")
        return corpus.read_sheet(folder / asked["genomes"], store=asked.get("store", "shards"), **cut)
    if not isinstance(asked["fastas"], list) or not asked["fastas"]:
        came = f"""got {asked["fastas"]!r}. Write fastas = ["hg38.fa"]"""
        raise ValueError(f"fastas of [corpus] must be a list of files; {came}")
    fastas = [folder / name for name in asked["fastas"]]
    held_out = [Interval.from_str(text) for text in asked.get("held_out", [])]
    if "vcf" not in asked:
        return corpus.read(fastas, held_out=held_out, store=asked.get("store", "memory"), **cut)
    if len(fastas) != 1 or "store" in asked:
        why = "its windows are fetched through the index"
        raise ValueError(f"With vcf, [corpus] must name one FASTA and no store: {why}")
    if recipe.random_replacement:
        hint = (
            "Set random_replacement = false in [changes], or take a recipe of individual genomes such as v1-500m-1000g"
        )
        why = "which would look like variants"
        raise ValueError(f"A corpus of individuals must be masked without random k-mers, {why}. {hint}")
    return haplotypes.read(
        folder / asked["vcf"], fastas[0], held_out=held_out, unphased=asked.get("unphased", "reference"),
        sheet=folder / asked["sheet"] if "sheet" in asked else None, **cut,
    )  # fmt: skip
