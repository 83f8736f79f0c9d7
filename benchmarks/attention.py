"""Observing attention beside holding every map: time and peak memory, and beside the plain forward pass; cost by length.

Run it from the repository: `python benchmarks/attention.py`. Random weights in a published shape, with queries and keys
enlarged until attention is peaked, so that counting has something to count. Times of one length come from one process,
in turns, the best of several; memory from processes of their own. On a GPU: `--device cuda --shape v2-500m`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ntviz import attention, tokens
from ntviz.attention.memory import sequences_a_pass
from ntviz.models import encoder, registry
from ntviz.models.nucleotide_transformer import NucleotideTransformer

THRESHOLD = 0.3
WINDOWS = 90_000  # of the published analysis


def build(shape: str, device: str, dtype: str) -> NucleotideTransformer:
    """A model of a published shape with random weights and peaked attention."""
    spec = registry.SPECS[shape]
    config = {
        "hidden_size": spec.hidden, "num_hidden_layers": spec.layers, "num_attention_heads": spec.heads,
        "intermediate_size": spec.ffn, "max_position_embeddings": 8194, "vocab_size": 4107,
        "position_embedding_type": "rotary", "add_bias_fnn": False, "layer_norm_eps": 1e-12, "token_dropout": False,
    }  # fmt: skip
    torch.manual_seed(0)
    module = encoder.build(config).eval()
    for layer in module.esm.encoder.layer:
        layer.attention.self.query.weight.data.mul_(4)
        layer.attention.self.key.weight.data.mul_(4)
    module = module.to(device, getattr(torch, dtype))
    return NucleotideTransformer(module, tokens.Tokenizer(tokens.VOCABULARIES["nt-v2"]), shape, 8192, {})


def sequence(model: NucleotideTransformer, length: int, seed: int = 0) -> tokens.Tokens:
    """Random bases of `length` tokens, `<cls>` included."""
    letters = np.random.default_rng(seed).choice(list("ACGT"), 6 * (length - 1))
    return model.tokenize("".join(letters))


def eager(model: NucleotideTransformer, one: tokens.Tokens) -> np.ndarray:
    """Every map at once, then counted: what is done without observers."""
    module = model.module
    ids = torch.from_numpy(one.ids)[None].to(module.device)
    module.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            maps = module.esm(input_ids=ids, output_attentions=True).attentions
            return np.stack([(layer[0, :, 1:] > THRESHOLD).sum(1).cpu().numpy() for layer in maps])
    finally:
        module.set_attn_implementation("sdpa")


def plain(model: NucleotideTransformer, one: tokens.Tokens) -> None:
    """The fused forward pass without the output layer, which no observer needs."""
    model.forward(one, outputs=())


def counts(model: NucleotideTransformer, one: tokens.Tokens) -> np.ndarray:
    """Counts above the threshold, observed."""
    return attention.observe(model, one, above=attention.Above(THRESHOLD)).above.counts


def means(model: NucleotideTransformer, one: tokens.Tokens) -> Any:
    """Entropy, distance and received attention together, observed."""
    return attention.observe(
        model, one, entropy=attention.Entropy(), distance=attention.Distance(), received=attention.Received()
    )


CASES: dict[str, Callable[[NucleotideTransformer, tokens.Tokens], Any]] = {
    "plain": plain,
    "counts": counts,
    "means": means,
    "eager": eager,
}


def wait(device: str) -> None:
    """Until the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def times(model: NucleotideTransformer, length: int, cases: list[str], rounds: int) -> dict[str, float]:
    """Best seconds of each case, run in turns."""
    one, device = sequence(model, length), model.module.device.type
    best = dict.fromkeys(cases, float("inf"))
    for turn in range(rounds):
        for name in cases:
            if name == "eager" and turn > 1:
                continue
            wait(device)
            began = time.perf_counter()
            CASES[name](model, one)
            wait(device)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def rates(model: NucleotideTransformer, length: int, rounds: int) -> dict[str, float]:
    """Windows a second that are counted one by one, and in passes of several: of as many as fill a GPU, of 4 on a CPU."""
    size, device = max(4, sequences_a_pass(model, length)), model.module.device.type
    several, best = [sequence(model, length, seed) for seed in range(size)], {"alone": 0.0, "together": 0.0}
    for _ in range(rounds):
        for name, passes in (("alone", several), ("together", [several])):
            wait(device)
            began = time.perf_counter()
            for one in passes:
                attention.observe(model, one, above=attention.Above(THRESHOLD))
            wait(device)
            best[name] = max(best[name], size / (time.perf_counter() - began))
    return best | {"size": size}


