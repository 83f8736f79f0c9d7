"""Maps of variants: every substitution of a locus, and which bases a model's answers depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval, Variant, canonical_contig
from ntviz.plot.letters import LETTERS, logo_track, sequence_track
from ntviz.plot.locus import LocusFigure, locus
from ntviz.plot.theme import BASES, colours, framed
from ntviz.plot.tracks import Panel, Track, genes_track, signal_track
from ntviz.plot.transcripts import Annotated
from ntviz.plot.words import escaped, listing, number, plain, sentence

LONGEST_SATURATION, LONGEST_DEPENDENCY = 20_000, 1_500
KINDS = {"llr": "LLR", "llr_fwd": "LLR, forward strand", "llr_rev": "LLR, reverse strand", "base_llr": "LLR of the base alone"}
UNIT, ODDS = "nats", "log2 odds ratio"
MOST_CELLS, SPELLED_CELLS = 512, 64
"""Bases a side of a map of dependencies: beyond the first it is pooled, up to the second it has letters."""
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def saturation(
    result: Any,
    *,
    control: Any = None,
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
    null = None if control is None else _mean(_substitutions(control, kind))
    if null is not None and len(null) != len(values):
        raise ValueError(f"The control must have as many bases as the result, {len(values):,}; received {len(null):,}. Score the same interval.")
    marked = None if variant is None else _marked(variant, result.interval, result.sequence)
    model = plain(getattr(result, "model", "") or "")
    mean = signal_track(_mean(values), label="Mean over the substitutions", unit=UNIT, diverging=True, control=null, control_label=control_label, height=64)
    rows = [_bases_track(result, values, kind), _map_track(result, values, kind, top, marked), mean, logo_track(result.probabilities), *tracks]
    return locus(
        result.interval, rows if annotation is None else [genes_track(annotation), *rows],
        title=title or "Every single-base substitution" + (f", scored by {model}" if model else ""), assembly=assembly, sequence=result.sequence,
        zoom=zoom, marks=None if marked is None else {f"{plain(marked.ref, most=12)}>{plain(marked.alt, most=12)}": marked.interval},
    )  # fmt: skip


def _map_track(result: Any, values: np.ndarray, kind: str, top: float | None, marked: Variant | None) -> Track:
    """The map as a track: a row for each alternative base."""
    label, interval, sizes = f"{KINDS[kind]} of each substitution", result.interval, np.abs(values[np.isfinite(values)])
    edge = _top(top, sizes, 99)

    def draw(panel: Panel) -> str:
        view, c, ax = panel.view, colours(), "" if panel.row == 1 else str(panel.row)
        codes = view.crop(_codes(result.sequence), interval, label).astype(int)
        shown = view.crop(values, interval, label)
        rise = slice(None, None, -1 if view.reverse else 1)
        cells = {"x0": view.interval.start + 1, "dx": 1, "y": list(BASES)}
        bar = {"len": 84, "lenmode": "pixels", "y": np.mean(panel.figure.layout[f"yaxis{ax}"].domain or (0, 1)), "x": 1.005, "thickness": 8, "ticks": "",
               "tickvals": [-edge, 0, edge], "ticktext": [number(at) for at in (-edge, 0, edge)], "tickfont": {"size": 10}}  # fmt: skip
        # The cells answer a click alone: what the pointer reads in every row stands in that of the bases.
        panel.add(go.Heatmap(z=shown[rise].T.astype(np.float32), zmin=-edge, zmax=edge, colorscale=c.diverging(), name=label, hoverinfo="none",
                             showscale=panel.block == 1, colorbar=bar, **cells))  # fmt: skip
        panel.add(go.Heatmap(z=np.where(np.arange(4)[:, None] == codes[rise], 1, np.nan).astype(np.float32), colorscale=[[0, c.control], [1, c.control]],
                             ygap=14, showscale=False, hoverinfo="skip", **cells))  # fmt: skip
        panel.yaxis(type="category", categoryarray=list(BASES), autorange=False, range=[3.5, -0.5], showticklabels=True, tickfont={"size": 10}, ticks="")
        if marked is not None and marked.is_snv and view.interval.contains(marked.interval):
            row, block = _cell(marked, interval)[1], "" if panel.block == 1 else str(panel.block)
            panel.figure.add_shape(type="rect", xref=f"x{block}", yref=f"y{ax}", x0=marked.pos - 0.5, x1=marked.pos + 0.5, y0=row - 0.5, y1=row + 0.5,
                                   line={"color": c.ink, "width": 2})  # fmt: skip
        beyond = int((sizes > edge).sum())
        return _substituted(result, values, marked) + (f"; {beyond:,} beyond the strongest colour, {number(edge)} {UNIT}" if beyond else "")

    note = f"in {UNIT}{', mean of both strands' * bool(_strands(result, kind))}; grey dash: the reference base; blue: less likely than it, orange: more likely"
    return Track(label, 76, draw, "alternative", letters=True, note=note)


def _bases_track(result: Any, values: np.ndarray, kind: str) -> Track:
    """The sequence, whose hover tells the substitutions of each base, with their values and those of each strand."""
    bases, strands = sequence_track(result.sequence), _strands(result, kind)

    def changes(base: int) -> str:
        lines = []
        for column in np.flatnonzero(np.isfinite(values[base])):
            both = [f"{number(float(strand[base, column]))} {name}" for name, strand in strands.items()]
            lines.append(f"{result.sequence[base]}>{BASES[column]} {number(float(values[base, column]))} {UNIT}" + (f" ({', '.join(both)})" if both else ""))
        return "<br>".join(lines) or f"{result.sequence[base]}: no score"

    def draw(panel: Panel) -> str:
        shown = panel.view.crop(np.arange(len(values), dtype=float), result.interval, bases.label).astype(int)
        said = bases.draw(panel)
        panel.add(go.Scatter(x=panel.view.positions, y=np.zeros(len(shown), np.int8), text=list(map(changes, shown)), mode="lines",
                             line={"width": 0}, hovertemplate="%{text}<extra></extra>"))  # fmt: skip
        return said

    return replace(bases, draw=draw)


def _strands(result: Any, kind: str) -> dict[str, np.ndarray]:
    """[base, 4] of each strand, of a mean of both."""
    given = {name: np.asarray(getattr(result, key, None), dtype=float) for name, key in (("forward", "llr_fwd"), ("reverse", "llr_rev"))}
    return given if kind == "llr" and all(part.shape == (len(result.interval), 4) and np.isfinite(part).any() for part in given.values()) else {}


def _codes(sequence: str) -> np.ndarray:
    return np.array([LETTERS.find(base) for base in sequence], dtype=float)


def _mean(values: np.ndarray) -> np.ndarray:
    """[base] mean over the substitutions that have a score; NaN without any."""
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def _top(given: float | None, sizes: np.ndarray, percentile: float) -> float:
    """The value of the strongest colour: as given, or a percentile of the sizes that are there."""
    if given is not None and not (np.isfinite(given) and given > 0):
        raise ValueError(f"The value of the strongest colour must be above 0; received top={given}. Leave it out for the data's own.")
    return given or float(np.percentile(sizes, percentile, method="higher") if sizes.size else 0) or float(sizes.max(initial=0)) or 1.0


def _cell(variant: Variant, interval: Interval) -> tuple[int, int]:
    """Base and column of a substitution, in the reading direction of the interval."""
    if interval.strand == "-":
        return interval.end - 1 - variant.start, BASES.find(variant.alt.translate(_COMPLEMENT))
    return variant.start - interval.start, BASES.find(variant.alt)


def _at(result: Any, base: int) -> int:
    """1-based position of a base of a result."""
    return result.interval.end - base if result.interval.strand == "-" else result.interval.start + base + 1


def _substituted(result: Any, values: np.ndarray, marked: Variant | None) -> str:
    flat = values[np.isfinite(values)]
    if not flat.size:
        return "no scores here"

    def words(index: int) -> str:
        base, column = divmod(index, 4)
        return f"{number(float(values[base, column]))} {UNIT} ({result.sequence[base]}>{BASES[column]} at {_at(result, base):,})"

    said = f"{flat.size:,} substitution{'s' * (flat.size != 1)}, lowest {words(int(np.nanargmin(values)))}, highest {words(int(np.nanargmax(values)))}, {(flat < 0).mean():.0%} below 0"
    missing = int((np.isnan(values).sum(axis=1) - (_codes(result.sequence) < 4)).sum())
    said += f", {missing:,} without a score" if missing else ""
    if marked is not None and marked.is_snv:
        own = float(values[_cell(marked, result.interval)])
        said += f"; {marked.ref}>{marked.alt} at {marked.pos:,}: " + (f"{number(own)} {UNIT}, lower than {(flat > own).mean():.0%} of all" if np.isfinite(own) else "no score")
    return said


def _substitutions(result: Any, kind: str) -> np.ndarray:
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
    place = variant.interval
    if canonical_contig(variant.chrom) != canonical_contig(interval.chrom) or place.start < interval.start or place.end > interval.end:
        raise ValueError(f"The variant to mark must lie in {interval.label()}; received {variant}. Mark one of the window, or draw the window around it.")
    reverse = interval.strand == "-"
    first = interval.end - place.end if reverse else place.start - interval.start
    there = sequence[first : first + len(place)]
    there = there.translate(_COMPLEMENT)[::-1] if reverse else there
    if there != variant.ref:
        raise ValueError(f"The variant to mark must have the reference bases of the window; received {variant}, where {there} is. Check its assembly and its strand.")
    return variant


def dependency(
    result: Any,
    *,
    null: Any = None,
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
        raise ValueError(f"The null must have as many bases as the result, {len(maps[0]):,}; received {len(maps[1]):,} ({null.interval.label()}). Compute both over the same interval.")
    known = np.concatenate([values[np.isfinite(values)] for values in maps])
    edge, c, fig, n, size = _top(top, known, 99.9), colours(), go.Figure(), len(maps), len(maps[0])
    model, interval, few, step = plain(getattr(result, "model", "") or ""), result.interval, size <= SPELLED_CELLS, -(-size // MOST_CELLS)
    region = " · ".join([plain(Interval(interval.chrom, interval.start, interval.end).label()), f"{size:,} bp", *([plain(assembly)] if assembly else []), *(["− strand"] if interval.strand == "-" else [])])
    names = [model or "Model", f"Control: {null_label}"]
    for i, (each, values) in enumerate(zip(results, maps, strict=True)):
        k, at = "" if i == 0 else "2", each.interval
        reverse, first, linked = at.strand == "-", at.start + 1, i > 0 and at == interval
        rise = slice(None, None, -1 if reverse else 1)
        letters, blocks = each.sequence[rise], np.arange(0, size, step)
        cells = np.fmax.reduceat(np.fmax.reduceat(values[rise, rise], blocks, axis=0), blocks, axis=1).astype(np.float32)
        texts = [[f"{a}{first + row:,} substituted, {b}{first + column:,} read" for column, b in enumerate(letters)] for row, a in enumerate(letters)] if few else None
        place, hover = first + (step - 1) / 2, "%{text}" if few else "%{y:,} substituted, %{x:,} read" + (f", largest of {step} by {step} bases" if step > 1 else "")
        low, high = [(0.0, 0.73), (0.0, 0.48), (0.52, 1.0)][i + (n > 1)]
        fig.add_heatmap(z=cells, x0=place, dx=step, y0=place, dy=step, text=texts, zmin=0, zmax=edge, colorscale=c.sequential(), name=escaped(names[i]), hoverongaps=False,
                        showscale=i == 0, colorbar={"title": {"text": "log2<br>odds ratio", "side": "top"}, "x": 1.01 if n > 1 else high + 0.01}, xaxis=f"x{k}", yaxis=f"y{k}",
                        hovertemplate=f"{hover}<br>%{{z:.3g}} {ODDS}<extra></extra>")  # fmt: skip
        ticks = {"tickvals": list(range(first, at.end + 1)), "ticktext": list(letters), "tickfont": {"size": 9}, "tickangle": 0} if few else {"tickformat": ",d", "nticks": 6}
        ends = [first - 0.5, at.end + 0.5]
        axis = {"minallowed": ends[0], "maxallowed": ends[1], **ticks}
        fig.layout[f"xaxis{k}"] = axis | {"domain": [low, high], "anchor": f"y{k}", "range": ends[::rise.step], "matches": "x" if linked else None,
                                          "title": {"text": f"base read, 1-based on {escaped(at.chrom)}"}}  # fmt: skip
        fig.layout[f"yaxis{k}"] = axis | {"anchor": f"x{k}", "range": ends[::-1][::rise.step], "matches": "y" if linked else None, "showticklabels": not linked,
                                          "title": {"text": "" if i else "base substituted"}}  # fmt: skip
        fig.add_annotation(x=low, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", yshift=4, text=f"<b>{escaped(names[i])}</b>", showarrow=False)
    title = plain(title or "Which bases depend on each other" + (f", by {model}" if model else ""), most=200)
    said = [sentence(title), sentence(region), *_depends(result, maps[0])]
    if (beyond := int((known > edge).sum())):
        said.append(f"{beyond:,} pairs lie beyond the strongest colour, {number(edge)}.")
    if null is not None:
        control = maps[1][np.isfinite(maps[1])]
        said.append(f"Control ({plain(null_label)}): " + (f"strongest {_strongest(null, maps[1], 1)}, median {number(float(np.median(control)))}." if control.size else "no values."))
    grey = any(np.asarray(each.same_token).any() for each in results)
    return framed(fig, title=title, alt=" ".join(said), height=390 if n > 1 else 600, above=22, below=60, plot_bgcolor=c.faint,
                  subtitle=region + "; grey: both bases in one token, which the model reads at once" * grey, name=region.split(" ")[0].replace(",", ""))  # fmt: skip


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


def _strongest(result: Any, values: np.ndarray, most: int) -> str:
    """The strongest dependencies, each as the base read on the base substituted."""
    flat = np.nan_to_num(values, nan=-1.0).ravel()
    pairs = [divmod(int(index), len(values)) for index in np.argsort(-flat, kind="stable")[:most] if flat[index] >= 0]
    at = [f"{base} at {_at(result, i):,}" for i, base in enumerate(plain(result.sequence, most=LONGEST_DEPENDENCY))]
    return listing([f"{at[column]} on {at[row]} ({number(float(values[row, column]))})" for row, column in pairs])


def _depends(result: Any, values: np.ndarray) -> list[str]:
    n, known = len(values), values[np.isfinite(values)]
    said = [f"Dependencies between {n:,} base{'s' * (n != 1)}."]
    if not known.size:
        return [*said, "No values here."]
    same = int(np.asarray(result.same_token, dtype=bool).sum())
    said += [f"Strongest, as {ODDS}: {_strongest(result, values, 3)}.", f"Median {number(float(np.median(known)))}."]
    missing = int(np.isnan(values).sum()) - same
    said += [f"Both bases within one token: {same:,} pairs, left grey."] if same else []
    return said + ([f"Without a value: {missing:,} pairs."] if missing else [])
