"""Separation: both measures beside plain loops, random labels, groups and intervals."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from projection_toy import blobs, overall

from ntviz import embeddings

separating = sys.modules["ntviz.embeddings.separation"]  # of the same name as its function


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
    points = rng.normal(size=(40, 3))
    labels = np.array(list("aaab" * 10))
    points[labels == "a"] += 1
    groups = rng.integers(0, 12, 40) if grouped else np.arange(40)
    expected = plainly(points, labels.tolist(), groups.tolist(), 4)
    found = embeddings.separation(
        points, labels, groups if grouped else None, neighbours=4, permutations=30, draws=50
    )
    assert len(found) == 6
    for measure, each in expected.items():
        rows = found[found["measure"] == measure].set_index("element")
        means = {name: np.nanmean(each[labels == name]) for name in "ab"}
        assert rows.loc["a", "value"] == pytest.approx(means["a"])
        assert rows.loc["b", "value"] == pytest.approx(means["b"])
        # Each element counts the same, though there are three times as many of one.
        assert rows.loc["all", "value"] == pytest.approx((means["a"] + means["b"]) / 2)
        assert (rows["effect"] - (rows["value"] - rows["null"])).abs().max() < 1e-12
        assert rows["windows"].to_dict() == {"all": 40, "a": 30, "b": 10}
        assert (rows["low"] <= rows["value"]).all()
        assert (rows["value"] <= rows["high"]).all()
    chance = found[found["measure"] == "purity"].set_index("element")["chance"]
    for name in "ab":
        per = [
            np.mean([labels[j] == name for j in range(40) if groups[j] != groups[i]])
            for i in np.flatnonzero(labels == name)
        ]
        assert chance[name] == pytest.approx(np.mean(per))
    assert found.loc[found["measure"] == "silhouette", "chance"].isna().all()


def test_silhouettes_without_groups_are_those_of_scikit_learn():
    from sklearn.metrics import silhouette_samples

    points, labels = blobs(apart=2)
    near = separating.distances(points, None, 5)
    names, numbers = separating.coded(labels, 60)
    assert names.tolist() == ["e0", "e1", "e2"]
    np.testing.assert_allclose(near.of("silhouette", numbers[None], 3)[0], silhouette_samples(points, labels))


def test_random_labels_tell_what_is_nothing():
    points, labels = blobs(apart=0, seed=4)
    found = embeddings.separation(points, labels, neighbours=5, permutations=200)
    whole = found[found["element"] == "all"].set_index("measure")
    assert (whole["value"] < whole["null_high"]).all()
    assert (whole["p"] > 0.05).all()
    assert whole.loc["purity", "null"] == pytest.approx(whole.loc["purity", "chance"], abs=0.01)
    points, labels = blobs(apart=20)
    found = embeddings.separation(points, labels, neighbours=5, permutations=200)
    whole = found[found["element"] == "all"].set_index("measure")
    assert (whole["value"] > whole["null_high"]).all()
    assert whole["p"].tolist() == [1 / 201, 1 / 201]
    assert whole.loc["purity", ["value", "low", "high"]].tolist() == [1, 1, 1]
    again = embeddings.separation(points, labels, neighbours=5, permutations=200)
    pd.testing.assert_frame_equal(again, found)


def test_copies_of_a_group_do_not_vouch_for_each_other():
    # Each window stands there twice, and labels are dealt to pairs: with groups, nothing is left of the agreement.
    rng = np.random.default_rng(5)
    points = np.repeat(rng.normal(size=(60, 4)), 2, axis=0)
    labels, groups = np.repeat(rng.permutation(["a", "b"] * 30), 2), np.repeat(np.arange(60), 2)
    alone = embeddings.separation(points, labels, neighbours=1, permutations=50)
    held = embeddings.separation(points, labels, groups, neighbours=1, permutations=50)
    assert overall(alone, "purity") == 1
    assert overall(held, "purity") < 0.65


def test_deals_worked_on_in_parts_are_those_at_once(monkeypatch):
    points, labels = blobs(n=7, apart=1)
    whole = embeddings.separation(points, labels, neighbours=3, permutations=20)
    monkeypatch.setattr(separating, "HELD", 21 * 3 * 2)
    pd.testing.assert_frame_equal(embeddings.separation(points, labels, neighbours=3, permutations=20), whole)


def test_an_element_that_stands_once_has_no_silhouette():
    points = np.array([[0.0], [1.0], [9.0], [10.0], [4.0]])
    found = embeddings.separation(points, np.array(["a", "a", "b", "b", "c"]), neighbours=1, permutations=20)
    rows = found[found["measure"] == "silhouette"].set_index("element")
    assert np.isnan(rows.loc["c", "value"])
    assert np.isnan(rows.loc["c", "p"])
    expected = [(4 - 1) / 4, (3 - 1) / 3, (5 - 1) / 5, (6 - 1) / 6]
    assert rows.loc["all", "value"] == pytest.approx(np.mean(expected))
    # Equal points have a silhouette of zero.
    near = separating.distances(np.zeros((4, 2)), None, 1)
    assert near.silhouettes(np.array([[0, 0, 1, 1]]), 2).tolist() == [[0, 0, 0, 0]]


def test_intervals_draw_groups_and_need_five():
    values, labels = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 0, 1])
    drawn = separating.redrawn(values, labels, 2, np.array([0, 0, 1, 1]), draws=400, seed=0)
    # Two groups, all 0 and all 1: a draw is 0, a half or 1, in 1, 2 and 1 of four.
    assert set(drawn[:, 0]) == {0, 0.5, 1}
    assert np.mean(drawn[:, 0] == 0.5) == pytest.approx(0.5, abs=0.1)
    assert np.isnan(separating.interval(drawn, np.array([0, 0, 1, 1]))).all()
    points, labels, groups = np.arange(8.0)[:, None], np.array(list("abababab")), np.repeat(range(4), 2)
    found = embeddings.separation(points, labels, groups, neighbours=2, permutations=5)
    assert found[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("points", "labels", "given", "message"),
    [
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
    ],
)
def test_points_that_cannot_be_compared_are_refused(points, labels, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.separation(points, np.array(labels), **{"neighbours": 1, **given})


@pytest.mark.parametrize(
    "dress",
    [list, lambda v: pd.Series(v, index=range(len(v))[::-1]), lambda v: v.astype(object), pd.Categorical],
)
def test_labels_and_groups_in_every_dress_are_read_alike(dress):
    points = np.random.default_rng(3).normal(size=(40, 3))
    labels, groups = np.array(list("aaab" * 10)), np.arange(40) // 2
    given = {"neighbours": 4, "permutations": 9, "draws": 9}
    right = embeddings.separation(points, labels, groups, **given)
    pd.testing.assert_frame_equal(embeddings.separation(points, dress(labels), dress(groups), **given), right)


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
@pytest.mark.parametrize("what", ["labels", "groups"])
def test_a_missing_name_is_no_class_and_no_group(what, gap):
    points = np.random.default_rng(3).normal(size=(40, 3))
    given = {"labels": np.array(list("aaab" * 10), object), "groups": (np.arange(40) // 2).astype(object)}
    given[what][5:7] = gap
    with pytest.raises(ValueError, match=f"{what} must be there .*; 2 are missing, the first at 5"):
        embeddings.separation(points, **given, neighbours=4)
