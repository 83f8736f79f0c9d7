"""How many times as fast as transformers' EsmTokenizer ours is, on 12,282 bp, the longest input of NT v2.

Run it from the repository: `python benchmarks/tokenizer.py`. Both run in turn in one process, so the ratio holds on
a busy machine too. The ids are compared before the clock starts; the exit code is 1 below 10 times.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from transformers import EsmTokenizer

from ntviz.tokens import VOCABULARIES, Tokenizer

LENGTH = 12_282
GOAL = 10.0


def published_tokenizer(name: str, folder: Path) -> EsmTokenizer:
    """EsmTokenizer on the vocabulary, with the special tokens of the published repositories: no <eos>."""
    (folder / "vocab.txt").write_bytes(VOCABULARIES[name].to_text().encode())
    return EsmTokenizer(str(folder / "vocab.txt"), eos_token=None, model_max_length=2048)


def median_seconds(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of one call of each function; the functions take turns, after one call to warm up."""
    seconds: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, times in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            if repeat:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def main() -> int:
    """Print a line for each kind of sequence; 0 when every ratio reaches the goal."""
    parser = argparse.ArgumentParser(description="Tokenizer of ntviz against transformers' EsmTokenizer")
    parser.add_argument("--repeats", type=int, default=101, help="timed calls of each (default 101)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    name = "nt-v2"
    cases = {
        "A, C, G, T": [1, 1, 1, 1, 0],
        "1 % N, scattered": [1, 1, 1, 1, 4 / 99],
        "20 % N, scattered": [1, 1, 1, 1, 1],
    }
    sequences = {what: "".join(rng.choices("ACGTN", weights, k=LENGTH)) for what, weights in cases.items()}
    # As in a genome: the unknown bases lie together.
    plain = sequences["A, C, G, T"]
    sequences["20 % N, one block"] = plain[:5000] + "N" * (LENGTH // 5) + plain[5000 + LENGTH // 5 :]
    ours = Tokenizer(name)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = published_tokenizer(name, Path(folder))
        theirs.model_max_length = LENGTH + 1
        print(f"{LENGTH:,} bp, vocabulary {name}, median of {arguments.repeats} calls")
        for what, sequence in sequences.items():
            if ours(sequence).ids.tolist() != theirs(sequence)["input_ids"]:
                raise SystemExit(f"The ids differ from EsmTokenizer's on {what!r}: the comparison would mean nothing.")
            their_seconds, our_seconds = median_seconds(
                [lambda sequence=sequence: theirs(sequence), lambda sequence=sequence: ours(sequence)],
                arguments.repeats,
            )
            ratios.append(their_seconds / our_seconds)
            print(
                f"{what:<18} EsmTokenizer {1e3 * their_seconds:7.3f} ms   ntviz {1e3 * our_seconds:6.3f} ms   "
                f"ratio {ratios[-1]:6.1f}"
            )
    print(f"smallest ratio {min(ratios):.1f} (goal: at least {GOAL:.0f})")
    return 0 if min(ratios) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
