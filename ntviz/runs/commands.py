"""Commands that a sheet may run in shards: what each takes, read from the command itself, and where it writes."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.runs import parameters

POSITIONAL = "in"
"""The column of a sheet that is a command's positional argument."""
_OURS = {"out", "shard", "cache", "plan", "rate", "overwrite", "table", "no_table"}
_TABLES = (".tsv", ".csv", ".parquet")


@dataclass(frozen=True)
class Option:
    """One option or argument of a command.

    Attributes
    ----------
    name
        As in Python; with dashes for underscores after ``--``.
    kind
        Its annotation, such as ``int | None``.
    default
        None where there is none.
    positional, required, path
        Whether it is typed without a name, must be given, and names a file or folder.
    words
        What is typed before its value; of a switch, what turns it on and, if there is that, what turns it off.
    """

    name: str
    kind: str
    default: Any
    positional: bool
    required: bool
    path: bool
    words: tuple[str, ...]

    def typed(self, text: str) -> list[str]:
        """The words of a command line that give this option the value in `text`.

        Raises
        ------
        ValueError
            If the value does not fit the option's type.
        """
        kind = self.kind.replace("Path", "str")
        value = parameters.coerce(text, parameters.Parameter(self.name, kind, self.default))
        if isinstance(value, bool):
            on, *off = self.words
            return [on] if value else off
        if self.positional:
            return [text]
        if isinstance(value, list | tuple):
            return [word for item in value for word in (self.words[0], str(item))]
        return [self.words[0], text]


@dataclass(frozen=True)
class Command:
    """A command of `ntviz` that computes in shards and merges without ``--shard``.

    Attributes
    ----------
    words
        What is typed after ``ntviz``.
    result
        Where ``--out`` points to, below the sample's folder.
    report
        A page that it writes, below the sample's folder; empty if it writes none.
    """

    words: tuple[str, ...]
    result: str
    report: str = ""

    @property
    def name(self) -> str:
        """As in a sheet's column `run`."""
        return self.words[0]

    def function(self) -> Callable[..., Any]:
        """The Python function behind the command.

        Raises
        ------
        ValueError
            If this version of ntviz has no such command.
        """
        from ntviz import cli

        found: Any = cli.app
        for word in self.words[:-1]:
            found = {group.name: group.typer_instance for group in found.registered_groups}[word]
        for command in found.registered_commands:
            if (command.name or command.callback.__name__) == self.words[-1]:
                return command.callback
        raise ValueError(
            f"`ntviz {' '.join(self.words)}` must be a command of this version, but it is not there"
        )

    def all_options(self) -> dict[str, Option]:
        """Everything that the command takes, by name."""
        return {option.name: option for option in map(_option, *_declared(self.function()))}

    def options(self) -> dict[str, Option]:
        """What a sheet may set, by column: all but outputs and shards, which the workflow sets."""
        found = {}
        for option in self.all_options().values():
            if option.name not in _OURS:
                found[POSITIONAL if option.positional else option.name] = option
        return found

    def typed(self, given: Mapping[str, str]) -> list[str]:
        """The words after ``ntviz`` that run the command with the values in `given`, by column of a sheet.

        Raises
        ------
        ValueError
            If a column is no option of the command, one that must be there is missing, or a value does not fit.
        """
        options = self.options()
        words = list(self.words)
        for column, text in given.items():
            words += _known(column, options, self.name).typed(text)
        for column, option in options.items():
            if option.required and column not in given:
                raise ValueError(f"{self.name} must be given {column!r}, but its cell is empty. Fill it in")
        return words

    def result_of(self, given: Mapping[str, str]) -> str:
        """Where the result goes for these values: tables come out as the kind of table that went in.

        A landscape of which one track or a bin is asked for is a bedGraph, as only that has them.
        """
        suffix = Path(given.get(POSITIONAL, "")).suffix
        if self.name == "score" and suffix in _TABLES:
            return f"scored{suffix}"
        if self.name == "landscape" and given.keys() & {"track", "bin"}:
            return "landscape.bedgraph"
        return self.result


COMMANDS = {
    command.name: command
    for command in (
        Command(("score",), "scored.vcf.gz"),
        Command(("enrich",), "enrichment.parquet"),
        Command(("landscape",), "landscape.npz"),
        Command(("benchmark", "run"), "matrix", "matrix/report.html"),
    )
}


def _declared(function: Callable[..., Any]) -> tuple[list[inspect.Parameter], list[Any]]:
    hints = typing.get_type_hints(function, include_extras=True)
    declared = [entry for entry in inspect.signature(function).parameters.values() if entry.name != "context"]
    return declared, [hints[entry.name] for entry in declared]


def _option(entry: inspect.Parameter, hint: Any) -> Option:
    from typer.models import ArgumentInfo

    kind, info = typing.get_args(hint)[:2]
    # Path is shown as it is; None and lists of it as their own text.
    shown = (kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)).replace(
        "pathlib.", ""
    )
    # Within Annotated, typer's first positional argument is a name although it is called `default`.
    decls = (info.default, *(info.param_decls or ()))
    named = [word for word in decls if isinstance(word, str) and word.startswith("--")]
    dashed = entry.name.replace("_", "-")
    pair = tuple(named[0].split("/")) if named else (f"--{dashed}", f"--no-{dashed}")
    missing = entry.default is inspect.Parameter.empty
    return Option(
        entry.name,
        shown,
        None if missing else entry.default,
        isinstance(info, ArgumentInfo),
        missing,
        "Path" in shown,
        pair if kind is bool else pair[:1],
    )


def _known(column: str, options: Mapping[str, Option], command: str) -> Option:
    if column in options:
        return options[column]
    if column in _OURS:
        raise ValueError(f"{column!r} of {command} is set by the workflow, but its cell is filled. Empty it")
    near = difflib.get_close_matches(column, options, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"a column must be an option of {command} where its cell is filled, but {column!r} is not. "
        f"{hint}It has: {', '.join(options)}"
    )
