"""What the cursor of a figure of points reads: each point in every panel, and the region of one that is kept.

The data become one JSON object inside the figure's HTML; the script beside it (`points.js`) shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ntviz.plot.readout import packed_floats, script_json


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Everything the cursor of a figure of points can say.

    Parameters
    ----------
    places
        [panel, point, 2] from the image's top left corner, as fractions of its width and height.
    texts
        [point] what is read.
    regions
        [point] region to copy, 1-based closed.
    link
        Web address with `{region}` where the region belongs; no link when empty.
    radius
        Of the ring around the point that is read, in CSS pixels.
    """

    script: ClassVar[str] = "points.js"
    kind: ClassVar[str] = "application/vnd.ntviz.points+json"

    places: np.ndarray
    texts: Sequence[str]
    regions: Sequence[str]
    link: str = ""
    radius: float = 7.0

    def json(self, title: str) -> str:
        """The data as JSON that may stand inside an HTML script element, whatever the names in it are."""
        return script_json(
            {
                "title": title,
                "n": len(self.texts),
                "places": packed_floats(self.places.ravel()),
                "texts": list(self.texts),
                "regions": list(self.regions),
                "link": self.link,
                "radius": self.radius,
            }
        )
