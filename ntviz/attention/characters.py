"""`atlas`: what is known of each head, one row a head: its habits, and the element it looks at most."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment

LEAST_RATIO = 1.2
"""Ratio to its share of the windows from which an element names a head: less may be sure, and says little."""

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.attention.habits import Detection


@dataclass(frozen=True)
class Atlas:
    """What is known of each head; made by `atlas`.

    Attributes
    ----------
    table
        One row a head: [layer, head, label, habit, entropy, distance_bp, to_special, element, element_ratio] and the
        ratio to chance of each template under its name. `element` is that with the largest ratio, at least
        `LEAST_RATIO`, among those that stand against the shift null; empty where none does.
    """

    table: pd.DataFrame

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores that `grid` takes."""
        return tuple(self.table.select_dtypes("number").columns.drop(["layer", "head"]))

    def grid(self, score: str) -> np.ndarray:
        """[layer, head] values of a score, for colouring.

        Raises
        ------
        ValueError
            There is no such score.
        """
        if score not in self.scores:
            raise ValueError(
                f"A score must be one of {', '.join(self.scores)}; received {score!r}. Choose one of these."
            )
        return self._square(score).astype(float)

    @property
    def labels(self) -> list[list[str]]:
        """Short words for each [layer][head]."""
        return self._square("label").tolist()

    def label(self, layer: int, head: int) -> str:
        """Short words for one head."""
        return self.labels[layer][head]

    def _square(self, column: str) -> np.ndarray:
        return self.table.pivot(index="layer", columns="head", values=column).to_numpy()

    def __repr__(self) -> str:
        found = int((self.table["element"] != "").sum())
        counts = self.table["habit"].str.replace(r" [+-]\d+$", "", regex=True).value_counts()
        said = ", ".join(f"{number} {habit}" for habit, number in counts.items())
        return f"{len(self.table)} heads: {said}; {found} look at an element more than chance"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the table as parquet, whole or not at all."""
        path = Path(path)
        with environment.atomic_write(path) as part:
            self.table.to_parquet(part)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Atlas:
        """An atlas from the file that `save` wrote."""
        import pandas as pd

        return cls(pd.read_parquet(path))


def atlas(detection: Detection, enrichment: Any = None) -> Atlas:
    """One row for each head: its habit, how it scores against each template, and the element it looks at most.

    Parameters
    ----------
    detection
        From `detect`.
    enrichment
        From `enrichment`, of the same model; without it no element is named.

    Raises
    ------
    ValueError
        The two have different heads.
    """
    heads = detection.heads.rename(columns={"label": "habit"})
    ratios = detection.table.pivot(index=["layer", "head"], columns="template", values="ratio").reset_index()
    table = heads.merge(ratios, on=["layer", "head"])
    table["element"], table["element_ratio"] = "", np.nan
    if enrichment is not None:
        tested = enrichment.table
        own = set(zip(tested["layer"], tested["head"], strict=True))
        known = set(zip(table["layer"], table["head"], strict=True))
        if own != known:
            raise ValueError(
                f"Detection and enrichment must be of the same model; received {len(known)} and {len(own)} heads, "
                f"{len(own & known)} of them in both. Run both on one model."
            )
        found = tested[tested["significant"] & (tested["ratio"] >= LEAST_RATIO)]
        found = found.sort_values("ratio", ascending=False)
        best = found.drop_duplicates(["layer", "head"]).set_index(["layer", "head"])
        for place, key in enumerate(zip(table["layer"], table["head"], strict=True)):
            if key in best.index:
                table.loc[place, ["element", "element_ratio"]] = best.loc[key, ["element", "ratio"]].tolist()
    words = [_words(*row) for row in table[["habit", "element", "element_ratio"]].itertuples(index=False)]
    table.insert(2, "label", words)
    return Atlas(table)


def _words(habit: str, element: str, ratio: float) -> str:
    if not element:
        return habit
    name = element.replace("_", " ").replace("cpg", "CpG").replace("utr", "UTR")
    return f"{name} {ratio:.1f}x" if habit == "other" else f"{habit}, {name} {ratio:.1f}x"
