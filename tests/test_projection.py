"""Maps of windows and what is measured in them: vectors laid out, both measures beside plain loops, layers beside baselines."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from projection_toy import made

from ntviz import embeddings

separating = import_module("ntviz.embeddings.separation")  # of the same name as its function


def blobs(n=20, classes=3, width=12, apart=20.0, seed=0):
    """Points of classes that lie apart, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([f"e{index}" for index in range(classes)], n)
    centres = apart * rng.normal(size=(classes, width))
    return rng.normal(size=(n * classes, width)) + np.repeat(centres, n, axis=0), labels


def overall(table):
    """Rows over all elements by measure."""
    return table[table["element"] == "all"].set_index("measure")


@pytest.mark.parametrize("method", embeddings.METHODS)
def test_maps_keep_apart_what_is_far_apart_and_are_the_same_again(method):
    points, labels = blobs()
    found, again = (embeddings.project(points, method=method) for _ in range(2))
    assert found.shape == (60, 2) and found.dtype == np.float32
    np.testing.assert_array_equal(again, found)
    assert overall(embeddings.separation(found, labels, permutations=20)).loc["purity", "value"] == 1
    # Only UMAP draws at random: t-SNE starts from the principal components.
    other = embeddings.project(points, method=method, seed=1)
    assert np.array_equal(other, found) == (method != "umap")
    for n in (3, 5):
        few = embeddings.project(np.random.default_rng(2).normal(size=(n, 1)), method=method)
        assert np.isfinite(few).all() and few.shape == (n, 2)


def test_principal_components_are_those_of_scaled_vectors():
    from sklearn.decomposition import PCA

    points = np.random.default_rng(1).normal(size=(30, 5)) * [1, 2, 3, 4, 5]
    expected = PCA(2).fit_transform((points - points.mean(0)) / points.std(0))
    found = embeddings.project(points, method="pca")
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    # Turning the sign of a column must not turn the map: signs are of the directions, not of the solver.
    np.testing.assert_allclose(embeddings.project(points[:, ::-1], method="pca"), found, atol=1e-5)
    points = np.column_stack([np.full(6, 0.1), np.arange(6) * 1e-3, np.arange(6)[::-1]])
    found = embeddings.scaled(points)
    assert (found[:, 0] == 0).all()
    np.testing.assert_allclose(found[:, 1:].std(axis=0), 1)
    np.testing.assert_allclose(found[:, 1], -found[:, 2], atol=1e-12)


@pytest.mark.parametrize(("points", "given", "message"), [
    (np.eye(4), {"method": "mds"}, "one of pca, tsne, umap; received 'mds'"),
    (np.eye(4), {"perplexity": 0}, "perplexity=0"),
    (np.ones((4, 3)), {}, "differ between windows; those of all 4 are the same"),
    (np.eye(2), {}, r"three windows or more; received the shape \[2, 2\]"),
    (np.zeros((0, 3)), {}, r"received the shape \[0, 3\]"), (np.zeros((4, 0)), {}, r"received the shape \[4, 0\]"),
    (np.arange(4.0), {}, r"received the shape \[4\]"),
    (np.where(np.eye(4) > 0, np.nan, 1), {}, "finite; 4 of 4 windows have others"),
])  # fmt: skip
def test_vectors_that_make_no_map_are_refused(points, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.project(points, **given)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"pip install 'ntviz\[maps\]'.*\"tsne\" or \"pca\""):
        embeddings.project(np.eye(5), method="umap")
    assert embeddings.project(np.eye(5), method="tsne").shape == (5, 2)


def plainly(points, labels, groups, k):
    """Silhouette and purity of each point, by loops."""
    n = len(points)
    silhouette, purity = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(n):
        others = [j for j in range(n) if groups[j] != groups[i]]
        far = {j: float(np.sqrt(((points[i] - points[j]) ** 2).sum())) for j in others}
        nearest = sorted(far, key=far.__getitem__)[:k]
        purity[i] = np.mean([labels[j] == labels[i] for j in nearest])
        present = {labels[j] for j in far}
        means = {c: np.mean([far[j] for j in far if labels[j] == c]) for c in present}
        if labels[i] in means and len(means) > 1:
            a, b = means[labels[i]], min(value for c, value in means.items() if c != labels[i])
            silhouette[i] = (b - a) / max(a, b)
    return {"silhouette": silhouette, "purity": purity}


