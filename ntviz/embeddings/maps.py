"""Two-dimensional maps of vectors: PCA, t-SNE and UMAP; of every layer, beside what it must be held against."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntviz import environment, storage
from ntviz.embeddings.separation import MEASURES, NEIGHBOURS, by_class, coded, interval, measured, redrawn
from ntviz.embeddings.vectors import Store, embed, kmer_frequencies
from ntviz.embeddings.windows import Windows
from ntviz.storage import AnyPath

METHODS = ("pca", "tsne", "umap")
SPACES = ("vectors", "map")
_FORMAT = 1
_TABLES, _ARRAYS = ("windows", "panels", "separation"), ("coordinates", "values", "groups")


def scaled(vectors: np.ndarray) -> np.ndarray:
    """Vectors whose every number has mean 0 and standard deviation 1 over the windows, float64 [window, dimension].

    A number that never varies becomes 0.

    Examples
    --------
    >>> scaled(np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]])).round(2).tolist()
    [[-1.22, 0.0], [0.0, 0.0], [1.22, 0.0]]
    """
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or len(points) < 3 or not points.shape[1]:
        raise ValueError(
            f"Vectors must be [window, dimension] with three windows or more; received the shape {list(points.shape)}. "
            "Pass Vectors.layer(…) of more windows."
        )
    if odd := int((~np.isfinite(points)).any(axis=1).sum()):
        raise ValueError(
            f"Vectors must be finite; {odd:,} of {len(points):,} windows have others. Leave these out, or read them again."
        )
    centred = points - points.mean(axis=0)
    spread = centred.std(axis=0)
    # Of what rounding leaves of a constant, no direction is made.
    varies = spread > 1e-9 * np.maximum(1.0, np.abs(points).max(axis=0))
    if not varies.any():
        raise ValueError(
            f"Vectors must differ between windows; those of all {len(points):,} are the same. Check the sequences and the layer."
        )
    return np.where(varies, centred / np.where(varies, spread, 1.0), 0.0)


def project(
    vectors: np.ndarray, *, method: str = "tsne", components: int = 50, perplexity: float = 30.0, neighbours: int = 15,
    seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Coordinates of each window in a map, float32 [window, 2]; they have no unit.

    Vectors are scaled (see `scaled`) and reduced to principal `components` first, whatever the method. In a t-SNE or UMAP
    map neighbours mean something, distances between groups and sizes of groups do not; `separation` of the vectors says
    what the map only shows.

    Parameters
    ----------
    vectors
        [window, dimension].
    method
        "pca": the first two principal components; "tsne"; or "umap", which needs the extra `maps`.
    perplexity, neighbours
        Of t-SNE, at most a third of the other windows; of UMAP, at most the other windows.
    seed
        Of UMAP, which draws at random; t-SNE starts from the principal components. On one machine the same seed gives the
        same map.

    References
    ----------
    van der Maaten & Hinton (2008) JMLR 9:2579. McInnes, Healy & Melville (2018) arXiv:1802.03426. Kobak & Berens (2019)
    Nature Communications 10:5416, for t-SNE that starts from principal components.
    """
    _check_method(method)
    if components < 2 or perplexity <= 0 or neighbours < 2:
        raise ValueError(
            "components and neighbours must be at least 2, and perplexity above 0; received "
            f"components={components}, neighbours={neighbours}, perplexity={perplexity:g}."
        )
    main = _principal(scaled(vectors), components)
    if method == "pca":
        return main[:, :2].astype(np.float32)
    return _tsne(main, seed, perplexity) if method == "tsne" else _umap(main, seed, neighbours)


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; received {method!r}.")


def _principal(points: np.ndarray, most: int) -> np.ndarray:
    """Coordinates along at least two and at most `most` principal components, float64 [window, component]."""
    left, strength, right = np.linalg.svd(points, full_matrices=False)
    # A singular vector has no sign of its own: its largest weight is made positive, so that every machine agrees.
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    found = (left * strength * np.where(signs == 0, 1.0, signs))[:, :most]
    return found if found.shape[1] > 1 else np.pad(found, ((0, 0), (0, 1)))


def _tsne(main: np.ndarray, seed: int, perplexity: float) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    start, perplexity = main[:, :2] / main[:, 0].std() * 1e-4, min(perplexity, (len(main) - 1) / 3)
    maker = TSNE(n_components=2, perplexity=perplexity, init=start.astype(np.float32), random_state=seed)
    # On so few windows threads wait for each other; where others use the machine too, ten times as long as one needs.
    with threadpool_limits(1):
        return np.asarray(maker.fit_transform(main), dtype=np.float32)


