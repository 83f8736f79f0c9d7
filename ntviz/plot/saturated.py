"""`saturation`: every single-base substitution of a locus, beside what the model expects there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap, TwoSlopeNorm

from ntviz.genome import Interval, Variant
from ntviz.plot import palette
from ntviz.plot.cells import CellLane, CellPane, Cells, Places
from ntviz.plot.figure import Figure
from ntviz.plot.genes import genes_track
from ntviz.plot.indexed import IndexedFigure, palette_of
from ntviz.plot.locus import Track, locus
from ntviz.plot.logo import logo_track
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.signals import signal_track
from ntviz.plot.substituted import (
    KINDS,
    UNIT,
    Locus,
    Saturated,
    checked,
    variant_name,
    variant_place,
)
from ntviz.plot.substitutions import BasesTrack, SubstitutionTrack, ends, sign_colours
from ntviz.plot.transcripts import Annotated
from ntviz.plot.view import View
from ntviz.plot.words import plain, sentence

SUMMARY = "Mean over the substitutions"
LOGO = "Bases the model expects"


def saturation(
    result: Saturated,
    *,
    annotation: Annotated | None = None,
    tracks: Sequence[Track] = (),
    variant: Variant | str | None = None,
    kind: str = "llr",
    title: str | None = None,
    assembly: str | None = None,
    zoom: Interval | None = None,
    top: float | None = None,
    caption: str = "",
    width: float = 10.0,
) -> Figure:
    """A figure of every single-base substitution of a locus: rows are the alternative bases, columns the positions.

    From top to bottom: genes, the bases there, the map, its mean over the substitutions of a base, the bases the model
    expects as a logo, and further tracks. Where bases are thinner than a CSS pixel, a pixel of the map has the value
    farthest from zero beneath it, and the label says so.

    Parameters
    ----------
    result
        Of `variants.saturation`: `interval`, `sequence`, and [base, 4] in the order A, C, G, T, in the reading
        direction of the interval: `llr`, `llr_fwd`, `llr_rev` in nats (0 at the base there, NaN where there is no
        score) and `probabilities`.
    annotation
        Whose genes are drawn on top.
    tracks
        More tracks below, as `locus` takes them.
    variant
        A substitution or another small variant to mark, on the forward strand with a 1-based position: a `Variant` or
        its text.
    kind
        Array to draw: "llr" (as the result averaged it), "llr_fwd" or "llr_rev" (one reading direction), or "base_llr"
        (summed over the other bases of the token).
    title
        Says what the figure shows; names the model when None.
    assembly
        Name of the genome assembly, written on the axis.
    zoom
        A part of the interval drawn once more below, enlarged.
    top
        LLR in nats, without sign, of the strongest colours. When None, the 99th percentile of the sizes: one very
        strong effect would turn all others pale. The label counts what lies beyond.
    caption
        Text before the sentences that say how to read the figure.
    width
        Of the figure, in inches of 96 CSS pixels.

    Returns
    -------
    Figure
        Its alt sentence names the lowest and the highest value and where they are. The cursor reads position,
        substitution, the LLR of both directions, the expected probability and the other tracks.

    Raises
    ------
    TypeError
        If the result lacks an array.
    ValueError
        If shapes disagree, values are infinite or not 0 at the base there, the kind is unknown, the variant lies
        elsewhere or has another reference base, or the interval is longer than 20,000 bp.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> llr = np.array([[0, -1, -2, -3], [-0.5, 0, 0.25, np.nan]])
    >>> toy = SimpleNamespace(interval=Interval("chr20", 100, 102), sequence="AC", llr=llr, model="toy",
    ...     probabilities=np.full((2, 4), 0.25))
    >>> saturation(toy).alt.split("LLR of each substitution: ")[1].split(", 80%")[0]
    '5 substitutions, lowest −3 nats (A>T at 101), highest 0.25 nats (C>G at 102)'
    """
    data = checked(result, kind, variant)
    norm = _norm(data.values, top)
    name = f"{data.label} of each substitution"
    note = "; ".join(
        part for part in ("mean of both strands" if data.both else "", ends(norm, data.values)) if part
    )
    cells = [] if data.cell is None else [data.cell]
    words = f"{name}: {data.said()}"
    substitutions = SubstitutionTrack(data.values, data.codes, name, note, UNIT, norm, cells, words)
    summary = signal_track(data.mean(), label=SUMMARY, unit=UNIT, diverging=True, height=0.6)
    genes = [] if annotation is None else [genes_track(annotation)]
    model = plain(getattr(result, "model", "") or "")
    drawn = locus(
        data.interval,
        [
            *genes,
            BasesTrack(data.sequence),
            substitutions,
            summary,
            logo_track(result.probabilities, label=LOGO),
            *tracks,
        ],
        title=title or "Every single-base substitution" + (f", scored by {model}" if model else ""),
        assembly=assembly,
        zoom=zoom,
        marks=None if data.variant is None else {variant_name(data.variant): variant_place(data.variant)},
        width=width,
    )
    view = View(data.interval, data.interval, 1.0)
    told = [lane for track in (*genes, summary, *tracks) for lane in track.drawn(view).lanes]
    return IndexedFigure(
        drawn.drawing,
        title=drawn.title,
        alt=drawn.alt,
        caption=" ".join([*([sentence(plain(caption, most=600))] if caption else []), *_notes(data)]),
        readout=_cursor(drawn, data, name, told),
        # Without a colour of its own, grey for no score would turn into the nearest pale blue.
        keep=palette_of(ListedColormap([*np.asarray(sign_colours().colors), palette.FAINT])),
    )


def _norm(values: np.ndarray, top: float | None) -> TwoSlopeNorm:
    if top is None:
        sizes = np.abs(values[np.isfinite(values)])
        return palette.sign_norm(np.percentile(sizes, [99], method="higher") if sizes.size else sizes)
    if not (np.isfinite(top) and top > 0):
        raise ValueError(
            f"The LLR of the strongest colours must be above 0; received top={top}. Leave it out for the data's own."
        )
    return palette.sign_norm(np.array([top]))


def _notes(data: Locus) -> list[str]:
    return [
        "LLR: log-likelihood ratio of the alternative base against the base there, in nats, with its token hidden from "
        + ("the model; both strands are read and averaged." if data.both else "the model."),
        "Blue: the model finds the alternative less likely; orange: more likely.",
        "Where a token holds several bases, "
        + (
            "LLR and expected bases are summed over the others."
            if data.kind == "base_llr"
            else "the LLR keeps the others as they are, and the expected bases are summed over them."
        ),
    ]


def _cursor(drawn: Figure, data: Locus, name: str, told: Sequence[Lane]) -> Cells:
    """Every substitution as a cell of four rows; what is one value a base is told in each row."""
    interval, n = data.interval, len(data.interval)
    first = np.arange(interval.start, interval.end)
    spans = np.stack([first, first + 1], axis=1)
    letters = palette.BASES + "N"
    changes = [
        f"{letters[code]}>{alternative}" if 0 <= code != column else f"{letters[code]}, the base there"
        for column, alternative in enumerate(palette.BASES)
        for code in data.codes.tolist()
    ]
    # The key M climbs the first lane: it must hold numbers.
    lanes = [CellLane(data.label, UNIT, data.values.T), CellLane("", texts=changes)]
    for kind in ("llr_fwd", "llr_rev"):
        if data.both and kind in data.arrays:
            values = np.where(np.isnan(data.values), np.nan, data.arrays[kind])
            lanes.append(CellLane(KINDS[kind].removeprefix("LLR, "), UNIT, values.T))
    if "probabilities" in data.arrays:
        expected = np.clip(data.arrays["probabilities"], 0.0, 1.0)
        lanes.append(CellLane("expected probability", "", expected.T, quantised=True))
    runs: list[tuple[int, int, str]] = []
    for lane in told:
        if lane.values is not None:
            values = np.broadcast_to(lane.values, (4, n))
            # Levels of a row that is there four times take hardly more room than once.
            positive = not (values < 0).any()
            lanes.append(CellLane(lane.label, lane.unit, values, quantised=positive))
        elif lane.texts is not None:
            lanes.append(CellLane(lane.label, texts=list(lane.texts) * 4))
        else:
            runs += lane.runs
    if data.variant is not None:
        view = View(interval, interval, 1.0)
        place = variant_place(data.variant)
        runs.append((*view.stops(place.start, place.end), f"{variant_name(data.variant)}, marked"))

    readout = drawn.readout
    assert isinstance(readout, Readout)
    panes = []
    maps = [ax for ax in drawn.drawing.axes if ax.get_label() in (name, f"zoom: {name}")]
    for ax, block in zip(maps, readout.panes, strict=True):
        box = ax.get_position()
        panes.append(
            CellPane(
                block.x0, block.x1, 1 - box.y1, 1 - box.y0, ax.get_xlim(), (0, 4),
                (block.x0, block.x1, block.y0, block.y1),
            )
        )  # fmt: skip
    base, column = data.strongest()
    return Cells(
        Places("alternative", list(palette.BASES)),
        Places(
            "position",
            spans=spans[::-1] if interval.strand == "-" else spans,
            chrom=plain(interval.chrom),
            runs=runs,
        ),
        lanes,
        panes,
        start=(0, column, base),
    )
