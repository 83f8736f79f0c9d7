"""What commands that can be shared among jobs have in common: their options, their shard, their elements, how they end."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntviz.cli.messages import interruptible, note, say
from ntviz.environment import tell
from ntviz.runs.commands import COMMANDS

if TYPE_CHECKING:
    from ntviz.genome import Interval
    from ntviz.reference import Reference


def register(app: typer.Typer, name: str, function: Callable[[typer.Context, Any], None]) -> None:
    """Makes a function the command of that name in `COMMANDS`: its options are the fields of what it is asked."""
    command = COMMANDS[name]
    own = command.question.__annotations__

    @functools.wraps(function)
    def typed(context: typer.Context, **given: Any) -> None:
        function(context, command.question(**given))

    parameters = [_parameter("context", typer.Context)]
    # Its own options first, then those that all share.
    for option in sorted(command.all_options().values(), key=lambda option: option.name not in own):
        info: Any = typer.Option("/".join(option.words), help=option.help)
        if option.metavar:
            info = typer.Argument(metavar=option.metavar, help=option.help)
        default = inspect.Parameter.empty if option.default is MISSING else option.default
        parameters.append(_parameter(option.name, Annotated[option.kind, info], default))
    typed.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    typed.__signature__ = inspect.Signature(parameters)  # ty: ignore[missing-attribute]
    app.command(command.words[-1])(typed)


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def shard_of(text: str) -> tuple[int, int]:
    """The numbers of a shard written i/n, counted from 1."""
    first, slash, of = text.partition("/")
    if not (slash and first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of)):
        raise ValueError(
            f"--shard must be i/n with i from 1 to n, but {text!r} came. Write 1/4 to 4/4 for four jobs"
        )
    return int(first), int(of)


def words(text: str) -> list[str]:
    """The words of a list by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def ended(found: Any) -> None:
    """Says what a shard or the whole came to."""
    note(repr(found))
    for file in getattr(found, "written", ()):
        say(str(file))


def going_on() -> contextlib.AbstractContextManager[None]:
    """Ends an interrupted command with a word on what becomes of what was finished."""
    return interruptible("what was finished is kept, and the same command goes on from there")


def elements(asked: Any, bases: Reference, within: Interval | None, motifs: Sequence[Any] = ()) -> Any:
    """The elements of `--genes` and of the further files of `--beds`, as `attention.paper_elements` derives them.

    Raises
    ------
    FileNotFoundError
        A file is not there, or none was named for a reference that is not the bundle's.
    ValueError
        Nothing of the genes lies on a contig of the bases, or nothing of a further file in the region that is looked at.
    """
    from ntviz import annotation, attention, data
    from ntviz.annotation.combine import require_within

    if asked.genes is None and asked.reference is not None:
        raise FileNotFoundError(
            "--genes must name the genes of the genome that --reference is, but none came. Give a GTF, GFF3 or BED"
        )
    files = [asked.genes or data.bundle("genes"), *map(Path, words(asked.beds))]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"elements must be in files, but there is none at {missing[0]}. Check --genes and --beds"
        )
    first, *more = files
    known = annotation.read(first)
    contigs = [bases.whole(name) for name in bases.contigs]
    require_within(known, contigs)
    if within is not None and not len(known.within(within)):
        tell(f"Nothing of {known.source} lies on {within.label()}.")
    others = annotation.named(more, within=contigs if within is None else within).values()
    return attention.paper_elements(known, bases, *others, motifs=motifs, within=within)
