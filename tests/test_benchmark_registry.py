"""Published tasks and published numbers: all there, each with its source."""

from __future__ import annotations

import pytest

from ntviz.benchmark import literature, registry


def test_there_are_eighteen_tasks_of_each_generation():
    by = [generation for generation, _ in registry.SPECS]
    assert (by.count("revised"), by.count("original"), by.count("other")) == (18, 18, 3)
    for spec in registry.SPECS.values():
        assert spec.grade in registry.GRADES
        assert spec.source
        assert spec.outputs == (len(spec.classes) or 919)


def test_original_counts_add_up_to_what_was_published():
    original = [spec for spec in registry.SPECS.values() if spec.generation == "original"]
    assert sum(spec.train + spec.test for spec in original) == 510_647


def test_lengths_are_those_of_the_sources():
    lengths = {"promoter": 300, "enhancers": 400, "splice": 600, "H": 1_000}
    for spec in registry.SPECS.values():
        if spec.generation == "revised":
            assert spec.length == next(bp for name, bp in lengths.items() if spec.name.startswith(name))


def test_unknown_tasks_get_suggestions():
    assert registry.find("H3K4ME3").train is None
    assert registry.find("H3", "original").test == 1_497
    with pytest.raises(ValueError, match="received 'promotor_all'. Did you mean promoter_all"):
        registry.find("promotor_all")
    with pytest.raises(ValueError, match="must be one of none: that generation is unknown"):
        registry.find("H3", "newest")


def test_published_numbers_have_sources_and_the_means_that_were_printed():
    table = literature.published()
    assert len(table) == 18 * 9 + 11 + 18 + 12 + 8
    assert (table[["model", "source", "grade", "metric"]] != "").all().all()
    original = table[(table["generation"] == "original") & (table["model"] == "NT multispecies 2.5B")]
    assert original["value"].mean() == pytest.approx(0.689, abs=5e-4)
    assert table["value"].isna().sum() == 3
    known = {(spec.generation, spec.name) for spec in registry.SPECS.values()} | {("revised", "mean")}
    for row in table[table["generation"].isin(["original", "revised"])].itertuples():
        assert (row.generation, row.task) in known
    means = table[table["task"] == "mean"].set_index(["generation", "model"])["value"]
    assert means["revised", "NT v2 250M"] == 0.769
