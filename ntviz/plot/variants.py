"""Maps of variants: every substitution of a locus, and which bases a model's answers depend on.

Both refuse, with an error that says what came, arrays that do not fit their interval or hold what such a result cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.annotation import Annotation
from ntviz.genome import Interval, Variant
from ntviz.plot.attention import EXACT, pooled
from ntviz.plot.letters import logo_track, sequence_track
from ntviz.plot.locus import LocusFigure, extent, locus
from ntviz.plot.theme import BASES, colours, framed
from ntviz.plot.tracks import Panel, Track, View, checked, genes_track, signal_track
from ntviz.plot.words import escaped, listing, number, plain, sentence

LONGEST_SATURATION, LONGEST_DEPENDENCY = 20_000, 1_500
SPELLED_CELLS = 64  # bases a side of a map of dependencies that have letters
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def saturation(
    result: Any, *, control: Any = None, control_label: str = "randomly initialised model", annotation: Annotation | None = None,
    tracks: Sequence[Track] = (), variant: Variant | str | None = None, title: str | None = None, assembly: str | None = None,
    zoom: Interval | None = None,
) -> LocusFigure:  # fmt: skip
    """A figure of every single-base substitution of a locus of at most 20,000 bp: a row for each alternative base.

    From top to bottom: genes, the sequence, the map, its mean over the substitutions of a base with that of the control in grey,
    the bases that the model expects as a logo, and further tracks.

    Parameters
    ----------
    result, control, control_label
        Of `variants.saturation`: `interval`, `sequence`, and [base, 4] in order A, C, G, T, in reading direction: `llr` in nats (0 at
        the reference base, NaN without a score), `probabilities`, perhaps `llr_fwd`, `llr_rev`; the same by a control; what that is.
    annotation, tracks, variant
        Whose genes stand on top; more tracks below; a small variant to mark, or its text, 1-based on the forward strand.
    """
    strands = [np.asarray(getattr(result, name, None), dtype=float) for name in ("llr_fwd", "llr_rev")]
    strands = strands if all(np.isfinite(strand).any() for strand in strands) else []
    values, reference = _read(result, "result", square=False)
    null = None if control is None else _mean(_read(control, "control", square=False)[0])
    marked = None if variant is None else _marked(variant, result)
    rows = [] if annotation is None else [genes_track(annotation)]
    # The hover tells the substitutions of each base, with their values and those of each strand.
    texts, form = [], "{}>{} {} nats" + " ({} forward, {} reverse)" * bool(strands)
    for base, letter in enumerate(result.sequence):
        columns, grids = np.flatnonzero(np.isfinite(values[base])), [values, *strands]
        lines = [form.format(letter, BASES[column], *(number(grid[base, column]) for grid in grids)) for column in columns]  # fmt: skip
        texts.append("<br>".join(lines) or f"{letter}: no score")
    rows += [sequence_track(result.sequence, texts=texts),
        _map_track(result, values, reference, marked, ", mean of both strands" * bool(strands)),
        signal_track(_mean(values), label="Mean over the substitutions", unit="nats", diverging=True, control=null,
                     control_label=control_label, height=64), logo_track(result.probabilities), *tracks]  # fmt: skip
    marks = {f"{plain(marked.ref, most=12)}>{plain(marked.alt, most=12)}": marked.interval} if marked else None
    model = plain(getattr(result, "model", None) or "")
    title = title or "Every single-base substitution" + f", scored by {model}" * bool(model)
    return locus(result.interval, rows, title=title, assembly=assembly, zoom=zoom, marks=marks)


def _read(result: Any, what: str, *, square: bool) -> tuple[np.ndarray, np.ndarray]:
    """[base, 4] substitutions or [base, base] dependencies, NaN where they are hidden: at the reference base or within a token."""
    names, longest = (["values", "same_token"], LONGEST_DEPENDENCY) if square else (["llr"], LONGEST_SATURATION)
    needed = ["interval", "sequence", *names]
    if lacking := ", ".join(name for name in needed if not hasattr(result, name)):
        raise TypeError(f"The {what} must have {', '.join(needed)}; received {type(result).__name__} without {lacking}.")  # fmt: skip
    n, sequence = len(result.interval), np.array(list(result.sequence))
    if not n == len(sequence) <= longest:
        raise ValueError(f"A map must be of at most {longest:,} bp, with a letter of the sequence for each; received {n:,} bp and "
                         f"{len(sequence):,} letters in the {what}. Draw a part, with its sequence.")  # fmt: skip
    arrays = dict[str, np.ndarray]()
    for name in names:
        arrays |= checked(getattr(result, name), f"{name} of the {what}", (n, n if square else 4))
    values, *same = arrays.values()
    if square:
        hidden, rule = same[0] == 1, "Dependencies must be at least 0, or NaN"
        wrong = ~hidden & (values < 0)
    else:
        hidden, rule = sequence[:, None] == list(BASES), "llr must be 0 at the reference base, and NaN without a score"
        wrong = hidden & (np.abs(np.nan_to_num(values)) > 1e-4)
    for row, column in np.argwhere(wrong)[:1]:
        first = f"{values[row, column]:.4g} at row {row}, column {column} ({wrong.sum():,} such)"
        raise ValueError(f"{rule}; received {first}. Check order, strand and sign.")
    return np.where(hidden, np.nan, values), hidden


def _mean(values: np.ndarray) -> np.ndarray:
    return np.ma.masked_invalid(values).mean(axis=1).filled(np.nan)


def _edge(sizes: np.ndarray, percentile: float) -> float:
    """The value of the strongest colour: a percentile, lest one strong effect turn all others pale."""
    return float(np.percentile(sizes, percentile, method="higher") if sizes.size else 0) or sizes.max(initial=0) or 1.0


def _marked(given: Variant | str, result: Any) -> Variant:
    variant, place = Variant.from_str(given) if isinstance(given, str) else given, result.interval
    forward = result.sequence.translate(_COMPLEMENT)[::-1] if place.strand == "-" else result.sequence
    inside, start = place.contains(variant.interval), variant.start - place.start
    if not inside or forward[start : start + len(variant.ref)] != variant.ref:
        has = f"where {forward[start : start + len(variant.ref)]} is" if inside else "which lies elsewhere"
        raise ValueError(f"The variant must have its reference bases in {place.label()}; received {variant}, {has}.")
    return variant


def _map_track(result: Any, values: np.ndarray, reference: np.ndarray, marked: Variant | None, how: str) -> Track:
    label, interval, known = "LLR of each substitution", result.interval, values[np.isfinite(values)]
    edge, at, row, said = _edge(np.abs(known), 99), View(interval, interval, (0, 0)).positions, -1, "no scores here"
    if marked is not None and marked.is_snv:
        row = BASES.index(marked.alt.translate(_COMPLEMENT) if interval.strand == "-" else marked.alt)

    def draw(panel: Panel) -> str:
        view, c, grids = panel.view, colours(), (values, np.where(reference, 1, np.nan))
        # A heat map runs along the axis, whichever way that is drawn.
        along = -1 if view.reverse else 1
        scores, dashes = (view.crop(grid, None, label)[::along].T.astype(np.float32) for grid in grids)
        bar = {"len": 84, "lenmode": "pixels", "y": np.mean(panel.figure.layout[f"yaxis{panel.row}"].domain or (0, 1)), "x": 1.005,
               "thickness": 8, "ticks": "", "tickvals": [-edge, 0, edge], "ticktext": [number(-edge), "0", number(edge)],
               "tickfont": {"size": 10}}  # fmt: skip
        cells = {"x0": view.interval.start + 1, "dx": 1, "y": list(BASES)}
        # The cells answer a click alone: what the pointer reads in every row stands in that of the bases.
        panel.add(
            go.Heatmap(z=scores, zmin=-edge, zmax=edge, colorscale=c.signs, name=label, hoverinfo="none",
                       showscale=panel.block == 1, colorbar=bar, **cells),
            go.Heatmap(z=dashes, colorscale=[c.control, c.control], ygap=14, showscale=False, hoverinfo="skip", **cells))  # fmt: skip
        panel.yaxis(showticklabels=True, ticks="", type="category", categoryarray=list(BASES), range=[3.5, -0.5])
        if marked is not None and row >= 0 and view.interval.contains(marked.interval):
            panel.figure.add_shape(type="rect", x0=marked.pos - 0.5, x1=marked.pos + 0.5, y0=row - 0.5, y1=row + 0.5,
                                   line={"color": c.ink}, xref=f"x{panel.block}", yref=f"y{panel.row}")  # fmt: skip
        return said

    if known.size:
        ends = [divmod(int(index), 4) for index in (np.nanargmin(values), np.nanargmax(values))]
        lowest, highest = (f"{number(values[i, j])} nats ({result.sequence[i]}>{BASES[j]} at {at[i]:,.0f})" for i, j in ends)  # fmt: skip
        said = f"{known.size:,} substitutions, lowest {lowest}, highest {highest}, {(known < 0).mean():.0%} below 0"
        missing, beyond = (np.isnan(values) & ~reference).sum(), (np.abs(known) > edge).sum()
        said += f", {missing:,} without a score" * bool(missing)
        if marked is not None and row >= 0:
            own = values[at == marked.pos, row][0]
            rank = f"{number(own)} nats, lower than {(known > own).mean():.0%} of all" if np.isfinite(own) else "no score"  # fmt: skip
            said += f"; {marked.ref}>{marked.alt} at {marked.pos:,}: {rank}"
        said += f"; {beyond:,} beyond the strongest colour, {number(edge)} nats" * bool(beyond)
    note = f"in nats{how}; grey dash: the reference base; blue: less likely than it, orange: more likely"
    peak = at[np.nanargmax(np.abs(values)) // 4] if known.size else np.nan
    return Track(label, 76, draw, "alternative", letters=True, note=note, strongest=lambda _: peak)


def dependency(
    result: Any, *, null: Any = None, null_label: str = "randomly initialised model", title: str | None = None,
    assembly: str | None = None,
) -> go.Figure:  # fmt: skip
    """A square map of what a model's answers depend on, of at most 1,500 bp: a row a base substituted, a column a base read.

    Rows run from top to bottom and columns from left to right in the reading direction of the interval's strand.

    The result is of `variants.dependency`: `interval`, `sequence`, [substituted, read] `values` in log2 odds ratios, at least 0, NaN
    where there is none, and `same_token`. A `null` of a control stands beside on the same colours; the two zoom together.
    """
    results = {"result": result} if null is None else {"result": result, "null": null}
    maps, hidden = zip(*(_read(part, what, square=True) for what, part in results.items()), strict=True)
    known, place, n, size = [values[np.isfinite(values)] for values in maps], result.interval, len(maps), len(maps[0])
    if null is not None and null.interval != place:
        raise ValueError(f"The null must be of the bases {place.label()}, as the result; received {null.interval.label()}.")  # fmt: skip
    edge, c, few, step = _edge(np.concatenate(known), 99.9), colours(), size <= SPELLED_CELLS, -(-size // EXACT)
    at, along = np.arange(place.start, place.end) + 1, slice(None, None, -1 if place.strand == "-" else 1)
    model = plain(getattr(result, "model", None) or "")
    names = [escaped(name) for name in (model or "Model", f"Control: {null_label}")][:n]
    fig = make_subplots(1, n, subplot_titles=[f"<b>{name}</b>" for name in names], horizontal_spacing=0.04)
    hover = "%{text}" if few else "%{y:,} substituted, %{x:,} read" + f", largest of {step} by {step} bases" * (step > 1)  # fmt: skip
    for i, (part, values) in enumerate(zip(results.values(), maps, strict=True)):
        letters, start = part.sequence[along], at[0] + (step - 1) / 2
        bases = [f"{base}{position:,}" for base, position in zip(letters, at, strict=True)]
        fig.add_heatmap(
            z=pooled(values[along, along], step).astype(np.float32), x0=start, dx=step, y0=start, dy=step, zmin=0, zmax=edge, name=names[i],
            text=[[f"{row} substituted, {column} read" for column in bases] for row in bases] if few else None, showscale=i == 0,
            hovertemplate=f"{hover}<br>%{{z:.3g}} log2 odds ratio<extra></extra>", row=1, col=i + 1, hoverongaps=False,
            colorbar={"title": {"text": "log2<br>odds ratio", "side": "top"}, "x": 1.01})  # fmt: skip
        spelled = few and size * n <= SPELLED_CELLS  # else letters would meet
        ticks = {"tickvals": at, "ticktext": list(letters), "tickfont": {"size": 9}, "tickangle": 0} if spelled else {}
        fig.update_xaxes(matches="x" if i else None, col=i + 1, **ticks)
        fig.update_yaxes(matches="y" if i else None, showticklabels=not i, col=i + 1, **ticks)
    ends = [at[0] - 0.5, at[-1] + 0.5]
    axis = {"minallowed": ends[0], "maxallowed": ends[1], "tickformat": ",d", "nticks": 6}
    fig.update_xaxes(range=ends[along], title_text=f"base read, 1-based on {escaped(place.chrom)}", **axis)
    fig.update_yaxes(range=ends[::-1][along], **axis).update_yaxes(title_text="base substituted", col=1)
    fig.update_annotations(font={"size": 12})
    title = plain(title or "Which bases depend on each other" + f", by {model}" * bool(model), most=200)
    grey, beyond = int(hidden[0].sum()), sum(int((sizes > edge).sum()) for sizes in known)
    missing = int(np.isnan(maps[0]).sum()) - grey
    note = "; grey: both bases in one token, which the model reads at once" * bool(grey)
    region = extent(place, assembly) + note
    said = [
        f"{sentence(title)} {sentence(region)} Dependencies between {size:,} bases.",
        f"Strongest, as log2 odds ratio: {_strongest(result, maps[0])}.",
        f"In the control ({plain(null_label)}): {_strongest(null, maps[1])}." if n > 1 else "",
        f"{beyond:,} pairs lie beyond the strongest colour, {number(edge)}." * bool(beyond),
        f"Both bases within one token: {grey:,} pairs." * bool(grey),
        f"Without a value: {missing:,} pairs." * bool(missing),
    ]
    return framed(fig, title=title, alt=" ".join(filter(None, said)), height=390 if n > 1 else 600, above=22, below=60,
                  subtitle=region, name=str(replace(place, strand=".")), margin_r=110 if n > 1 else 270, plot_bgcolor=c.faint)  # fmt: skip


def _strongest(result: Any, values: np.ndarray) -> str:
    """The strongest dependencies, each as the base read on the base substituted, and the median."""
    known, places = values[np.isfinite(values)], View(result.interval, result.interval, (0, 0)).positions
    at = [f"{base} at {place:,.0f}" for base, place in zip(result.sequence, places, strict=True)]
    strongest = np.argsort(-values, axis=None, kind="stable")[: min(3, known.size)]  # NaN comes last
    pairs = zip(*np.unravel_index(strongest, values.shape), strict=True)
    said = [f"{at[column]} on {at[row]} ({number(values[row, column])})" for row, column in pairs]
    return f"{listing(said)}, median {number(np.median(known))}" if said else "no values"