def _umap(main: np.ndarray, seed: int, neighbours: int) -> np.ndarray:
    with warnings.catch_warnings():
        # What else could be installed, and what its compiler thinks of its code, is nothing to tell a reader of maps.
        warnings.filterwarnings("ignore", module="umap")
        warnings.filterwarnings("ignore", module="numba")
        umap = environment.need("umap", "maps", 'ask for method="tsne" or "pca"')
        start, neighbours = "pca" if len(main) > 3 else "random", min(neighbours, len(main) - 1)
        maker = umap.UMAP(n_components=2, n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
        return np.asarray(maker.fit_transform(main.astype(np.float32)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of the same windows, one a layer or baseline; made by `by_layer`.

    Attributes
    ----------
    windows
        One row a window: chrom, start, end (0-based half-open), strand, element, gene, gc.
    panels
        One row a map: panel (its name), source ("model", "twin" or "counts"), layer (-1 for counts), dimensions of its vectors.
    values
        float32 [panel, space, measure, window]: what `separation` averages, over `SPACES` and `MEASURES`.
    separation
        Rows of `separation` with panel and space ("vectors": scaled, all dimensions; "map": the two coordinates) before them.
    groups
        [window] name of the block of the genome that a window is of.
    settings
        What they were made with; plain data.
    """

    windows: pd.DataFrame
    panels: pd.DataFrame
    coordinates: np.ndarray  # float32 [panel, window, 2], without unit
    values: np.ndarray
    separation: pd.DataFrame
    groups: np.ndarray
    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        panels, windows = len(self.panels), len(self.windows)
        shapes = ((panels, windows, 2), (panels, len(SPACES), len(MEASURES), windows), (windows,))
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            if (came := np.shape(getattr(self, name))) != shape:
                raise ValueError(f"{name} must be {list(shape)}, and is {list(came)}. Make maps with embeddings.by_layer.")  # fmt: skip

    def __repr__(self) -> str:
        rows = self.overview()[["panel", "value"]].itertuples(index=False)
        purities = ", ".join(f"{panel} {value:.2f}" for panel, value in rows)
        return f"Maps({len(self.windows):,} windows by {self.model}; purity of vectors: {purities})"

    def overview(self, measure: str = "purity", space: str = "vectors") -> pd.DataFrame:
        """One row a map: the rows of `separation` over all elements, of one measure and space."""
        _check(measure, space)
        rows = self.separation
        chosen = (rows["measure"] == measure) & (rows["space"] == space) & (rows["element"] == "all")
        return rows[chosen].drop(columns=["measure", "space", "element"]).reset_index(drop=True)

    def against(
        self, baseline: str, *, measure: str = "purity", space: str = "vectors", draws: int = 1_000, seed: int = 0
    ) -> pd.DataFrame:
        """How much better each other map separates than a baseline such as "4-mers", window by window.

        Columns panel, difference (mean over elements), low, high (95 % interval by `draws` of groups; NaN for fewer than 5
        groups). The layer that looks best was chosen by looking: its difference is an upper guess.
        """
        _check(measure, space)
        values = self.values[:, SPACES.index(space), MEASURES.index(measure)].astype(float)
        base, rows = self._row(baseline), []
        names, labels = coded(self.windows["element"].to_numpy(), len(self.windows))
        for row, panel in enumerate(self.panels["panel"]):
            if row != base:
                better = values[row] - values[base]
                drawn = redrawn(better, labels, len(names), self.groups, draws=draws, seed=seed)
                low, high = interval(drawn, self.groups)[:, 0]
                rows.append((panel, by_class(better, labels, len(names))[0], low, high))
        return pd.DataFrame(rows, columns=["panel", "difference", "low", "high"])

    def _row(self, panel: str) -> int:
        names = self.panels["panel"].tolist()
        if panel not in names:
            raise ValueError(f"A map must be one of {', '.join(names)}; received {panel!r}.")
        return names.index(panel)

    def save(self, path: AnyPath) -> Path:
        """The path of one .npz with all arrays, and the tables as JSON in it; it appears whole or not at all."""
        tables = {name: getattr(self, name).to_dict("list") for name in _TABLES}
        about = {"format": _FORMAT, "model": self.model, "settings": self.settings, **tables}
        arrays = {"coordinates": self.coordinates, "values": self.values, "groups": self.groups.astype(str)}
        return storage.save(path, about, arrays)

    @classmethod
    def load(cls, path: AnyPath) -> Maps:
        """Maps as `save` wrote them, without torch and the model; a ValueError where the file is damaged or holds none."""
        about, arrays = storage.load(path, _ARRAYS, version=_FORMAT)
        fields: dict[str, Any] = {name: pd.DataFrame(about[name]) for name in _TABLES} | arrays
        return cls(**fields, model=about["model"], settings=about["settings"])


def _check(measure: str, space: str) -> None:
    if measure not in MEASURES or space not in SPACES:
        choices = f"measure must be one of {', '.join(MEASURES)}, and space one of {', '.join(SPACES)}"
        raise ValueError(f"{choices}; received {measure!r} and {space!r}.")


def by_layer(
    model: Any, windows: Windows, layers: Sequence[int] | None = None, *, method: str = "tsne",
    ks: Sequence[int] = (1, 4), twin: int | None = 0, pooling: str = "mean", neighbours: int = NEIGHBOURS,
    permutations: int = 200, store: Store | None = None, seed: int = 0,
) -> Maps:  # fmt: skip
    """Maps of windows by layer, with what a reader must hold them against.

    Windows are compared with windows of other blocks of 250 kb only, since neighbours in the genome share their
    composition and their repeats.

    Parameters
    ----------
    model
        See `models.Embedder`.
    windows
        Made by `windows`, of two elements or more.
    layers, pooling, store
        0 (the embedding) to `model.layers`, all by default; see `embed`.
    method
        Of the maps; see `project`.
    ks
        Lengths of k-mers whose frequencies are maps of their own: 1 is base composition. Empty: none.
    twin
        Seed of the randomly initialised model, or None for none: what architecture and tokens give by themselves.
    neighbours, permutations, seed
        See `separation`.
    """
    # What can be wrong is found before anything is read.
    _check_method(method)
    if len(set(ks)) < len(tuple(ks)):
        raise ValueError(f"ks must be distinct lengths; received {list(ks)}. Name each once.")
    if twin is not None and not hasattr(model, "random_twin"):
        raise ValueError(
            f"A model must have random_twin for a control of random weights; {type(model).__name__} has none. Pass twin=None."
        )
    coded(windows.labels, len(windows))
    chosen, groups = tuple(range(model.layers + 1) if layers is None else layers), windows.groups
    panels, tables, coordinates, values = [], [], [], []
    total = len(chosen) * (1 if twin is None else 2) + len(tuple(ks))
    how = {"neighbours": neighbours, "permutations": permutations, "draws": 1_000, "seed": seed}
    with environment.progress(total=total, what="mapping", unit="maps") as bar:
        for panel, source, layer, vectors in _vectors(model, windows, chosen, ks, twin, pooling, store):
            place = project(vectors, method=method, seed=seed)
            for space, points in zip(SPACES, (scaled(vectors), place), strict=True):
                rows, averaged = measured(points, windows.labels, groups, **how)
                rows.insert(0, "panel", panel)
                rows.insert(1, "space", space)
                tables.append(rows)
                values.append(averaged)
            panels.append((panel, source, layer, vectors.shape[1]))
            coordinates.append(place)
            bar.update(1)
    settings = {
        **{"method": method, "layers": list(chosen), "ks": list(ks), "twin": twin, "pooling": pooling},
        **{"neighbours": neighbours, "permutations": permutations, "seed": seed, "windows": windows.settings},
        "weights_sha256": model.info.get("weights_sha256"),
    }
    about = pd.DataFrame(panels, columns=["panel", "source", "layer", "dimensions"])
    shape = len(panels), len(SPACES), len(MEASURES), len(windows)
    return Maps(
        windows.table.reset_index(drop=True), about, np.stack(coordinates), np.array(values, np.float32).reshape(shape),
        pd.concat(tables, ignore_index=True), groups, str(model.name), settings,
    )  # fmt: skip


def _vectors(
    model: Any, windows: Windows, layers: Sequence[int], ks: Sequence[int], twin: int | None, pooling: str, store: Any
) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Name, source, layer and vectors [window, dimension] of each map."""
    sources = [("model", "", model)]
    if twin is not None:
        sources.append(("twin", "random twin, ", model.random_twin(twin)))
    for source, before, reader in sources:
        found = embed(reader, windows.sequences, layers=layers, pooling=pooling, store=store)
        for layer in found.layers:
            yield f"{before}layer {layer}", source, layer, found.layer(layer)
    for k in ks:
        name = "base composition" if k == 1 else f"{k}-mers"
        yield name, "counts", -1, kmer_frequencies(windows.sequences, k)
