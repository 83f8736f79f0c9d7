"""`enrichment`: which heads look at which elements more than chance, beside what the nulls and the controls say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ntviz.plot.enriched import CONTROLS, Element, read_elements
from ntviz.plot.enrichment_grids import HeatMap
from ntviz.plot.figure import Figure
from ntviz.plot.forest import forest
from ntviz.plot.words import plain


def enrichment(
    table: pd.DataFrame,
    *,
    title: str,
    element: str | None = None,
    elements: Sequence[str] | None = None,
    null: np.ndarray | None = None,
    control: str | None = "auto",
    most: int = 30,
    caption: str = "",
    width: float = 10.0,
) -> Figure:
    """A figure of ratios: the share of a head's attention on an element over the element's share of positions.

    With `element`, one row a head: the ratio with its interval, the ratios of shifted elements, of shuffled sequence
    and of random weights beneath it. Else all heads by all elements, as log2 of the ratio. A filled mark passes the
    shift null; a hollow one passes the published z-test only, which calls nearly everything significant.

    Parameters
    ----------
    table
        Of `attention.enrichment`: a row for each layer, head and element.
    title
        Says what the figure shows.
    element
        The one element to show head by head.
    elements
        Those of the heat map, in order; all of the table when None.
    null
        [shift, layer, head] share of attention on the shifted `element`, as `Enrichment.null(element)` gives it: drawn
        as the middle 95 % of shifts. Without it their mean is drawn.
    control
        Of the heat map: "shuffle" or "twin", drawn beside on the same scale; "auto": the first of them in the table;
        None: none.
    most
        Heads drawn for one element, those with the largest ratios; the rest is counted.
    caption
        Text before the sentences that say how to read the figure.
    width
        In inches of 96 CSS pixels.

    Raises
    ------
    ValueError
        If a column, an element or a control is missing, a head comes twice, or both `element` and `elements` are
        given.

    Examples
    --------
    >>> row = {"layer": 0, "head": 0, "element": "exon", "significant_published": True, "significant": False}
    >>> table = pd.DataFrame([row | {"ratio": 2.0, "ratio_low": 0.9, "ratio_high": 3.0}])
    >>> print(enrichment(table, title="One head", element="exon"))
    One head. Attention on exon over its share of positions, 1 head as layer.head. 0 pass the shift null; 1 passes the published test only. Largest: 0.0, 2 times (95% interval 0.9 to 3).
    """
    if element is not None and elements is not None:
        raise ValueError(
            f"Either one element or several must be shown; received element={element!r} and elements={list(elements)!r}. "
            f"Leave one of the two out."
        )
    title = plain(title, most=200)
    if element is not None:
        return forest(
            read_elements(table, [element])[0],
            null=null,
            background=_background(table, element),
            title=title,
            most=most,
            caption=caption,
            width=width,
        )
    if null is not None:
        raise ValueError(
            "A null must belong to one element; received null= with no element=. Pass element= as well, or leave it out."
        )
    found = read_elements(table, elements)
    control = _control(control, found)
    shape = (
        max(int(each.layers.max()) for each in found) + 1,
        max(int(each.heads.max()) for each in found) + 1,
    )
    return HeatMap(found, shape, control, title, caption, width).figure()


def _background(table: pd.DataFrame, element: str) -> np.ndarray | None:
    if "background" not in table:
        return None
    rows = table[table["element"].astype(str) == element].sort_values(["layer", "head"])
    return rows["background"].to_numpy(float)


def _control(control: str | None, found: Sequence[Element]) -> str | None:
    known = [key for key in CONTROLS if all(key in each.controls for each in found)]
    if control == "auto":
        return known[0] if known else None
    if control is not None and control not in known:
        raise ValueError(
            f"The control must be one that the table has ({', '.join(known) or 'none'}); received {control!r}. "
            f"Ask attention.enrichment for that null, or pass control=None."
        )
    return control
