"""What attribution refuses, how much it does at once, and what it gives where there is little to tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ntviz import attribution, models
from ntviz.attribution import BaseProbability, Direction, Output

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "".join(np.random.default_rng(7).choice(list("ACGT"), 64))


@pytest.fixture(scope="module", params=["nt_v1_tiny", "nt_v2_tiny"])
def tiny(request):
    return models.load(FIXTURES / request.param, device="cpu")


def target_of(model) -> Direction:
    return Direction(np.random.default_rng(1).normal(size=model.hidden_size), layer=1)


def test_bad_questions_are_refused(tiny):
    direction = target_of(tiny)
    cases = (
        (lambda: BaseProbability(3, "U"), "one of A, C, G, T; received 'U'"),
        (lambda: BaseProbability(3, "A", "A"), "must differ; received A twice"),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, BaseProbability(64, "A")),
            "0 to 63; received 64",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, "ACGTNACGT", BaseProbability(4, "A")),
            "base at 4 is N",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, direction, baseline="zero"),
            "received 'zero'",
        ),
        (lambda: attribution.integrated_gradients(tiny, SEQUENCE, direction, steps=0), "steps must be 1"),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, Direction(np.zeros(3))),
            r"finite numbers; received shape \(3,\)",
        ),
        (
            lambda: attribution.gradient_times_input(
                tiny, SEQUENCE, Direction(np.full(tiny.hidden_size, np.nan))
            ),
            "with others among them",
        ),
        (lambda: attribution.mutagenesis(tiny, SEQUENCE, direction, region=(60, 70)), "received 60 to 70"),
        (lambda: attribution.occlusion(tiny, SEQUENCE, direction, width=65), "1 to 64 bp"),
        (
            lambda: attribution.gradient_times_input(tiny, SEQUENCE, direction).per_base("odd"),
            "one of even, gradient, none; received 'odd'",
        ),
        (
            lambda: attribution.integrated_gradients(
                SimpleNamespace(name="a rule", module=torch.nn.Linear(2, 2)), SEQUENCE, direction
            ),
            "a rule has neither. Pass a model of",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, "", direction),
            "at least one base; received an empty",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, [], direction),
            "at least one sequence; received none",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, [SEQUENCE], [direction, direction]),
            "one for each of 1 sequences; received 2",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, direction, baseline=("mask", "mask")),
            r"each once; received \['mask', 'mask'\]",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, direction, baseline=()),
            r"each once; received \[\]",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, direction, shuffles=0),
            "at least one shuffle; received 0",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, direction, frames=7),
            "frames must be 1 to 6 for",
        ),
        (
            lambda: attribution.integrated_gradients(tiny, SEQUENCE, Output(0)),
            "Output is a target over scores; nt_v._tiny gives states. Ask for BaseProbability",
        ),
        (
            lambda: attribution.deletion(
                tiny, SEQUENCE[:60], direction, attribution.gradient_times_input(tiny, SEQUENCE, direction)
            ),
            "must be of this sequence",
        ),
    )
    for ask, message in cases:
        with pytest.raises(ValueError, match=message):
            ask()


def test_gradients_that_are_not_finite_are_refused(tiny):
    weight = tiny.module.esm.encoder.layer[0].attention.self.query.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("inf"))
    try:
        with pytest.raises(ValueError, match="Gradients must be finite"):
            attribution.gradient_times_input(tiny, SEQUENCE, target_of(tiny))
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_memory_that_ends_halves_the_batch():
    from ntviz.attribution.asking import within_memory

    seen = []

    def make(size: int) -> torch.Tensor:
        seen.append(size)
        if size > 3:
            raise (
                torch.OutOfMemoryError("no") if size > 8 else RuntimeError("can't allocate memory: you tried")
            )
        return torch.zeros(1)

    assert within_memory(make, 16)[1] == 2
    assert seen == [16, 8, 4, 2]

    def broken(size: int) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        within_memory(broken, 16)


def test_a_pass_begins_with_what_memory_holds(tiny, monkeypatch):
    from ntviz import environment
    from ntviz.attribution import asking
    from ntviz.attribution.reading import reader

    of = reader(tiny)
    plenty = asking.at_once(of, 100)
    assert plenty == 8_192 // 100
    monkeypatch.setattr(environment, "free_memory", lambda: 1)
    assert asking.at_once(of, 100) == 1


def test_half_precision_is_near_single(tiny):
    """Sums in half precision are off by their rounding, and that is told."""
    half = models.load(FIXTURES / tiny.name, device="cpu", dtype="bfloat16")
    target = target_of(tiny)
    found = attribution.integrated_gradients(half, SEQUENCE, target, most_steps=32)
    single = attribution.integrated_gradients(tiny, SEQUENCE, target, most_steps=32)
    assert np.corrcoef(found.per_token, single.per_token)[0, 1] > 0.95
    change = found.value - found.baseline_value
    assert found.error == pytest.approx(abs(found.per_token.sum() - change) / abs(change))
    assert all(weight.dtype == torch.bfloat16 for weight in half.module.parameters())


def test_windows_of_n_alone_are_told(tiny):
    """Nothing but N: a direction has contributions all the same, a base has no expectation, and shuffles are the sequence itself."""
    found = attribution.integrated_gradients(tiny, "N" * 12, target_of(tiny))
    assert found.complete
    same = attribution.integrated_gradients(tiny, "N" * 12, target_of(tiny), baseline="shuffle", shuffles=2)
    assert same.complete
    np.testing.assert_array_equal(same.per_token, 0)
    with pytest.raises(ValueError, match="base at 3 is N"):
        attribution.integrated_gradients(tiny, "N" * 12, BaseProbability(3, "A"))
