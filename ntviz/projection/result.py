"""`Maps`: where windows lie in each layer of a model, and beside it in what must be beaten; on disk as one file."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.projection import separating

if TYPE_CHECKING:
    import pandas as pd

SPACES = ("vectors", "map")
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of the same windows, one a layer or baseline; made by `by_layer`.

    Attributes
    ----------
    windows
        One row a window: chrom, start, end (0-based half-open), strand, element, gene, gc.
    panels
        One row a map: panel (its name), source ("model", "twin" or "counts"), layer (-1 for counts), dimensions of its vectors.
    coordinates
        float32 [panel, window, 2], without unit.
    values
        float32 [panel, space, measure, window]: what `separation` averages, over `SPACES` and `separating.MEASURES`.
    separation
        Rows of `separation` with panel and space ("vectors": scaled, all dimensions; "map": the two coordinates) before them.
    groups
        [window] name of the stretch of the genome that a window is of.
    model
        Name of the model.
    settings
        What they were made with; plain data.
    """

    windows: pd.DataFrame
    panels: pd.DataFrame
    coordinates: np.ndarray
    values: np.ndarray
    separation: pd.DataFrame
    groups: np.ndarray
    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        panels, windows = len(self.panels), len(self.windows)
        wanted = {
            "coordinates": (panels, windows, 2),
            "values": (panels, len(SPACES), len(separating.MEASURES), windows),
            "groups": (windows,),
        }
        for name, shape in wanted.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(
                    f"Arrays of {panels} maps of {windows:,} windows must fit them; {name} must be {list(shape)}, and is "
                    f"{list(np.shape(getattr(self, name)))}. Make them with projection.by_layer."
                )

    def __repr__(self) -> str:
        rows = self.overview()
        told = ", ".join(
            f"{panel} {value:.2f}" for panel, value in zip(rows["panel"], rows["value"], strict=True)
        )
        return f"Maps({len(self.windows):,} windows by {self.model}; purity of vectors: {told})"

    def coordinates_of(self, panel: str) -> np.ndarray:
        """Coordinates in one map, float32 [window, 2].

        Raises
        ------
        ValueError
            There is no such map.
        """
        return self.coordinates[self._row(panel)]

    def overview(self, measure: str = "purity", space: str = "vectors") -> pd.DataFrame:
        """One row a map: the rows of `separation` over all elements, of one measure and space.

        Raises
        ------
        ValueError
            There is no such measure or space.
        """
        _check(measure, space)
        rows = self.separation
        chosen = (rows["measure"] == measure) & (rows["space"] == space) & (rows["element"] == "all")
        return rows[chosen].drop(columns=["measure", "space", "element"]).reset_index(drop=True)

    def against(
        self,
        baseline: str,
        *,
        measure: str = "purity",
        space: str = "vectors",
        draws: int = 1_000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """How much better each other map separates than one of them, window by window, as a table.

        The layer that looks best was chosen by looking: its difference is an upper guess.

        Parameters
        ----------
        baseline
            Name of a map, such as "4-mers".
        measure, space
            As in `overview`.
        draws, seed
            Of the interval over groups.

        Returns
        -------
        Columns panel, difference (mean over elements), low, high (95 % interval; NaN for fewer than 5 groups).

        Raises
        ------
        ValueError
            There is no such map, measure or space.
        """
        import pandas as pd

        _check(measure, space)
        place = (SPACES.index(space), separating.MEASURES.index(measure))
        base = self._row(baseline)
        names, labels = separating.coded(self.windows["element"].to_numpy(), len(self.windows))
        rows = []
        for row, panel in enumerate(self.panels["panel"]):
            if row == base:
                continue
            each = self.values[row, *place].astype(float) - self.values[base, *place].astype(float)
            drawn = separating.redrawn(each, labels, len(names), self.groups, draws=draws, seed=seed)
            low, high = separating.interval(drawn, self.groups)[:, 0]
            rows.append((panel, separating.by_class(each, labels, len(names))[0], low, high))
        return pd.DataFrame(rows, columns=["panel", "difference", "low", "high"])

    def _row(self, panel: str) -> int:
        names = self.panels["panel"].tolist()
        if panel not in names:
            raise ValueError(
                f"A map must be one of {', '.join(names)}; received {panel!r}. Choose one of these."
            )
        return names.index(panel)

    # Files ------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path of one .npz with all arrays, and the tables as JSON in it; it appears whole or not at all.

        Raises
        ------
        OSError
            It cannot be written.
        """
        about = {
            "format": _FORMAT,
            "model": self.model,
            "settings": self.settings,
            **{name: _plain(getattr(self, name)) for name in ("windows", "panels", "separation")},
        }
        with environment.atomic_write(path) as handle:
            np.savez_compressed(
                handle,
                allow_pickle=False,
                about=np.array(json.dumps(about)),
                coordinates=self.coordinates,
                values=self.values,
                groups=self.groups.astype(str),
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Maps:
        """Maps as `save` wrote them; neither torch nor the model is needed.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is damaged, of another version, or holds no maps.
        """
        import pandas as pd

        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                if about["format"] != _FORMAT:
                    raise ValueError(f"format {about['format']}")
                tables = [_table(pd, about[name]) for name in ("windows", "panels", "separation")]
                coordinates, values, groups = (arrays[name] for name in ("coordinates", "values", "groups"))
            windows, panels, separation = tables
            return cls(
                windows, panels, coordinates, values, separation, groups, about["model"], about["settings"]
            )
        except environment.DAMAGED as error:
            raise ValueError(
                f"Maps must be a file of format {_FORMAT} that Maps.save wrote; {path} is not, or is damaged ({error}). "
                "Make them again."
            ) from error


def _check(measure: str, space: str) -> None:
    if measure not in separating.MEASURES or space not in SPACES:
        raise ValueError(
            f"measure must be one of {', '.join(separating.MEASURES)}, and space one of {', '.join(SPACES)}; received "
            f"{measure!r} and {space!r}. Choose of these."
        )


def _plain(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as JSON-ready lists; what is missing is null."""
    return {
        str(name): [
            None if isinstance(value, float) and np.isnan(value) else value for value in table[name].tolist()
        ]
        for name in table.columns
    }


def _table(pd: Any, columns: dict[str, list[Any]]) -> pd.DataFrame:
    """The table of such columns; null is NaN in a column of numbers."""
    made = {}
    for name, values in columns.items():
        numeric = all(value is None or isinstance(value, float) for value in values)
        made[name] = np.array(values, dtype=float) if numeric and values else values
    return pd.DataFrame(made)
