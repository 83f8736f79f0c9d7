"""Finished pieces of a run, kept by content: what was scored once with the same weights, bases and options is read again."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntviz import environment
from ntviz.variants.scoring import Scored


@dataclass(frozen=True)
class Parts:
    """A folder of pieces, each written whole or not at all, and named by what its numbers follow from.

    Parameters
    ----------
    folder
        Made when something is written. Several processes may share it.
    """

    folder: Path

    def file(self, identity: str) -> Path:
        """Where a piece is kept, by `Scorer.identity` of its alleles."""
        return self.folder / identity[:2] / f"{identity}.npz"

    def has(self, identity: str) -> bool:
        """Whether there is such a piece."""
        return self.file(identity).is_file()

    def read(self, identity: str) -> Scored | None:
        """A piece as it was written; None where there is none, or it is damaged and has to be made again."""
        try:
            content = self.file(identity).read_bytes()
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                words = json.loads(str(arrays["words"]))
                values = arrays["values"]
        except (OSError, KeyError, *environment.DAMAGED):
            return None
        return Scored(
            words["statuses"],
            words["kinds"],
            words["methods"],
            words["notes"],
            words["ref_agrees"],
            tuple(words["columns"]),
            values,
            words["entries"],
        )

    def write(self, identity: str, scored: Scored) -> None:
        """Keeps a piece."""
        words = {
            "statuses": scored.statuses,
            "kinds": scored.kinds,
            "methods": scored.methods,
            "notes": scored.notes,
            "ref_agrees": scored.ref_agrees,
            "columns": list(scored.columns),
            "entries": list(scored.entries),
        }
        with environment.atomic_write(self.file(identity)) as handle:
            np.savez_compressed(
                handle, allow_pickle=False, words=np.array(json.dumps(words)), values=scored.values
            )
