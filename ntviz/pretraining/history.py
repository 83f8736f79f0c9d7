"""history.jsonl of a training run: one row a step, appended whole, cut back to a checkpoint when a run goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from ntviz import environment

FILE = "history.jsonl"


def read_history(directory: str | os.PathLike[str]) -> pd.DataFrame:
    """The history of a run directory, one row a step; see `Run`."""
    rows = _rows(Path(directory) / FILE)
    columns = [
        *("step", "tokens", "loss", "learning_rate", "seconds", "tokens_per_second", "utilisation"),
        *("held_out_loss", "held_out_accuracy"),
    ]
    return pd.DataFrame(rows, columns=columns)


class Log:
    """history.jsonl: rows beyond the checkpoint that a run goes on from are dropped first."""

    def __init__(self, directory: Path, *, keep: int, write: bool) -> None:
        self.path, self.write = directory / FILE, write
        if not write:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in _rows(self.path) if row["step"] <= keep]
        with environment.atomic_write(self.path, "w") as handle:
            handle.writelines(json.dumps(row) + "\n" for row in kept)

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row, whole or not at all; nothing in processes that do not write."""
        if self.write:
            environment.append_line(self.path, json.dumps(row, allow_nan=False))


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a history.jsonl, none without the file; a last line that a killed process cut off is left out."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(
                    f"Each line of {path} must be a JSON row; line {number} is not ({error}). "
                    "Remove that line, or train in another directory."
                ) from error
    return rows
