"""Integrated gradients of real windows against a plain loop over captum, in turns; and what completeness costs by baseline.

Run it from the repository: `python benchmarks/attribution.py`. The plain loop is what captum's documentation shows: a sequence at a
time, `LayerIntegratedGradients` on the embedding of words, the batch of a pass left to it, all logits and then the one that is
asked for. Both give the same numbers, which is checked. Times come from one process, in turns. `--model` takes any name or directory.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients

from ntviz import attribution, data, models
from ntviz.attribution.gradients import BASELINES
from ntviz.genome import Interval
from ntviz.reference import Reference

START = 43_028_400  # HNF4A
STEPS = 32


def windows(reference: Reference, count: int, bp: int) -> list[str]:
    """Windows one after the other, without N."""
    return [reference.fetch(Interval("20", START + at * bp, START + (at + 1) * bp)).sequence for at in range(count)]


def plain(model: models.DNAModel, sequences: list[str], position: int, base: str) -> list[np.ndarray]:
    """Contributions of the tokens of each sequence to the log probability of a base, the mask token as the baseline."""
    vocabulary = model.tokenize("A").vocabulary
    found = []
    for sequence in sequences:
        tokens = model.tokenize(sequence)
        index = tokens.token_at(position)
        ids = torch.from_numpy(tokens.ids.copy()).to(model.module.device)[None]
        ids[0, index] = model.mask_id
        other = torch.full_like(ids, model.mask_id)
        other[:, 0] = ids[:, 0]
        place = position - tokens.bases_of(index)[0]
        wanted = torch.from_numpy(vocabulary.kmer_base_codes[:, place] == "ACGT".index(base)).to(ids.device)

        def asked(rows: torch.Tensor, index: int = index, wanted: torch.Tensor = wanted) -> torch.Tensor:
            logits = model.module(input_ids=rows).logits[:, index, vocabulary.kmer_ids]
            return logits.log_softmax(-1)[:, wanted].logsumexp(-1)

        method = LayerIntegratedGradients(asked, model.module.get_input_embeddings())
        made = method.attribute(ids, baselines=other, n_steps=STEPS, method="gausslegendre")
        found.append(made[0].sum(-1).detach().cpu().numpy())
    return found


def compare(model: models.DNAModel, sequences: list[str], rounds: int) -> None:
    """One line: sequences a second each way, and their ratio in the median round."""
    bp = len(sequences[0])
    position, base = bp // 2, "A"
    target = attribution.BaseProbability(position, base)
    ours, theirs = [], []
    for turn in range(rounds + 1):
        begin = time.perf_counter()
        expected = plain(model, sequences, position, base)
        middle = time.perf_counter()
        found = attribution.integrated_gradients(model, sequences, target, steps=STEPS, most_steps=STEPS)
        end = time.perf_counter()
        if turn:  # the first warms up
            theirs.append(middle - begin)
            ours.append(end - middle)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.per_token, other, atol=1e-3 * np.abs(other).max())
    ratio = statistics.median(slow / fast for slow, fast in zip(theirs, ours, strict=True))
    count = len(sequences)
    print(
        f"{count} windows of {bp:,} bp, {STEPS} steps: {count / statistics.median(ours):.2f} a second, plain loop "
        f"{count / statistics.median(theirs):.2f}: {ratio:.2f} times as fast"
    )


def completeness(model: models.DNAModel, sequences: list[str]) -> None:
    """A table: steps until the error is below 1 %, and seconds a sequence, by baseline."""
    bp = len(sequences[0])
    targets = [attribution.BaseProbability(bp // 2, text[bp // 2]) for text in sequences]
    print(
        f"{'baseline':<12} {'draws':>5} {'median steps':>12} {'most':>5} {'complete':>9} {'median error':>12} {'s/sequence':>10}"
    )
    for name in BASELINES:
        begin = time.perf_counter()
        found = attribution.integrated_gradients(model, sequences, targets, baseline=name, steps=8)
        seconds = (time.perf_counter() - begin) / len(sequences)
        steps = [one.steps for one in found]
        print(
            f"{name:<12} {found[0].compared[0].draws:>5} {statistics.median(steps):>12.0f} {max(steps):>5} "
            f"{sum(one.complete for one in found):>4} of {len(found):<2} {statistics.median(one.error for one in found):>12.2%} "
            f"{seconds:>10.2f}"
        )


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ntviz-mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model = models.load(arguments.model, device=arguments.device)
    reference = Reference(data.bundle("chr20"))
    for bp in (1_002, 120):
        compare(model, windows(reference, arguments.count, bp), arguments.rounds)
    completeness(model, windows(reference, arguments.count, 1_002))


if __name__ == "__main__":
    main()