@pytest.mark.parametrize("grouped", [False, True])
def test_separation_is_that_of_plain_loops(grouped):
    rng = np.random.default_rng(3)
    points, labels = rng.normal(size=(40, 3)), np.array(list("aaab" * 10))
    points[labels == "a"] += 1
    groups = rng.integers(0, 12, 40) if grouped else np.arange(40)
    expected = plainly(points, labels.tolist(), groups.tolist(), 4)
    how = {"neighbours": 4, "permutations": 30, "draws": 50}
    found = embeddings.separation(points, labels, groups if grouped else None, **how)
    assert len(found) == 6
    for measure, each in expected.items():
        rows = found[found["measure"] == measure].set_index("element")
        means = {name: np.nanmean(each[labels == name]) for name in "ab"}
        # Each element counts the same, though there are three times as many of one.
        means["all"] = (means["a"] + means["b"]) / 2
        assert rows["value"].to_dict() == pytest.approx(means)
        assert (rows["effect"] - (rows["value"] - rows["null"])).abs().max() < 1e-12
        assert rows["windows"].to_dict() == {"all": 40, "a": 30, "b": 10}
        assert ((rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])).all()
    chance = found.set_index(["measure", "element"])["chance"]
    for name in "ab":
        others = [labels[groups != groups[i]] == name for i in np.flatnonzero(labels == name)]
        assert chance["purity", name] == pytest.approx(np.mean(list(map(np.mean, others))))
    assert chance["silhouette"].isna().all()


def test_random_labels_tell_what_is_nothing_and_copies_of_a_group_do_not_vouch():
    how = {"neighbours": 5, "permutations": 200}
    whole = overall(embeddings.separation(*blobs(apart=0, seed=4), **how))
    assert ((whole["value"] < whole["null_high"]) & (whole["p"] > 0.05)).all()
    assert whole.loc["purity", "null"] == pytest.approx(whole.loc["purity", "chance"], abs=0.01)
    found, again = (embeddings.separation(*blobs(apart=20), **how) for _ in range(2))
    whole = overall(found)
    assert (whole["value"] > whole["null_high"]).all() and whole["p"].tolist() == [1 / 201, 1 / 201]
    assert whole.loc["purity", ["value", "low", "high"]].tolist() == [1, 1, 1]
    pd.testing.assert_frame_equal(again, found)
    # Each window stands there twice, and labels are dealt to pairs: with groups, nothing is left of the agreement.
    rng = np.random.default_rng(5)
    points = np.repeat(rng.normal(size=(60, 4)), 2, axis=0)
    labels, groups = np.repeat(rng.permutation(["a", "b"] * 30), 2), np.repeat(np.arange(60), 2)
    alone = embeddings.separation(points, labels, neighbours=1, permutations=50)
    held = embeddings.separation(points, labels, groups, neighbours=1, permutations=50)
    assert overall(alone).loc["purity", "value"] == 1 and overall(held).loc["purity", "value"] < 0.65


def test_deals_worked_on_in_parts_are_those_at_once_and_silhouettes_scikit_learns(monkeypatch):
    from sklearn.metrics import silhouette_samples

    points, labels = blobs(apart=2)
    near = separating.distances(points, None, 5)
    names, numbers = separating.coded(labels, 60)
    assert names.tolist() == ["e0", "e1", "e2"]
    np.testing.assert_allclose(near.of("silhouette", numbers[None], 3)[0], silhouette_samples(points, labels))
    points, labels = blobs(n=7, apart=1)
    whole = embeddings.separation(points, labels, neighbours=3, permutations=20)
    monkeypatch.setattr(separating, "HELD", 21 * 3 * 2)
    pd.testing.assert_frame_equal(embeddings.separation(points, labels, neighbours=3, permutations=20), whole)


