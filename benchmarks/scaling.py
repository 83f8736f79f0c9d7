"""What genome-wide jobs cost by model size and number of devices: the arithmetic behind docs/scaling.md.

Run it from the repository: `python benchmarks/scaling.py`. The rate of this machine is measured (one large matrix product);
the share of it that passes reach is measured by `python benchmarks/models.py`; everything else is counted. A device of
another rate is a division: `--rate` takes its measured operations a second (`pretraining.speed.matmul_flops` on it).
On a GPU, `python benchmarks/scaling.py --device cuda --dtype bfloat16` measures both, each model with random weights in
its published shape.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from ntviz import models
from ntviz.environment import costing
from ntviz.models import encoder, nucleotide_transformer, registry
from ntviz.pretraining import recipe, speed
from ntviz.tokens import VOCABULARIES, Tokenizer

MODELS = (
    "ntviz-mini",
    "v2-50m",
    "v2-100m",
    "v2-250m",
    "v2-500m",
    "v1-500m-human-ref",
    "v1-2.5b-multi-species",
)
CHR20 = 59_505_520  # bases of GRCh37's chromosome 20 that are known
SEQUENCES = 510_647  # of the 18 original tasks
TASKS, FOLDS, STEPS, BATCH, TASK_BP = 18, 10, 10_000, 8, 500
WINDOWS = 90_000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rate", type=float, help="operations a second of the device; default: measured here"
    )
    parser.add_argument("--device", help="measure the rate and each model's share of it there: cpu or cuda")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--reach", type=float, default=costing.REACH, help="share of it that passes reach")
    parser.add_argument("--devices", default="1,8,64")
    arguments = parser.parse_args()
    rate = arguments.rate or speed.peak(arguments.device or "cpu", arguments.dtype)
    devices = [int(number) for number in arguments.devices.split(",")]
    reaches = dict.fromkeys(arguments.models, arguments.reach)
    print(f"{rate:.3g} operations a second in {arguments.dtype}")
    for name in arguments.models:
        if arguments.device:
            passed, reaches[name] = reached(name, rate, arguments.device, arguments.dtype)
            print(f"{name}: {passed:,.0f} tokens a second, {reaches[name]:.0%} of it")
    print(flush=True)
    print("| model | job | tokens read | operations | " + " | ".join(f"hours on {n}" for n in devices) + " |")
    print("|---|---|---|---|" + "---|" * len(devices))
    for name in arguments.models:
        outline = models.outline(name)
        for job, tokens, flops in jobs(outline):
            hours = [flops / (rate * reaches[name]) / n / 3_600 for n in devices]
            print(
                f"| {name} | {job} | {tokens:.2g} | {flops:.2g} | "
                + " | ".join(f"{h:.2g}" for h in hours)
                + " |"
            )


def reached(name: str, rate: float, device: str, dtype: str) -> tuple[float, float]:
    """Tokens a second of passes over up to 1,000 tokens with the logits of one, and the share of a rate they reach."""
    if name in recipe.RECIPES:
        spec = registry.SPECS[name]
        with torch.device(device):
            module = encoder.build(recipe.named(name).config()).eval().to(getattr(torch, dtype))
        tokenizer = Tokenizer(VOCABULARIES[spec.vocabulary])
        model = nucleotide_transformer.NucleotideTransformer(module, tokenizer, name, spec.max_tokens, {})
    else:
        model = models.load(name, device=device, dtype=dtype)
    length, batch = min(1000, model.max_tokens), 1 if device == "cpu" else 64
    ids = np.random.default_rng(0).integers(6, 4102, (batch, length))
    ids[:, 0] = model.tokenizer.vocabulary.cls_id
    seconds = []
    for _ in range(2 if device == "cpu" else 5):
        began = time.perf_counter()
        model.forward(ids, at=np.full((batch, 1), length // 2))
        seconds.append(time.perf_counter() - began)
    flops = batch * models.outline(name).shape.flops(length, 1)
    return batch * length / min(seconds), flops / min(seconds) / rate


def jobs(outline: models.Outline) -> list[tuple[str, float, float]]:
    """Name, tokens and operations of each job."""
    shape, k = outline.shape, outline.vocabulary.k if outline.vocabulary else 1
    longest = min(outline.max_bp, 6_000)
    tokens = outline.tokens(longest)
    readings = 2 * CHR20 / k  # one a token and strand serves the 18 substitutions of its six bases
    attended = 3 * WINDOWS  # as they are, shuffled, and by the random twin
    beside = 4 * shape.layers * tokens**2 * shape.hidden + 60 * shape.layers * shape.heads * tokens**2
    short = outline.tokens(TASK_BP)
    probed = 2 * SEQUENCES  # the model and its random twin
    tuned = TASKS * FOLDS * STEPS * BATCH
    return [
        ("all SNVs of chr20", readings * tokens, readings * shape.flops(tokens, 1)),
        ("attention, 90,000 windows", attended * tokens, attended * (shape.flops(tokens) + beside)),
        ("18 tasks, probes", probed * short, probed * shape.flops(short)),
        ("18 tasks x 10 folds, IA3", tuned * short, 3 * tuned * shape.flops(short)),
    ]


if __name__ == "__main__":
    main()
