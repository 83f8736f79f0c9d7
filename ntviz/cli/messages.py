"""What the command says, and how it ends: exit codes, messages, tables."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ntviz.environment import listeners

if TYPE_CHECKING:
    import pandas as pd

FAILED, USAGE, INTERRUPTED = 1, 2, 130

say = typer.echo
"""Writes to standard output what was asked for."""
note = functools.partial(typer.echo, err=True)
"""Writes to standard error what goes beside it."""


@contextlib.contextmanager
def noted() -> Generator[list[str]]:
    """Notes on inputs while a command runs, each once: on standard error at once, and here for its manifest."""
    notes: list[str] = []

    def hear(text: str) -> None:
        if text not in notes:
            notes.append(text)
            note(text)

    listeners.append(hear)
    try:
        yield notes
    finally:
        listeners.remove(hear)


def usage(*errors: type[Exception]) -> contextlib.AbstractContextManager[None]:
    """Turns errors about what the user typed into one message and exit code 2."""
    return _ending(USAGE, errors)


def failing(*errors: type[Exception]) -> contextlib.AbstractContextManager[None]:
    """Turns errors about what was attempted into one message and exit code 1."""
    return _ending(FAILED, errors)


@contextlib.contextmanager
def _ending(code: int, errors: tuple[type[Exception], ...]) -> Generator[None]:
    try:
        yield
    except errors as error:
        note(f"ntviz: {error}")
        raise typer.Exit(code) from None


@contextlib.contextmanager
def interruptible(kept: str = "") -> Generator[None]:
    """End an interrupted command in one line, with what is kept, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"ntviz: interrupted{kept and '; '}{kept}")
        raise typer.Exit(INTERRUPTED) from None


def aligned(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Columns of text, as wide as needed; the last one is cut at the terminal's width if that is one."""
    texts = [[str(value) for value in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in texts]
    if sys.stdout.isatty():
        wide = os.get_terminal_size().columns
        lines = [line if len(line) <= wide else line[: wide - 1] + "…" for line in lines]
    return "\n".join(lines)


def tabulated(table: pd.DataFrame) -> str:
    """A table as `aligned` text."""
    return aligned(table.to_numpy().tolist(), list(table.columns))


def cell_text(value: object) -> str:
    """A value as people read it in a table: numbers to three places, what is missing as a dash."""
    if isinstance(value, float):
        return "-" if value != value else f"{value:.3f}"
    return str(value) or "-"
