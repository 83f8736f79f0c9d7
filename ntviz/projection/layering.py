"""`by_layer`: maps and separation of the same windows in each layer of a model, in its random twin, and by counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, environment
from ntviz.projection import separating
from ntviz.projection.reducing import METHODS, project, scaled
from ntviz.projection.result import SPACES, Maps

if TYPE_CHECKING:
    from ntviz.projection.sampling import Windows


def by_layer(
    model: Any,
    windows: Windows,
    layers: Sequence[int] | None = None,
    *,
    method: str = "tsne",
    ks: Sequence[int] = (1, 4),
    twin: int | None = 0,
    pooling: str = "mean",
    neighbours: int = separating.NEIGHBOURS,
    permutations: int = 200,
    store: embeddings.Store | None = None,
    seed: int = 0,
) -> Maps:
    """Maps of windows by layer, with what a reader must hold them against.

    Windows are compared with windows of other stretches of 250 kb only, since neighbours in the genome share their
    composition and their repeats.

    Parameters
    ----------
    model
        See `models.Embedder`.
    windows
        Made by `windows`, of two elements or more.
    layers
        0 (the embedding) to `model.layers`; default: all.
    method
        Of the maps; see `project`.
    ks
        Lengths of k-mers whose frequencies are maps of their own: 1 is base composition. Empty: none.
    twin
        Seed of the same model with random weights, or None for none: what architecture and tokens give by themselves.
    pooling
        See `embeddings.embed`.
    neighbours, permutations
        See `separation`.
    store
        Where vectors are kept.
    seed
        Of maps, random labels and intervals.

    Raises
    ------
    ValueError
        A number is out of range, there is one element only, or the model has no random twin and one is asked for.
    ImportError
        The method needs a package that is not installed.
    """
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}; received {method!r}. Choose one of these."
        )
    if len(set(ks)) < len(tuple(ks)):
        raise ValueError(f"ks must be distinct lengths; received {list(ks)}. Name each once.")
    if twin is not None and not hasattr(model, "random_twin"):
        raise ValueError(
            f"A model must have random_twin for a control of random weights; {type(model).__name__} has none. Pass twin=None."
        )
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1; received {permutations}. The default is 200.")
    names, labels = separating.coded(windows.labels, len(windows))
    chosen = tuple(range(model.layers + 1) if layers is None else layers)
    groups = windows.groups
    panels, tables, coordinates, values = [], [], [], []
    total = len(chosen) * (1 if twin is None else 2) + len(tuple(ks))
    with environment.progress(total=total, what="mapping", unit="maps") as bar:
        for panel, source, layer, vectors in _vectors(model, windows, chosen, ks, twin, pooling, store):
            points = scaled(vectors)
            place = project(vectors, method=method, seed=seed)
            each = []
            for space, there in zip(SPACES, (points, place), strict=True):
                near = separating.distances(there, groups, neighbours)
                rows = separating.table(
                    near, names, labels, groups, permutations=permutations, draws=1_000, seed=seed
                )
                rows.insert(0, "panel", panel)
                rows.insert(1, "space", space)
                tables.append(rows)
                each.append(
                    [near.of(measure, labels[None], len(names))[0] for measure in separating.MEASURES]
                )
            panels.append((panel, source, layer, vectors.shape[1]))
            coordinates.append(place)
            values.append(each)
            bar.update(1)
    import pandas as pd

    settings = {
        "method": method,
        "layers": list(chosen),
        "ks": list(ks),
        "twin": twin,
        "pooling": pooling,
        "neighbours": neighbours,
        "permutations": permutations,
        "seed": seed,
        "windows": windows.settings,
        "weights_sha256": model.info.get("weights_sha256"),
    }
    return Maps(
        windows.table.reset_index(drop=True),
        pd.DataFrame(panels, columns=["panel", "source", "layer", "dimensions"]),
        np.stack(coordinates),
        np.array(values, dtype=np.float32),
        pd.concat(tables, ignore_index=True),
        groups,
        str(model.name),
        settings,
    )


def _vectors(
    model: Any,
    windows: Windows,
    layers: tuple[int, ...],
    ks: Sequence[int],
    twin: int | None,
    pooling: str,
    store: embeddings.Store | None,
) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Name, source, layer and vectors [window, dimension] of each map."""
    sources = [("model", "", model)]
    if twin is not None:
        sources.append(("twin", "random twin, ", model.random_twin(twin)))
    for source, before, one in sources:
        found = embeddings.embed(one, windows.sequences, layers=layers, pooling=pooling, store=store)
        for layer in found.layers:
            yield f"{before}layer {layer}", source, layer, found.layer(layer)
    for k in ks:
        name = "base composition" if k == 1 else f"{k}-mers"
        yield name, "counts", -1, embeddings.kmer_frequencies(windows.sequences, k)
