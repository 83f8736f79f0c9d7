"""Curves that grow while something runs: one figure in a notebook, redrawn in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ntviz.plot.curves import Panel, curves
from ntviz.plot.figure import Figure


class LiveCurves:
    """A figure of curves that takes a row at a time and is redrawn in place, in JupyterLab and under `ntviz run` alike.

    Outside a notebook it only collects. What is saved with the notebook, and stands in the report, is the last state.

    Parameters
    ----------
    x, y, title, x_label
        As in `curves`.
    smooth
        Columns shown as the mean over the last fiftieth of the rows: single steps are noisy.
    every
        Seconds between two drawings.

    Examples
    --------
    >>> live = LiveCurves(x="step", y=[Panel({"loss": "training"}, "loss, nats")], title="A run")
    >>> live.add({"step": 1, "loss": 8.0})
    >>> live.add({"step": 2, "loss": 7.0})
    >>> print(live.figure)
    A run. loss, nats: training from 8 to 7 (lowest 7 at step 2).
    """

    def __init__(
        self,
        *,
        x: str,
        y: Sequence[Panel],
        title: str,
        x_label: str = "",
        smooth: Sequence[str] = (),
        every: float = 10.0,
    ) -> None:
        self._x, self._y, self._title, self._x_label = x, list(y), title, x_label
        self._smooth, self._every = tuple(smooth), every
        self._rows: list[Mapping[str, Any]] = []
        self._handle: Any = None
        self._drawn_at = float("-inf")

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes one row, and redraws when the last drawing is old enough."""
        self._rows.append(dict(row))
        if time.monotonic() - self._drawn_at >= self._every:
            self.draw()

    def draw(self) -> None:
        """Redraws now; call it after the last row."""
        shell = _shell()
        if shell is None or not self._rows:
            return
        if self._handle is None:
            from IPython.display import display

            self._handle = display(self.figure, display_id=True)
        else:
            self._handle.update(self.figure)
        self._drawn_at = time.monotonic()

    @property
    def figure(self) -> Figure:
        """The curves so far; panels of which no value came yet are left out.

        Raises
        ------
        ValueError
            If no row came yet.
        """
        table = pd.DataFrame(self._rows)
        if table.empty:
            raise ValueError(
                "Live curves must have at least one row to be drawn; received none. Call add(row) first."
            )
        for column in self._smooth:
            table[column] = table[column].rolling(max(1, len(table) // 50), min_periods=1).mean()
        panels = []
        for panel in self._y:
            lines = {c: name for c, name in panel.lines.items() if c in table and table[c].notna().any()}
            if lines:
                panels.append(Panel(lines, panel.label, panel.baselines))
        return curves(table, x=self._x, y=panels, title=self._title, x_label=self._x_label)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