def test_intervals_draw_groups_and_an_element_that_stands_once_has_no_silhouette():
    points = np.array([[0.0], [1.0], [9.0], [10.0], [4.0]])
    found = embeddings.separation(points, np.array(["a", "a", "b", "b", "c"]), neighbours=1, permutations=20)
    rows = found[found["measure"] == "silhouette"].set_index("element")
    assert rows.loc["c", ["value", "p"]].isna().all()
    expected = [(4 - 1) / 4, (3 - 1) / 3, (5 - 1) / 5, (6 - 1) / 6]
    assert rows.loc["all", "value"] == pytest.approx(np.mean(expected))
    # Equal points have a silhouette of zero.
    near = separating.distances(np.zeros((4, 2)), None, 1)
    assert near.silhouettes(np.array([[0, 0, 1, 1]]), 2).tolist() == [[0, 0, 0, 0]]
    values, labels = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 0, 1])
    drawn = separating.redrawn(values, labels, 2, np.array([0, 0, 1, 1]), draws=400, seed=0)
    # Two groups, all 0 and all 1: a draw is 0, a half or 1, in 1, 2 and 1 of four.
    assert set(drawn[:, 0]) == {0, 0.5, 1} and np.mean(drawn[:, 0] == 0.5) == pytest.approx(0.5, abs=0.1)
    assert np.isnan(separating.interval(drawn, np.array([0, 0, 1, 1]))).all()
    points, labels, groups = np.arange(8.0)[:, None], np.array(list("abababab")), np.repeat(range(4), 2)
    found = embeddings.separation(points, labels, groups, neighbours=2, permutations=5)
    assert found[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(("points", "labels", "given", "message"), [
    (np.eye(4), ["a", "a", "a", "a"], {}, "two elements or more to tell apart; received a alone"),
    (np.eye(4), ["a", "b"], {}, r"one for each of the 4 windows; received the shape \[2\]"),
    (np.eye(4), list("aabb"), {"groups": [1, 2]}, r"groups must be .* received the shape \[2\]"),
    (np.eye(4), list("aabb"), {"groups": [1] * 4}, "of other groups, 0 here at the least; received 1"),
    (np.eye(4), list("aabb"), {"neighbours": 4}, "windows of other groups, 3 here .*received 4"),
    (np.eye(4), list("aabb"), {"neighbours": 0}, "received 0"),
    (np.eye(4), list("aabb"), {"permutations": 0}, "at least 1; received 0 and 1000"),
    (np.full((4, 2), np.inf), list("aabb"), {}, r"finite numbers .* the shape \[4, 2\] with others"),
    (np.zeros((0, 2)), [], {}, r"received the shape \[0, 2\]"),
    (np.zeros((5_001, 1)), ["a"] * 5_001, {}, "at most 5,000 windows, .*received 5,001"),
])  # fmt: skip
def test_points_that_cannot_be_compared_are_refused(points, labels, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.separation(points, np.array(labels), **{"neighbours": 1, **given})


@pytest.mark.parametrize("what", ["labels", "groups"])
def test_names_in_every_dress_are_read_alike_and_missing_ones_refused(what):
    points = np.random.default_rng(3).normal(size=(40, 3))
    names = {"labels": np.array(list("aaab" * 10)), "groups": np.arange(40) // 2}
    how = {"neighbours": 4, "permutations": 9, "draws": 9}
    right = embeddings.separation(points, **names, **how)
    turned = pd.Series(names[what], index=range(40)[::-1])
    for dressed in (names[what].tolist(), turned, names[what].astype(object), pd.Categorical(names[what])):
        pd.testing.assert_frame_equal(embeddings.separation(points, **names | {what: dressed}, **how), right)
    for gap in (None, np.nan, pd.NA):
        dressed = names[what].astype(object)
        dressed[5:7] = gap
        with pytest.raises(ValueError, match=f"{what} must be there .*; 2 are missing, the first at 5"):
            embeddings.separation(points, **names | {what: dressed}, **how)


class Letters:
    """Of two layers: the first knows nothing but which sequence it is, the second the share of each base."""

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
    sources = ["model"] * 2 + ["twin"] * 2 + ["counts"] * 2
    assert maps.panels.iloc[:, 1:].T.to_numpy().tolist() == [sources, [0, 1, 0, 1, -1, -1], [4] * 5 + [16]]
    purity = maps.overview().set_index("panel")
    assert purity.loc["layer 1", ["value", "p"]].tolist() == [1, 1 / 41]
    assert (purity.loc[["layer 0", "random twin, layer 0", "random twin, layer 1"], "value"] < 0.6).all()
    # This layer is the composition, so its map and its numbers are those of composition.
    np.testing.assert_allclose(maps.coordinates[1], maps.coordinates[4], atol=1e-5)
    for space, measure in itertools.product(("vectors", "map"), ("purity", "silhouette")):
        values = maps.overview(measure, space).set_index("panel")["value"]
        assert values["layer 1"] == pytest.approx(values["base composition"], abs=1e-6)
    points = embeddings.scaled([[text.count(base) / 60 for base in "ACGT"] for text in drawn.sequences])
    by_itself = embeddings.separation(points, drawn.labels, drawn.groups, neighbours=5, permutations=40)
    rows = maps.separation.query("panel == 'layer 1' and space == 'vectors'")
    rows = rows.drop(columns=["panel", "space"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, by_itself, atol=1e-6)
    assert "purity of vectors: layer 0 0." in repr(maps) and maps.settings["twin"] == 0
    with pytest.raises(ValueError, match="space one of vectors, map; received 'purity' and 'plane'"):
        maps.overview(space="plane")


def test_maps_are_compared_window_by_window(maps, drawn):
    with pytest.raises(ValueError, match="one of layer 0, .*received 'layer 7'"):
        maps.against("layer 7")
    found = maps.against("base composition").set_index("panel")
    assert "base composition" not in found.index and found.loc["layer 1"].abs().max() < 1e-6
    index = maps.panels["panel"].tolist()
    each = maps.values[index.index("layer 0"), 0, 1] - maps.values[index.index("base composition"), 0, 1]
    expected = np.mean([each[drawn.labels == name].mean() for name in ("CDS", "intron")])
    assert found.loc["layer 0", "difference"] == pytest.approx(expected)
    assert found.loc["layer 0", "low"] < expected < found.loc["layer 0", "high"] < 0


def test_maps_come_back_from_disk_without_torch(maps, tmp_path):
    path = maps.save(tmp_path / "maps.npz")
    code = """import sys; from ntviz import embeddings; maps = embeddings.Maps.load(sys.argv[1])
print(len(maps.windows), {'torch', 'sklearn'} & set(sys.modules))"""
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert answer.stdout == "50 set()\n"
    again = embeddings.Maps.load(path)
    for name in ("windows", "panels", "separation"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(maps, name))
    for name in ("coordinates", "values", "groups"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps, name))
    assert (again.model, again.settings) == (maps.model, maps.settings)
    assert [file.name for file in tmp_path.iterdir()] == ["maps.npz"]
    np.savez(path, about=np.array(json.dumps({"format": 9})))
    with pytest.raises(ValueError, match=r"it has format 9, not 1"):
        embeddings.Maps.load(path)
    with pytest.raises(ValueError, match=r"coordinates must be \[6, 50, 2\], and is \[5, 50, 2\]"):
        replace(maps, coordinates=maps.coordinates[:5])


@pytest.mark.parametrize(("given", "message"), [
    ({"method": "mds"}, "one of pca, tsne, umap; received 'mds'"),
    ({"layers": [2]}, r"from 0 \(the embedding\) to 1 for letters; received \[2\]"),
    ({"ks": (2, 2)}, r"distinct lengths; received \[2, 2\]"),
    ({"permutations": 0}, "permutations and draws must be at least 1; received 0 and 1000"),
    ({"neighbours": 50}, "neighbours must be from 1 to .* 49 here"),
])  # fmt: skip
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
