"""Vectors of sequences of mixed lengths, against a plain loop that pads each batch to its longest.

Run it from the repository: `python benchmarks/embeddings.py`. Both use the same model, dtype and number of threads, in turns,
in one run; the plain loop takes the sequences as they come, 32 at a time, and asks transformers for the last hidden states.

Predicted before: lengths from 100 to 1,500 bp padded to the longest of 32 waste about 45 % of the tokens, so 1.7 to 1.9 times
as fast. Measured: see the README.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from ntviz import embeddings, models

N, BATCH, ROUNDS = 512, 32, 3


def plain(model: models.DNAModel, sequences: list[str]) -> np.ndarray:
    """Mean last hidden states [sequence, hidden], batch by batch as they come."""
    rows = []
    for start in range(0, len(sequences), BATCH):
        tokens = [model.tokenize(text) for text in sequences[start : start + BATCH]]
        ids, mask = model.tokenizer.batch(tokens)
        with torch.inference_mode():
            states = model.module.esm(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state
        weights = torch.from_numpy(mask).float()
        weights[:, 0] = 0
        rows.append((states * weights[..., None]).sum(1) / weights.sum(1, keepdim=True))
    return torch.cat(rows).numpy()


def main() -> None:
    """Prints seconds, tokens a second and the ratio."""
    rng = np.random.default_rng(0)
    model = models.load()
    sequences = ["".join(rng.choice(list("ACGT"), int(n))) for n in rng.integers(100, 1_500, N)]
    tokens = sum(len(model.tokenize(text)) for text in sequences)
    seconds: dict[str, list[float]] = {"plain": [], "ntviz": []}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        expected = plain(model, sequences)
        seconds["plain"].append(time.perf_counter() - began)
        began = time.perf_counter()
        found = embeddings.embed(model, sequences, layers=[model.layers]).layer(model.layers)
        seconds["ntviz"].append(time.perf_counter() - began)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    for name, each in seconds.items():
        print(f"{name:<6} {min(each):6.2f} s  {tokens / min(each):10,.0f} tokens a second")
    print(f"ratio  {min(seconds['plain']) / min(seconds['ntviz']):6.2f} (asked: 1.5)")


if __name__ == "__main__":
    main()
