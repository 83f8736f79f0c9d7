"""Seconds and memory of SegmentNT's and NTv3-650M's shapes, random weights, for 10 kb and 100 kb; each beside its encoder alone.

    python benchmarks/segments.py [--device cuda --dtype bfloat16] [--bp 10000 100000]

SegmentNT reads 100 kb in windows of 30 kb that overlap; NTv3 reads 106,496 bp (a multiple of 128) at once. The ratio is to the same
shape's encoder: of SegmentNT the passes without the U-Net, of NTv3 the attention blocks without the convolutions.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

NTV3 = {
    "alphabet_size": 11, "token_embed_dim": 16, "conv_init_embed_dim": 1536, "embed_dim": 1536, "ffn_embed_dim": 6144,
    "attention_heads": 24, "key_size": 64, "num_layers": 12, "num_downsamples": 7, "layer_norm_eps": 1e-5,
    "model_type": "ntv3",
}  # fmt: skip
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def seconds(call, device: str, *, warm: bool) -> float:
    """Of a call, after one before it where it should be warm: what takes minutes needs none."""
    if warm:
        call()
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def measure(family: str, bp: int, device: str, dtype: str) -> None:
    """Print one line."""
    from ntviz import models
    from ntviz.models.ntv3 import NTv3
    from ntviz.models.ntv3_network import NTv3Network
    from ntviz.tokens import Tokenizer

    text = "".join(np.random.default_rng(0).choice(list("ACGT"), bp))
    if family == "SegmentNT":
        model = models.untrained(hidden=1024, ffn=4096, layers=29, heads=16)
        model = type(model)(model._ready(model.module, torch.device(device), DTYPES[dtype]), *[getattr(model, name) for name in ("tokenizer", "name", "max_tokens", "info")])  # fmt: skip
        whole = lambda: model.segment(text)  # noqa: E731
        unet = model.module.unet.forward

        def part() -> None:
            model.module.unet.forward = lambda x: x
            try:
                model.segment(text)
            finally:
                model.module.unet.forward = unet
    else:
        text = text[: bp // 128 * 128]
        network = NTv3Network.fresh(NTV3).to(device, DTYPES[dtype]).eval()
        model = NTv3(network, Tokenizer("single-base"), "NTv3-650M's shape", 1 << 20, {})
        ids = torch.from_numpy(np.array(model.tokenizer(text).ids))[None]
        states = torch.randn(1, len(text) // 128, 1536, device=device, dtype=DTYPES[dtype])

        def whole() -> None:
            with torch.inference_mode():
                network.logits(model.read(ids).hidden.native[-1]).float().cpu()

        def part() -> None:
            x = states
            with torch.inference_mode():
                for block in network.transformer_blocks:
                    x, _ = block(x, None)

    parameters = sum(weight.numel() for weight in model.module.parameters())
    all_, encoder = (seconds(call, device, warm=device == "cuda" or bp < 50_000) for call in (whole, part))
    peak = (
        torch.cuda.max_memory_allocated()
        if device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    print(f"{family:<10} {parameters / 1e6:6.0f} M {len(text):>8,} bp {dtype:<9} {all_:8.2f} s  {peak / 1e9:5.1f} GB  {all_ / encoder:6.2f} x the encoder", flush=True)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--bp", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    if asked.only:
        measure(asked.only, asked.bp[0], asked.device, asked.dtype)
    else:  # a process each, so that memory is its own
        for family in ("SegmentNT", "NTv3"):
            for bp in asked.bp:
                subprocess.run([sys.executable, __file__, "--only", family, "--bp", str(bp), "--device", asked.device, "--dtype", asked.dtype], check=False)  # fmt: skip
