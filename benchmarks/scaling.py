"""What genome-wide jobs cost by model size and number of devices: the arithmetic behind docs/scaling.md.

Run it from the repository: `python benchmarks/scaling.py`. The rate of this machine is measured (one large matrix product);
the share of it that passes reach is measured by `python benchmarks/models.py`; everything else is counted. A device of
another rate is a division: `--rate` takes its measured operations a second (`pretraining.recipe.matmul_flops` on it).
On a GPU, `python benchmarks/scaling.py --device cuda --dtype bfloat16` measures both, each model with random weights in
its published shape.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from ntviz import models
from ntviz.models import encoder, nucleotide_transformer, registry
from ntviz.pretraining import recipe
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
REACH = 0.8  # share of the rate of one large matrix product that passes reach on CPUs


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, help="operations a second of the device; default: measured here")
    parser.add_argument("--device", help="measure the rate and each model's share of it there: cpu or cuda")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--reach", type=float, default=REACH, help="share of it that passes reach")
    parser.add_argument("--devices", default="1,8,64")
    arguments = parser.parse_args()
    rate = arguments.rate or recipe.peak_flops(arguments.device or "cpu", arguments.dtype)
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
        for job, tokens, flops in jobs(registry.SPECS[name]):
            hours = [flops / (rate * reaches[name]) / n / 3_600 for n in devices]
            print(f"| {name} | {job} | {tokens:.2g} | {flops:.2g} | " + " | ".join(f"{h:.2g}" for h in hours) + " |")


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
    flops = batch * operations(registry.SPECS[name], length, 1)
    return batch * length / min(seconds), flops / min(seconds) / rate


def operations(spec: registry.ModelSpec, tokens: int, answered: int = 0) -> float:
    """Operations of a forward pass over one sequence, with logits at some of its tokens."""
    linear = 4 * spec.hidden**2 + (3 if spec.rotary else 2) * spec.hidden * spec.ffn
    head = spec.hidden**2 + spec.hidden * VOCABULARIES[spec.vocabulary].n_logits
    return 2 * (spec.layers * (tokens * linear + 2 * tokens**2 * spec.hidden) + answered * head)


def jobs(spec: registry.ModelSpec) -> list[tuple[str, float, float]]:
    """Name, tokens and operations of each job."""
    k = VOCABULARIES[spec.vocabulary].k
    tokens, short = (1 + bp // k + bp % k for bp in (min(spec.max_bp, 6_000), TASK_BP))
    readings = 2 * CHR20 / k  # one a token and strand serves the 18 substitutions of its six bases
    attended = 3 * WINDOWS  # as they are, shuffled, and by the random twin
    beside = tokens**2 * spec.layers * (4 * spec.hidden + 60 * spec.heads)
    probed = 2 * SEQUENCES  # the model and its random twin
    tuned = TASKS * FOLDS * STEPS * BATCH
    return [
        ("all SNVs of chr20", readings * tokens, readings * operations(spec, tokens, 1)),
        ("attention, 90,000 windows", attended * tokens, attended * (operations(spec, tokens) + beside)),
        ("18 tasks, probes", probed * short, probed * operations(spec, short)),
        ("18 tasks x 10 folds, IA3", tuned * short, 3 * tuned * operations(spec, short)),
    ]


if __name__ == "__main__":
    main()
