"""Where a model puts windows of the genome: two-dimensional maps of their vectors by genomic element, and how far apart.

`windows` samples stretches that lie in one element each; `project` lays vectors out in two dimensions; `separation` says
in numbers what an eye may only believe to see, in the vectors and in the map; `by_layer` does all of it for each layer of
a model, beside counts of k-mers and the same model with random weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.projection.layering import by_layer
    from ntviz.projection.reducing import METHODS, project, scaled
    from ntviz.projection.result import Maps
    from ntviz.projection.sampling import ELEMENTS, Windows, windows
    from ntviz.projection.separating import separation

_HOMES = {
    "layering": ("by_layer",),
    "reducing": ("METHODS", "project", "scaled"),
    "result": ("Maps",),
    "sampling": ("ELEMENTS", "Windows", "windows"),
    "separating": ("separation",),
}

__all__ = [
    "ELEMENTS",
    "METHODS",
    "Maps",
    "Windows",
    "by_layer",
    "project",
    "scaled",
    "separation",
    "windows",
]

__getattr__ = lazily(__name__, _HOMES)
