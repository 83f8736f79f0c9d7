"""Maps of windows: how vectors are laid out, and layers beside counts and a random twin."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from projection_toy import blobs, made, overall

from ntviz import embeddings

# Maps -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", embeddings.METHODS)
def test_maps_keep_apart_what_is_far_apart_and_are_the_same_again(method):
    points, labels = blobs()
    found = embeddings.project(points, method=method)
    assert found.shape == (60, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(embeddings.project(points, method=method), found)
    table = embeddings.separation(found, labels, permutations=20)
    assert overall(table, "purity") == 1
    # Only UMAP draws at random: t-SNE starts from the principal components.
    other = embeddings.project(points, method=method, seed=1)
    assert np.array_equal(other, found) == (method != "umap")


def test_principal_components_are_those_of_scaled_vectors():
    from sklearn.decomposition import PCA

    points = np.random.default_rng(1).normal(size=(30, 5)) * [1, 2, 3, 4, 5]
    expected = PCA(2).fit_transform((points - points.mean(0)) / points.std(0))
    found = embeddings.project(points, method="pca")
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    # Turning the sign of a column must not turn the map: signs are of the directions, not of the solver.
    np.testing.assert_allclose(embeddings.project(points[:, ::-1], method="pca"), found, atol=1e-5)


@pytest.mark.parametrize("method", embeddings.METHODS)
@pytest.mark.parametrize("n", [3, 5])
def test_a_few_windows_make_a_map(method, n):
    points = np.random.default_rng(2).normal(size=(n, 1))
    found = embeddings.project(points, method=method)
    assert np.isfinite(found).all() and found.shape == (n, 2)


def test_scaling_leaves_constants_at_zero():
    points = np.column_stack([np.full(6, 0.1), np.arange(6) * 1e-3, np.arange(6)[::-1]])
    found = embeddings.scaled(points)
    assert (found[:, 0] == 0).all()
    np.testing.assert_allclose(found[:, 1:].std(axis=0), 1)
    np.testing.assert_allclose(found[:, 1], -found[:, 2], atol=1e-12)


@pytest.mark.parametrize(
    ("points", "given", "message"),
    [
        (np.eye(4), {"method": "mds"}, "one of pca, tsne, umap; received 'mds'"),
        (np.eye(4), {"components": 1}, "components=1"),
        (np.eye(4), {"perplexity": 0}, "perplexity=0"),
        (np.eye(4), {"neighbours": 1}, "neighbours=1"),
        (np.ones((4, 3)), {}, "differ between windows; those of all 4 are the same"),
        (np.eye(2), {}, r"three windows or more; received the shape \[2, 2\]"),
        (np.zeros((0, 3)), {}, r"received the shape \[0, 3\]"),
        (np.zeros((4, 0)), {}, r"received the shape \[4, 0\]"),
        (np.arange(4.0), {}, r"received the shape \[4\]"),
        (np.where(np.eye(4) > 0, np.nan, 1), {}, "finite; 4 of 4 windows have others"),
    ],
)
def test_vectors_that_make_no_map_are_refused(points, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.project(points, **given)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"umap-learn, .*pip install 'ntviz\[maps\]'.*\"tsne\" or \"pca\""):
        embeddings.project(np.eye(5), method="umap")
    assert embeddings.project(np.eye(5), method="tsne").shape == (5, 2)


# Layers ---------------------------------------------------------------------------------------------------------------


class Letters:
    """A model of two layers: the first knows nothing but which sequence it is, the second the share of each base."""

    name, max_tokens, layers, hidden_size = "letters", 1_000, 1, 4
    info = {"name": "letters", "weights_sha256": "0" * 64, "dtype": "float32"}

    def __init__(self, *, trained=True):
        self.trained = trained

    def random_twin(self, seed=0):
        assert seed == 0
        return Letters(trained=False)

    def tokenize(self, sequence, *, phase=0):
        return sequence

    def embed(self, batch, *, layers, poolings=("mean",)):
        assert poolings == ("mean",)
        rows = []
        for text in batch:
            noise = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=4).digest(), np.uint8) / 255
            shares = np.array([text.count(base) / len(text) for base in "ACGT"]) if self.trained else noise
            rows.append([(noise, shares)[layer] for layer in layers])
        return np.array(rows, dtype=np.float32)[:, :, None]


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(6)
    shares = [[0.1, 0.4, 0.4, 0.1]] * 25 + [[0.4, 0.1, 0.1, 0.4]] * 25
    texts = ["".join(rng.choice(list("ACGT"), 60, p=p)) for p in shares]
    return made(texts, ["CDS"] * 25 + ["intron"] * 25)


@pytest.fixture(scope="module")
def maps(drawn):
    return embeddings.by_layer(Letters(), drawn, method="pca", ks=(1, 2), neighbours=5, permutations=40)


def test_layers_are_mapped_beside_counts_and_a_random_twin(maps, drawn):
    names = "layer 0|layer 1|random twin, layer 0|random twin, layer 1|base composition|2-mers"
    assert "|".join(maps.panels["panel"]) == names
    assert maps.panels["source"].tolist() == ["model"] * 2 + ["twin"] * 2 + ["counts"] * 2
    assert maps.panels["layer"].tolist() == [0, 1, 0, 1, -1, -1]
    assert maps.panels["dimensions"].tolist() == [4, 4, 4, 4, 4, 16]
    purity = maps.overview().set_index("panel")
    assert purity.loc["layer 1", "value"] == 1
    assert purity.loc["layer 1", "p"] == 1 / 41
    for panel in ("layer 0", "random twin, layer 0", "random twin, layer 1"):
        assert purity.loc[panel, "value"] < 0.6
    # This layer is the composition, so its map and its numbers are those of composition.
    places = [maps.coordinates_of(panel) for panel in ("layer 1", "base composition")]
    np.testing.assert_allclose(*places, atol=1e-5)
    for space, measure in itertools.product(("vectors", "map"), ("purity", "silhouette")):
        told = maps.overview(measure, space).set_index("panel")["value"]
        assert told["layer 1"] == pytest.approx(told["base composition"], abs=1e-6)
    points = embeddings.scaled([[text.count(base) / 60 for base in "ACGT"] for text in drawn.sequences])
    by_itself = embeddings.separation(points, drawn.labels, drawn.groups, neighbours=5, permutations=40)
    rows = maps.separation.query("panel == 'layer 1' and space == 'vectors'")
    rows = rows.drop(columns=["panel", "space"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, by_itself, atol=1e-6)
    assert "purity of vectors: layer 0 0." in repr(maps)
    assert maps.settings["twin"] == 0
    with pytest.raises(ValueError, match="one of layer 0, .*received 'layer 7'"):
        maps.coordinates_of("layer 7")
    with pytest.raises(ValueError, match="space one of vectors, map; received 'purity' and 'plane'"):
        maps.overview(space="plane")


def test_maps_are_compared_window_by_window(maps, drawn):
    found = maps.against("base composition").set_index("panel")
    assert "base composition" not in found.index
    assert found.loc["layer 1"].abs().max() < 1e-6
    index = maps.panels["panel"].tolist()
    each = maps.values[index.index("layer 0"), 0, 1] - maps.values[index.index("base composition"), 0, 1]
    expected = np.mean([each[drawn.labels == name].mean() for name in ("CDS", "intron")])
    assert found.loc["layer 0", "difference"] == pytest.approx(expected)
    assert found.loc["layer 0", "low"] < expected < found.loc["layer 0", "high"] < 0


def test_maps_come_back_from_disk_without_torch(maps, tmp_path):
    path = maps.save(tmp_path / "maps.npz")
    code = (
        "import sys; from ntviz import embeddings; maps = embeddings.Maps.load(sys.argv[1]); "
        "print(len(maps.windows), {'torch', 'sklearn'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert answer.stdout == "50 set()\n"
    again = embeddings.Maps.load(path)
    for name in ("windows", "panels", "separation"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(maps, name))
    for name in ("coordinates", "values", "groups"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps, name))
    assert (again.model, again.settings) == (maps.model, maps.settings)
    assert [file.name for file in tmp_path.iterdir()] == ["maps.npz"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"maps.npz must be whole and as this version of ntviz writes it"):
        embeddings.Maps.load(path)
    np.savez(path, about=np.array(json.dumps({"format": 9})))
    with pytest.raises(ValueError, match=r"it has format 9, not 1"):
        embeddings.Maps.load(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        embeddings.Maps.load(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match=r"coordinates must be \[6, 50, 2\], and is \[5, 50, 2\]"):
        replace(maps, coordinates=maps.coordinates[:5])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "mds"}, "one of pca, tsne, umap; received 'mds'"),
        ({"layers": [2]}, r"from 0 \(the embedding\) to 1 for letters; received \[2\]"),
        ({"ks": (2, 2)}, r"distinct lengths; received \[2, 2\]"),
        ({"permutations": 0}, "permutations and draws must be at least 1; received 0 and 1000"),
        ({"neighbours": 50}, "neighbours must be from 1 to .* 49 here"),
    ],
)
def test_maps_that_cannot_be_made_are_refused(drawn, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.by_layer(Letters(), drawn, **{"method": "pca", **given})


def test_a_model_without_a_twin_is_mapped_when_none_is_asked_for(drawn):
    class Single(Letters):
        random_twin = property()

    with pytest.raises(ValueError, match="must have random_twin .*Single has none"):
        embeddings.by_layer(Single(), drawn, method="pca")
    how = {"ks": (), "twin": None, "neighbours": 5, "permutations": 5}
    found = embeddings.by_layer(Single(), drawn, [1], method="pca", **how)
    assert found.panels["panel"].tolist() == ["layer 1"]
    alone = made(drawn.sequences[:25], ["CDS"] * 25)
    with pytest.raises(ValueError, match="two elements or more to tell apart; received CDS alone"):
        embeddings.by_layer(Letters(), alone, method="pca")
