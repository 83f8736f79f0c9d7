"""Vectors in two dimensions: PCA, t-SNE and UMAP, each the same again with the same seed."""

from __future__ import annotations

import warnings

import numpy as np

METHODS = ("pca", "tsne", "umap")


def scaled(vectors: np.ndarray) -> np.ndarray:
    """Vectors whose every number has mean 0 and standard deviation 1 over the windows, float64 [window, dimension].

    A number that never varies becomes 0.

    Parameters
    ----------
    vectors
        [window, dimension].

    Raises
    ------
    ValueError
        There are fewer than three windows, values that are not finite, or vectors that are all the same.

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
    odd = int((~np.isfinite(points)).any(axis=1).sum())
    if odd:
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
    vectors: np.ndarray,
    *,
    method: str = "tsne",
    components: int = 50,
    perplexity: float = 30.0,
    neighbours: int = 15,
    seed: int = 0,
) -> np.ndarray:
    """Coordinates of each window in a map, float32 [window, 2]; they have no unit.

    Vectors are scaled (see `scaled`) and reduced to principal components first, whatever the method. In a t-SNE or UMAP
    map neighbours mean something, distances between groups and sizes of groups do not; `separation` of the vectors says
    what the map only shows.

    Parameters
    ----------
    vectors
        [window, dimension].
    method
        "pca": the first two principal components. "umap" needs the extra `maps`.
    components
        Principal components that t-SNE and UMAP start from, at most.
    perplexity
        Of t-SNE: about how many neighbours count; at most a third of the other windows, as few windows ask.
    neighbours
        Of UMAP; at most the other windows.
    seed
        Of UMAP, which draws at random; t-SNE starts from the principal components. On one machine the same seed gives the
        same map.

    Raises
    ------
    ValueError
        The method is unknown, a number is out of range, or the vectors cannot be scaled.
    ImportError
        The method is UMAP, and umap-learn is not installed.

    References
    ----------
    van der Maaten & Hinton (2008) JMLR 9:2579. McInnes, Healy & Melville (2018) arXiv:1802.03426. Kobak & Berens (2019)
    Nature Communications 10:5416, for t-SNE that starts from principal components.

    Examples
    --------
    >>> found = project(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]]), method="pca")
    >>> found.shape, bool(found[3, 0] > found[0, 0])
    ((4, 2), True)
    """
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}; received {method!r}. Choose one of these."
        )
    if components < 2 or perplexity <= 0 or neighbours < 2:
        raise ValueError(
            "components and neighbours must be at least 2, and perplexity above 0; received "
            f"components={components}, neighbours={neighbours}, perplexity={perplexity:g}. Defaults are 50, 15 and 30."
        )
    main = _principal(scaled(vectors), components)
    if method == "pca":
        return main[:, :2].astype(np.float32)
    if method == "tsne":
        return _tsne(main, min(perplexity, (len(main) - 1) / 3), seed)
    return _umap(main, min(neighbours, len(main) - 1), seed)


def _principal(points: np.ndarray, most: int) -> np.ndarray:
    """Coordinates along at least two and at most `most` principal components, float64 [window, component]."""
    left, strength, right = np.linalg.svd(points, full_matrices=False)
    # A singular vector has no sign of its own: its largest weight is made positive, so that every machine agrees.
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    found = (left * strength * np.where(signs == 0, 1.0, signs))[:, :most]
    return found if found.shape[1] > 1 else np.pad(found, ((0, 0), (0, 1)))


def _tsne(main: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    start = main[:, :2] / main[:, 0].std() * 1e-4
    maker = TSNE(n_components=2, perplexity=perplexity, init=start.astype(np.float32), random_state=seed)
    # On so few windows threads wait for each other; where others use the machine too, ten times as long as one needs.
    with threadpool_limits(1):
        return np.asarray(maker.fit_transform(main), dtype=np.float32)


def _umap(main: np.ndarray, neighbours: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        # What else could be installed, and what its compiler thinks of its code, is nothing to tell a reader of maps.
        warnings.filterwarnings("ignore", module="umap")
        warnings.filterwarnings("ignore", module="numba")
        try:
            from umap import UMAP
        except ImportError as error:
            raise ImportError(
                "A UMAP needs the package umap-learn, which is not installed. Install it with pip install 'ntviz[maps]', or "
                'ask for method="tsne" or "pca".'
            ) from error
        maker = UMAP(
            n_components=2,
            n_neighbors=neighbours,
            init="pca" if len(main) > 3 else "random",
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(maker.fit_transform(main.astype(np.float32)), dtype=np.float32)