def memory(field: str) -> int:
    """Bytes of this process from the kernel's own account: VmRSS now, VmHWM the most since the last reset."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))


def peak(model: NucleotideTransformer, length: int, name: str) -> int:
    """Bytes at the peak of one case beyond the loaded model."""
    CASES[name](model, sequence(model, 64))
    one = sequence(model, length)
    if model.module.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        CASES[name](model, one)
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    CASES[name](model, one)
    return memory("VmHWM") - before


def apart(chosen: argparse.Namespace, case: str, length: int) -> Any:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--length", str(length), "--shape", chosen.shape]
    command += ["--device", chosen.device, "--dtype", chosen.dtype, "--rounds", str(chosen.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the table of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="v2-50m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", type=int, nargs="*", default=[250, 500, 1000, 2048, 4000, 8000])
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--length", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        model = build(chosen.shape, chosen.device, chosen.dtype)
        if chosen.case == "times":
            print(json.dumps(times(model, chosen.length, list(CASES), chosen.rounds)))
        elif chosen.case == "lengths":
            print(json.dumps(times(model, chosen.length, ["plain", "counts"], 2)))
        elif chosen.case == "rates":
            print(json.dumps(rates(model, chosen.length, min(chosen.rounds, 3))))
        elif chosen.case == "equal":
            one = sequence(model, chosen.length)
            seen, held = counts(model, one), eager(model, one)
            print(json.dumps({"pairs": int(held.sum()), "different": int(np.abs(seen - held).sum())}))
        else:
            print(json.dumps(peak(model, chosen.length, chosen.case)))
        return
    print(f"{chosen.shape}, random weights, {chosen.dtype}, {chosen.device}; threshold {THRESHOLD}")
    for length in (1000, 2048):
        seconds = apart(chosen, "times", length)
        peaks = {name: apart(chosen, name, length) for name in CASES}
        same = apart(chosen, "equal", length)
        print(f"{length:,} tokens: {same['pairs']:,} pairs above, {same['different']} counted differently")
        for name in CASES:
            print(
                f"  {name:7} {seconds[name]:7.2f} s = {seconds[name] / seconds['plain']:5.2f} x plain, "
                f"{seconds[name] / seconds['eager']:5.3f} x eager; peak {peaks[name] / 1e6:7,.0f} MB = "
                f"{peaks[name] / peaks['eager']:5.3f} x eager"
            )
        rate = apart(chosen, "rates", length)
        for name, how in (("alone", "one by one"), ("together", f"{rate['size']} a pass")):
            print(f"  {rate[name]:.2f} windows a second {how}; {WINDOWS:,} in {WINDOWS / rate[name] / 3600:.1f} h")
    print("counts by length")
    for length in chosen.lengths:
        seconds, most = apart(chosen, "lengths", length), apart(chosen, "counts", length)
        print(
            f"  {length:5,} tokens: {seconds['counts']:6.2f} s = {seconds['counts'] / seconds['plain']:4.2f} x plain; "
            f"peak {most / 1e6:6,.0f} MB = {most / length / 1e3:5.1f} kB a token"
        )


if __name__ == "__main__":
    main()
