"""Splice sites: their probabilities along a locus, and what bases contribute to them as a logo in splice coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.motif_logo import logo
from ntviz.plot.theme import colours
from ntviz.plot.tracks import Panel, Track
from ntviz.plot.words import escaped, listing, number, plain

LEAST = 0.1
"""Probability from which a site has a mark."""
KINDS = ("acceptor", "donor")


def splice_track(
    probabilities: np.ndarray, *, label: str = "Splice sites", reverse: np.ndarray | None = None, control: np.ndarray | None = None,
    control_label: str = "shuffled sequence", over: Interval | None = None, note: str = "", height: int = 84,
) -> Track:  # fmt: skip
    """A track of splice sites: a stem as high as its probability for each base, a mark on those of 0.1 or more.

    Parameters
    ----------
    probabilities
        [base, 3] none, acceptor and donor, as `predict` of a splice network gives them, in the reading direction of the interval.
    reverse
        [base, 3] the same of the other strand, drawn below zero.
    control, control_label
        [base, 3] of a control, in grey on the same axis; what it is.
    label, note, over, height
        As in `signal_track`.

    Raises
    ------
    ValueError
        If an array is not [base, 3], or holds no probabilities.
    """
    given = {"": probabilities, "reverse": reverse, "control": control}
    arrays = {
        name: _checked(array, f"{label} {name}".strip()) for name, array in given.items() if array is not None
    }

    def draw(panel: Panel) -> str:
        c, said = colours(), []
        for name, array in reversed(arrays.items()):
            shown = panel.view.crop(array, over, f"{label} {name}".strip())
            sign = -1 if name == "reverse" else 1
            for kind, colour, symbol in zip(
                KINDS, (c.negative, c.positive), ("triangle-right", "triangle-left"), strict=True
            ):
                values = shown[:, KINDS.index(kind) + 1]
                colour = c.control if name == "control" else colour
                at = np.flatnonzero(values >= (LEAST if name == "control" else 0.01))
                x, y = panel.view.positions[at], sign * values[at]
                gaps = np.full(len(at), np.nan)
                title = (
                    f"{label}: control ({control_label})"
                    if name == "control"
                    else label + (", other strand" if name else "")
                )
                panel.add(
                    go.Scatter(x=np.stack([x, x, gaps], 1).ravel(), y=np.stack([0 * y, y, gaps], 1).ravel(), mode="lines",
                               hoverinfo="skip", line={"color": colour, "width": 1.5}),
                    go.Scatter(x=x, y=y, mode="markers", name=escaped(f"{title}, {kind}"), customdata=values[at], hovertemplate=f"{kind} %{{x:,}}: %{{customdata:.3f}}<extra>%{{fullData.name}}</extra>",
                               marker={"color": colour, "symbol": symbol, "size": np.where(values[at] >= LEAST, 9, 3)}),
                )  # fmt: skip
                if not name:
                    said.append(_found(kind, panel.view.positions, values))
                elif name == "control":
                    highest = float(np.nanmax(values, initial=0))
                    said.append(
                        f"in the control ({plain(control_label)}) {kind}s reach {number(round(highest, 3))}"
                    )
        panel.yaxis(range=[-1.1 if "reverse" in arrays else 0, 1.1], zeroline=True, nticks=4)
        return "; ".join(sorted(said, key=lambda text: text.startswith("in the control")))

    marks = "▸ acceptor (first base of an exon), ◂ donor (last base)" + (
        "; below 0: the other strand" if reverse is not None else ""
    )
    grey = [f"grey: {plain(control_label)}"] if control is not None else []
    return Track(
        plain(label, most=90),
        height,
        draw,
        "probability",
        note="; ".join([*filter(None, [plain(note, most=90)]), marks, *grey]),
    )


def _found(kind: str, positions: np.ndarray, values: np.ndarray) -> str:
    """Sites of 0.5 or more, or the highest value there is."""
    at = np.flatnonzero(values >= 0.5)
    if not len(at):
        return f"no {kind} of 0.5 or more, the highest is {number(float(np.nanmax(values, initial=0)))}"
    sites = [f"{int(positions[i]):,} ({values[i]:.2f})" for i in at]
    return f"{kind}{'s' if len(at) > 1 else ''} at {listing(sites)}"


def _checked(array: Any, label: str) -> np.ndarray:
    values = np.asarray(array, dtype=float)
    if (
        values.ndim != 2
        or values.shape[1] != 3
        or np.nanmin(values, initial=0) < -1e-6
        or np.nanmax(values, initial=0) > 1 + 1e-6
    ):
        raise ValueError(
            f"{label!r} must be probabilities [base, 3] of none, acceptor and donor; received the shape {list(values.shape)}"
            + (f", {np.nanmin(values):.3g} to {np.nanmax(values):.3g}" if values.size else "")
            + ". Pass one sequence of what `predict` of a splice network gives."
        )
    return values


def splice_logo(
    matrix: np.ndarray, kind: str, *, title: str = "", unit: str = "log-odds (nats)", ax: Any = None
) -> Any:
    """Matplotlib axes of a logo in splice coordinates: numbers count from the junction, which is named, and there is no 0.

    Parameters
    ----------
    matrix
        [position, 4] heights of A, C, G, T, such as mean contributions over many sites: a donor's from -3 to +6 (3 bases of the exon, 6
        of the intron), an acceptor's from -20 to +3 (20 of the intron, 3 of the exon).
    kind
        "acceptor" or "donor".
    title, unit, ax
        Over the logo; of its heights; axes to draw on.

    Raises
    ------
    ValueError
        If the kind is neither, or the matrix has not 9 or 23 positions.
    """
    if kind not in KINDS:
        raise ValueError(
            f"A splice site must be an acceptor or a donor; received {kind!r}. Choose one of the two."
        )
    before, after = (3, 6) if kind == "donor" else (20, 3)
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (before + after, 4):
        raise ValueError(
            f"A {kind} must have {before + after} positions, -{before} to +{after}, by 4 bases; received the shape {list(matrix.shape)}. "
            "Cut the contributions around the junction."
        )
    axes = logo(matrix, ax=ax, unit=unit, title=title)
    numbers = [*range(-before, 0), *range(1, after + 1)]
    shown = [i for i, at in enumerate(numbers) if kind == "donor" or at % 5 == 0 or at > 0 or at in (-1, -3)]
    axes.set_xticks([i + 1 for i in shown], [f"{numbers[i]:+d}".replace("-", "−") for i in shown])
    axes.axvline(before + 0.5, color=colours().muted, linewidth=1, linestyle=":")
    axes.set_xlabel(
        "exon | intron, bases from the junction"
        if kind == "donor"
        else "intron | exon, bases from the junction"
    )
    return axes
