"""What commands that can be shared among jobs have in common: their options, their shard, how they end."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING
from typing import Annotated, Any

import typer

from ntviz.cli.messages import interruptible, note, say
from ntviz.runs.commands import COMMANDS


def register(app: typer.Typer, name: str, function: Callable[[typer.Context, Any], None]) -> None:
    """Makes a function the command of that name in `COMMANDS`: its options are the fields of its `question`."""
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
        raise ValueError(f"--shard must be i/n with i from 1 to n, but {text!r} came. Write 1/4 to 4/4 for four jobs")
    return int(first), int(of)


def split(text: str) -> list[str]:
    """The items of a list by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def ended(result: Any) -> None:
    """Shows the summary and the files of a shard or of the whole."""
    note(repr(result))
    for file in getattr(result, "written", ()):
        say(str(file))


def going_on() -> contextlib.AbstractContextManager[None]:
    """Ends an interrupted command with a line on what becomes of what was finished."""
    return interruptible("what was finished is kept, and the same command goes on from there")
