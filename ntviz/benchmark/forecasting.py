"""What a matrix will take, before a model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ntviz import models as package
from ntviz.benchmark.finding import find_task, several
from ntviz.benchmark.methods import Method
from ntviz.benchmark.methods import method as named
from ntviz.benchmark.settings import Settings
from ntviz.benchmark.task import Task
from ntviz.environment import costing

if TYPE_CHECKING:
    from ntviz.models.outlines import Outline

_BACKWARD = 3
"""A training step takes this many times its forward pass."""
_BATCH_TOKENS = 16_384


def forecast(
    *,
    tasks: Sequence[str | Task],
    models: Sequence[str] = (),
    methods: Sequence[str] = ("logistic", "kmer", "gc", "majority"),
    settings: Settings | None = None,
    seeds: Sequence[int] = (0,),
    twins: bool = True,
    rate: float,
    itemsize: int = 4,
    reach: float = costing.REACH,
) -> costing.Forecast:
    """Tokens, seconds, bytes and cells of a `run`, for one device; as if nothing of it were done yet.

    It is the work of models that is counted: vectors for probes, once for each task, model and random twin, and training.
    Fitting probes, and networks that learn from nothing, come on top, on the CPU.

    Parameters
    ----------
    tasks, models, methods, settings, seeds, twins
        As of `run`; models by name.
    rate
        Operations a second of a large matrix product; see `pretraining.speed.matmul_flops`.
    itemsize
        Bytes of a number of the model.
    reach
        Share of the rate that a forward pass reaches.

    Raises
    ------
    ValueError
        A name is unknown, a task cannot be read, or the rate or the reach is not above 0.
    """
    settings = settings or Settings()
    chosen = [named(name) for name in dict.fromkeys(several(methods))]
    found = [find_task(task) if isinstance(task, str) else task for task in several(tasks)]
    outlines = [package.outline(name) for name in several(models)]
    seconds, units, memory = 0.0, 0, costing.PROCESS
    for outline in outlines:
        work = [one for task in found for one in _work(outline, task, chosen, settings, len(seeds), twins)]
        longest = max((outline.tokens(task.lengths[1]) for task in found), default=1)
        memory = max(memory, _memory(outline, longest, chosen, itemsize))
        one = costing.forecast(outline.shape, work, rate=rate, memory_bytes=memory, pieces=1, reach=reach)
        seconds, units = seconds + one.seconds, units + one.units
    cells = [
        (len(outlines) if method.needs_model else 1)
        * (2 if twins and method.needs_model and method.family == "probe" else 1)
        for method in chosen
    ]
    return costing.Forecast(units, seconds, memory, len(found) * len(seeds) * sum(cells))


def _work(
    outline: Outline, task: Task, chosen: Sequence[Method], settings: Settings, seeds: int, twins: bool
) -> Iterator[costing.Passes]:
    """All that one model reads for one task."""
    train = len(task.train) if settings.train_cap is None else min(len(task.train), settings.train_cap)
    held = 0 if task.test is None else len(task.test)
    lengths = Counter(
        outline.tokens(len(text)) for part in task.parts.values() for text in part.sequences.tolist()
    )
    whole = sum(lengths.values())
    capped = (train + held) / whole if whole else 0.0
    families = {method.family for method in chosen if method.needs_model and task.kind in method.kinds}
    if "probe" in families:
        # The twin of each seed is another model.
        times = (1 + seeds * twins) * (1 + settings.both_strands)
        yield from (
            costing.Passes(round(count * capped) * times, tokens) for tokens, count in lengths.items()
        )
    mean = round(sum(tokens * count for tokens, count in lengths.items()) / whole) if whole else 0
    folds = 1 if task.test is not None and not settings.refold else settings.n_folds
    judged = held if folds == 1 else train + held
    for method in chosen:
        if method.family == "tuned" and task.kind in method.kinds:
            from ntviz.benchmark import training

            recipe = training.recipe(method, settings)
            looked = recipe.steps // recipe.evaluate_every * train // 10
            passes = _BACKWARD * recipe.steps * recipe.batch_size + looked
            yield costing.Passes(seeds * (folds * passes + judged), mean)


def _memory(outline: Outline, longest: int, chosen: Sequence[Method], itemsize: int) -> int:
    """Of the hungriest method."""
    shape = outline.shape
    together = max(1, _BATCH_TOKENS // longest) * longest
    most = shape.memory(together, kept=shape.layers, itemsize=itemsize)
    for method in chosen:
        if method.family == "tuned":
            from ntviz import finetuning

            batch = finetuning.RECIPES[method.name].batch_size * longest
            # Gradients and two moments of all that is trained, and activations of every layer until they are used.
            moved = 3 * 4 * shape.parameters if method.name == "full" else 0
            kept = 4 * batch * shape.layers * (10 * shape.hidden + 4 * shape.ffn)
            most = max(most, shape.memory(batch, itemsize=itemsize) + moved + kept)
    return most
