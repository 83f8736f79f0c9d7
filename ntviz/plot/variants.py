"""Maps of variants: every substitution of a locus, and which bases a model's answers depend on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval, Variant, canonical_contig
from ntviz.plot.letters import logo_track, sequence_track
from ntviz.plot.locus import LocusFigure, locus
from ntviz.plot.theme import BASES, colours, framed
from ntviz.plot.tracks import Panel, Track, genes_track, signal_track
from ntviz.plot.transcripts import Annotated
from ntviz.plot.words import escaped, listing, number, plain, sentence

LONGEST_SATURATION, LONGEST_DEPENDENCY = 20_000, 1_500
KINDS = {
    "llr": "LLR", "llr_fwd": "LLR, forward strand", "llr_rev": "LLR, reverse strand", "base_llr": "LLR of the base alone",
}  # fmt: skip
UNIT = "nats"
ODDS = "log2 odds ratio"
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


class Saturated(Protocol):
    """What the figure needs of a saturation; `llr_fwd`, `llr_rev`, `base_llr` and the name `model` are used if there."""

    @property
    def interval(self) -> Interval: ...
    @property
    def sequence(self) -> str: ...
    @property
    def llr(self) -> np.ndarray: ...
    @property
    def probabilities(self) -> np.ndarray: ...


def saturation(
    result: Saturated,
    *,
    control: Saturated | None = None,
    control_label: str = "randomly initialised model",
    annotation: Annotated | None = None,
    tracks: Sequence[Track] = (),
    variant: Variant | str | None = None,
    kind: str = "llr",
    title: str | None = None,
    assembly: str | None = None,
    zoom: Interval | None = None,
    top: float | None = None,
) -> LocusFigure:
    """A figure of every single-base substitution of a locus: rows are the alternative bases, columns the positions.

    From top to bottom: genes, the sequence, the map, its mean over the substitutions of a base with that of the control in
    grey, the bases that the model expects as a logo, and further tracks.

    Parameters
    ----------
    result
        Of `variants.saturation`: `interval`, `sequence`, and [base, 4] in the order A, C, G, T, in the reading
        direction of the interval: `llr`, `llr_fwd`, `llr_rev` in nats (0 at the reference base, NaN where there is no
        score) and `probabilities`.
    control, control_label
        The same over the same interval by a control, and what that is.
    annotation
        Whose genes are drawn on top.
    tracks
        More tracks below, as `locus` takes them.
    variant
        A substitution or another small variant to mark, on the forward strand with a 1-based position: a `Variant` or
        its text.
    kind
        Array to draw: "llr" (as the result averaged it), "llr_fwd" or "llr_rev" (one strand), or "base_llr" (summed over the
        other bases of the token).
    title
        Says what the figure shows; names the model when None.
    assembly
        Name of the genome assembly, written on the axis.
    zoom
        A part of the interval drawn once more below, enlarged.
    top
        LLR in nats, without sign, of the strongest colours. When None, the 99th percentile of the sizes: one very
        strong effect would turn all others pale.

    Raises
    ------
    TypeError
        If the result lacks an array.
    ValueError
        If shapes disagree, values are infinite or not 0 at the reference base, the kind is unknown, the variant lies
        elsewhere or has another reference base, or the interval is longer than 20,000 bp.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> llr = np.array([[0, -1, -2, -3], [-0.5, 0, 0.25, np.nan]])
    >>> toy = SimpleNamespace(interval=Interval("chr20", 100, 102), sequence="AC", llr=llr, model="toy",
    ...     probabilities=np.full((2, 4), 0.25))
    >>> saturation(toy).layout.meta["alt"].split("LLR of each substitution: ")[1].split(", 80%")[0]
    '5 substitutions, lowest −3 nats (A>T at 101), highest 0.25 nats (C>G at 102)'
    """
    values = _substitutions(result, kind)
    marked = None if variant is None else _marked(variant, result.interval, result.sequence)
    null = None
    if control is not None:
        null = _mean(_substitutions(control, kind))
        if len(null) != len(values):
            raise ValueError(f"The control must have as many bases as the result, {len(values):,}; received {len(null):,}. Score the same interval.")
    model = plain(getattr(result, "model", "") or "")
    genes = [] if annotation is None else [genes_track(annotation)]
    mean = signal_track(_mean(values), label="Mean over the substitutions", unit=UNIT, diverging=True, control=null, control_label=control_label, height=64)
    return locus(
        result.interval,
        [*genes, sequence_track(result.sequence), _map_track(result, values, kind, top, marked), mean, logo_track(result.probabilities), *tracks],
        title=title or "Every single-base substitution" + (f", scored by {model}" if model else ""),
        assembly=assembly, sequence=result.sequence, zoom=zoom, marks=None if marked is None else {_name(marked): _reference_bases(marked)},
    )  # fmt: skip


def _map_track(result: Saturated, values: np.ndarray, kind: str, top: float | None, marked: Variant | None) -> Track:
    """The map as a track: a row for each alternative base."""
    if top is not None and not (np.isfinite(top) and top > 0):
        raise ValueError(f"The LLR of the strongest colours must be above 0; received top={top}. Leave it out for the data's own.")
    sizes = np.abs(values[np.isfinite(values)])
    edge = top or (float(np.percentile(sizes, 99, method="higher")) if sizes.size else 0.0) or 1.0
    both = kind in ("llr", "base_llr") and all(np.isfinite(getattr(result, name, np.nan)).any() for name in ("llr_fwd", "llr_rev"))
    label = f"{KINDS[kind]} of each substitution"

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        shown, letters = view.crop(values, result.interval, label), list(view.crop(_codes(result.sequence), result.interval, label).astype(int))
        rise = slice(None, None, -1 if view.reverse else 1)
        extra = {}
        if both:
            strands = [view.crop(np.asarray(getattr(result, name), float), result.interval, label)[rise].T for name in ("llr_fwd", "llr_rev")]
            extra = {"customdata": np.stack(strands, axis=-1).astype(np.float32)}
        told = [[f"{(BASES + 'N')[code]}>{base}" for code in letters[rise]] for base in BASES]
        strand = "<br>%{customdata[0]:.3g} forward, %{customdata[1]:.3g} reverse strand" if both else ""
        panel.add(go.Heatmap(z=shown[rise].T.astype(np.float32), x0=view.interval.start + 1, dx=1, y=list(BASES), zmin=-edge, zmax=edge, colorscale=c.diverging(),
                             showscale=False, text=told, name=escaped(label), hoverongaps=False,
                             hovertemplate=f"%{{text}}: %{{z:.3g}} {UNIT}{strand}<extra></extra>", **extra))  # fmt: skip
        # The reference bases stand as dots where cells have room, for "no change" is no missing value.
        codes = np.array(letters)
        known = (codes >= 0) & (codes < 4) & view.in_part
        panel.add(go.Scatter(x=view.positions[known], y=[BASES[code] for code in codes[known]], mode="markers", hoverinfo="skip", meta="letters", marker={"symbol": "circle", "size": 4, "color": c.control}))
        panel.yaxis(type="category", categoryarray=list(BASES), autorange=False, range=[3.5, -0.5], showticklabels=True, tickfont={"size": 10}, title_text="alternative")
        beyond = int((sizes > edge).sum())
        return _said(result, values, marked) + (f"; colours end at {number(edge)} {UNIT}, {beyond:,} lie beyond" if beyond else "")

    note = f"{'mean of both strands; ' if both else ''}blue: less likely than the reference base, orange: more likely; strongest colour {number(edge)} {UNIT}"
    return Track(label, 76, draw, "alternative", letters=True, note=note)


def _codes(sequence: str) -> np.ndarray:
    return np.array([(BASES + "N").find(base) for base in sequence], dtype=float)


def _mean(values: np.ndarray) -> np.ndarray:
    """[base] mean over the substitutions that have a score; NaN without any."""
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def _said(result: Saturated, values: np.ndarray, marked: Variant | None) -> str:
    interval, flat = result.interval, values[np.isfinite(values)]
    if not flat.size:
        return "no scores here"
    reverse = interval.strand == "-"

    def told(index: int) -> str:
        base, column = divmod(index, 4)
        position = interval.end - base if reverse else interval.start + base + 1
        return f"{number(float(values[base, column]))} {UNIT} ({result.sequence[base]}>{BASES[column]} at {position:,})"

    said = f"{flat.size:,} substitution{'s' * (flat.size != 1)}, lowest {told(int(np.nanargmin(values)))}, highest {told(int(np.nanargmax(values)))}, {(flat < 0).mean():.0%} below 0"
    missing = int((np.isnan(values).sum(axis=1) - (_codes(result.sequence) < 4)).sum())
    said += f", {missing:,} without a score" if missing else ""
    if marked is not None and marked.is_snv:
        base = interval.end - 1 - marked.start if reverse else marked.start - interval.start
        own = float(values[base, BASES.find(marked.alt.translate(_COMPLEMENT) if reverse else marked.alt)])
        said += f"; {_name(marked)}: " + (f"{number(own)} {UNIT}, lower than {(flat > own).mean():.0%} of all" if np.isfinite(own) else "no score")
    return said


def _name(variant: Variant) -> str:
    return f"{plain(variant.ref, most=12)}>{plain(variant.alt, most=12)} at {variant.pos:,}"


def _reference_bases(variant: Variant) -> Interval:
    return Interval(variant.chrom, variant.start, variant.start + len(variant.ref))


def _substitutions(result: Saturated, kind: str) -> np.ndarray:
    """[base, 4] values of a result, NaN at the reference base; or an error that says what does not fit."""
    if kind not in KINDS:
        raise ValueError(f"The kind must be one of {', '.join(KINDS)}; received {kind!r}. Use 'llr' for the mean of both strands.")
    lacking = [name for name in ("interval", "sequence", "llr", "probabilities", kind) if not hasattr(result, name)]
    if lacking:
        raise TypeError(
            f"A saturation must have interval, sequence, llr and probabilities; received {type(result).__name__} without {', '.join(lacking)}. "
            "Pass what variants.saturation returns."
        )
    interval, n = result.interval, len(result.interval)
    if n > LONGEST_SATURATION:
        raise ValueError(f"A saturation must be at most {LONGEST_SATURATION:,} bp to be drawn; received {n:,} bp ({interval.label()}). Draw a part of it.")
    values = np.array(getattr(result, kind), dtype=float)
    if values.shape != (n, 4) or len(result.sequence) != n:
        raise ValueError(
            f"{kind} must have the shape [base, 4] of {interval.label()}, {[n, 4]}, in the order A, C, G, T, and the sequence {n:,} letters; received "
            f"{list(values.shape)} and {len(result.sequence):,}. Pass one row for each base of the interval."
        )
    if np.isinf(values).any():
        base, column = (int(i) for i in np.argwhere(np.isinf(values))[0])
        raise ValueError(
            f"{kind} must be finite, with NaN where there is no score; received {values[base, column]} at base {base}, {BASES[column]} "
            f"({int(np.isinf(values).sum()):,} such). Clip them first."
        )
    codes = _codes(result.sequence).astype(int)
    known = np.flatnonzero((codes >= 0) & (codes < 4))
    there = values[known, codes[known]]
    wrong = np.flatnonzero(np.abs(np.nan_to_num(there)) > 1e-4)
    if wrong.size:
        base = int(known[wrong[0]])
        raise ValueError(
            f"{kind} must be 0 at the reference base; received {there[wrong[0]]:.4g} for {result.sequence[base]} at base {base} ({wrong.size:,} such). "
            "Check that sequence and values have the same strand and order."
        )
    values[known, codes[known]] = np.nan
    return values


def _marked(given: Variant | str, interval: Interval, sequence: str) -> Variant:
    variant = Variant.from_str(given) if isinstance(given, str) else given
    place = _reference_bases(variant)
    if canonical_contig(variant.chrom) != canonical_contig(interval.chrom) or place.start < interval.start or place.end > interval.end:
        raise ValueError(f"The variant to mark must lie in {interval.label()}; received {variant}. Mark one of the window, or draw the window around it.")
    reverse = interval.strand == "-"
    first = interval.end - place.end if reverse else place.start - interval.start
    there = sequence[first : first + len(place)]
    there = there.translate(_COMPLEMENT)[::-1] if reverse else there
    if there != variant.ref:
        raise ValueError(f"The variant to mark must have the reference bases of the window; received {variant}, where {there} is. Check its assembly and its strand.")
    return variant


# Dependencies ---------------------------------------------------------------------------------------------------------


class Dependent(Protocol):
    """What the figure needs of a dependency map: `variants.dependency` gives it."""

    @property
    def interval(self) -> Interval: ...
    @property
    def sequence(self) -> str: ...
    @property
    def values(self) -> np.ndarray: ...
    @property
    def same_token(self) -> np.ndarray: ...


def dependency(
    result: Dependent,
    *,
    null: Dependent | None = None,
    null_label: str = "randomly initialised model",
    title: str | None = None,
    assembly: str | None = None,
    top: float | None = None,
) -> go.Figure:
    """A square map of what a model's answers depend on: a row for each base substituted, a column for each base read.

    Rows run from top to bottom and columns from left to right in the reading direction of the interval's strand.

    Parameters
    ----------
    result
        Of `variants.dependency`: `interval`, `sequence`, and [substituted, read] `values` in log2 odds ratios, at least
        0, NaN where there is none, and `same_token`.
    null, null_label
        The same over as many bases for a control, beside on the same colours; the two zoom together. What it is.
    title
        Says what the figure shows; names the model when None.
    assembly
        Name of the genome assembly, written on the axes.
    top
        Value of the strongest colour; the 99.9th percentile of all maps when None.

    Raises
    ------
    TypeError
        If the result lacks an array.
    ValueError
        If an array is not [base, base], a value is negative or infinite, the control has another length, the interval is
        longer than 1,500 bp, or `top` is unusable.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> values = np.array([[np.nan, 0.5], [2.0, np.nan]])
    >>> toy = SimpleNamespace(interval=Interval("chr20", 100, 102), sequence="AC", values=values, same_token=np.eye(2))
    >>> dependency(toy).layout.meta["alt"].split("2 bases. ")[1].split(" Median")[0]
    'Strongest, as log2 odds ratio: A at 101 on C at 102 (2) and C at 102 on A at 101 (0.5).'
    """
    results = [result] if null is None else [result, null]
    maps = [_dependencies(each, what) for each, what in zip(results, ("result", "null"), strict=False)]
    if null is not None and len(maps[1]) != len(maps[0]):
        raise ValueError(
            f"The null must have as many bases as the result, {len(maps[0]):,}; received {len(maps[1]):,} ({null.interval.label()}). Compute both over the same interval."
        )
    if top is not None and not (np.isfinite(top) and top > 0):
        raise ValueError(f"The value of the strongest colour must be above 0; received top={top}. Leave it out for the data's own.")
    known = np.concatenate([values[np.isfinite(values)] for values in maps])
    edge = top or (float(np.percentile(known, 99.9, method="higher")) if known.size else 0.0) or float(known.max(initial=0.0)) or 1.0
    c, fig, n = colours(), go.Figure(), len(maps)
    model = plain(getattr(result, "model", "") or "")
    names = [model or "Model", f"Control: {null_label}"]
    for i, (each, values) in enumerate(zip(results, maps, strict=True)):
        ax, interval = "" if i == 0 else "2", each.interval
        reverse = interval.strand == "-"
        rise = slice(None, None, -1 if reverse else 1)
        ends = [interval.start + 0.5, interval.end + 0.5]
        letters = each.sequence[rise]
        few = len(values) <= 64
        text = {"text": [[f"{a}{interval.start + 1 + row:,} substituted, {b}{interval.start + 1 + column:,} read" for column, b in enumerate(letters)] for row, a in enumerate(letters)]} if few else {}
        fig.add_heatmap(z=values[rise, rise].astype(np.float32), x0=interval.start + 1, dx=1, y0=interval.start + 1, dy=1, zmin=0, zmax=edge, colorscale=c.sequential(), showscale=i == 0,
                        name=escaped(names[i]), hoverongaps=False, xaxis=f"x{ax}", yaxis=f"y{ax}", colorbar={"title": {"text": ODDS, "side": "right"}},
                        hovertemplate=("%{text}" if few else "%{y:,} substituted, %{x:,} read") + f"<br>%{{z:.3g}} {ODDS}<extra></extra>", **text)  # fmt: skip
        place = f"1-based on {escaped(interval.chrom)}" + (f" ({escaped(assembly)})" if assembly else "") + (", − strand" if reverse else "")
        spelled = {"tickvals": list(range(interval.start + 1, interval.end + 1)), "ticktext": list(letters), "tickfont": {"size": 9}, "tickangle": 0} if few else {"tickformat": ",d", "nticks": 6}
        low, high = i / n + 0.03 * (i > 0), (i + 1) / n - 0.03 * (n > 1 and i == 0)
        span = f"{interval.start + 1:,} to {interval.end:,}, " if few else ""
        fig.layout[f"xaxis{ax}"] = {"domain": [low, high], "anchor": f"y{ax}", "range": ends[::-1] if reverse else ends, "title": {"text": f"base read, {span}{place}"}, "minallowed": ends[0], "maxallowed": ends[1],
                                    **spelled, **({"matches": "x"} if i and each.interval == result.interval else {})}  # fmt: skip
        fig.layout[f"yaxis{ax}"] = {"anchor": f"x{ax}", "range": ends if reverse else ends[::-1], "title": {"text": "" if i else "base substituted"}, "minallowed": ends[0], "maxallowed": ends[1],
                                    **spelled, **({"matches": "y", "showticklabels": False} if i and each.interval == result.interval else {})}  # fmt: skip
        fig.add_annotation(x=low, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", yshift=4, text=f"<b>{escaped(names[i])}</b>", showarrow=False)
    title = plain(title or "Which bases depend on each other" + (f", by {model}" if model else ""), most=200)
    said = [sentence(title), *_depends(result, maps[0])]
    if null is not None:
        control = maps[1][np.isfinite(maps[1])]
        said.append(f"Control ({plain(null_label)}): " + (f"strongest {_strongest(null, maps[1], 1)}, median {number(float(np.median(control)))}." if control.size else "no values."))
    return framed(fig, title=title, alt=" ".join(said), height=390 if n > 1 else 600, above=22, below=60, subtitle="empty: both bases in one token, which the model reads at once",
                  name=plain(Interval(result.interval.chrom, result.interval.start, result.interval.end).label()).replace(",", ""))  # fmt: skip


def _dependencies(result: Any, what: str) -> np.ndarray:
    """[base, base] values of a result, NaN within a token."""
    names = ("interval", "sequence", "values", "same_token")
    if lacking := [name for name in names if not hasattr(result, name)]:
        raise TypeError(
            f"A dependency map must have {', '.join(names)}; received as {what} {type(result).__name__} without {', '.join(lacking)}. Pass what variants.dependency returns."
        )
    if (n := len(result.interval)) > LONGEST_DEPENDENCY:
        raise ValueError(
            f"A dependency map must be at most {LONGEST_DEPENDENCY:,} bp to be drawn; received {n:,} bp ({result.interval.label()}). Draw a part of it."
        )
    values, same = np.asarray(result.values, dtype=float), np.asarray(result.same_token, dtype=bool)
    for name, shape in (("values", values.shape), ("same_token", same.shape), ("sequence", (len(result.sequence),) * 2)):
        if shape != (n, n):
            raise ValueError(
                f"{name} must fit the {n:,} bases of {result.interval.label()}, {[n, n]} for a map; received {list(shape)} in the {what}. Pass arrays of the same interval."
            )
    values = np.where(same, np.nan, values)
    wrong = np.isinf(values) | (values < 0)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"Dependencies must be finite and at least 0, with NaN where there is none; received {values[row, column]} at row {row}, column {column} of the "
            f"{what} ({int(wrong.sum()):,} such). Pass sizes, not signed changes."
        )
    return values


def _strongest(result: Dependent, values: np.ndarray, most: int) -> str:
    """The strongest dependencies, each as the base read on the base substituted."""
    interval = result.interval

    def at(index: int) -> str:
        position = interval.end - index if interval.strand == "-" else interval.start + index + 1
        return f"{plain(result.sequence[index])} at {position:,}"

    flat = np.nan_to_num(values, nan=-1.0).ravel()
    order = np.argsort(-flat, kind="stable")[:most]
    pairs = [divmod(index, len(values)) for index in order.tolist() if flat[index] >= 0]
    return listing([f"{at(column)} on {at(row)} ({number(float(values[row, column]))})" for row, column in pairs])


def _depends(result: Dependent, values: np.ndarray) -> list[str]:
    n, known = len(values), values[np.isfinite(values)]
    said = [f"Dependencies between {n:,} base{'s' if n != 1 else ''}."]
    if not known.size:
        return [*said, "No values here."]
    same = int(np.asarray(result.same_token, dtype=bool).sum())
    said += [f"Strongest, as {ODDS}: {_strongest(result, values, 3)}.", f"Median {number(float(np.median(known)))}."]
    missing = int(np.isnan(values).sum()) - same
    said += [f"Within one token, where nothing is told: {same:,} pairs."] if same else []
    return said + ([f"Without a value: {missing:,} pairs."] if missing else [])
