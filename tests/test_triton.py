"""Counting in one kernel against counting by hand: in Triton's interpreter, and compiled for GPUs that need not be here."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ntviz import attention, models
from ntviz.attention import triton_counts

BASES = "".join(np.random.default_rng(3).choice(list("ACGT"), 400)) + "GATTACA" * 6

# Triton decides when it is imported whether it interprets: only a process of its own leaves no trace in this one.
INTERPRETED = """
import sys
import torch
from ntviz import attention, models
from ntviz.attention import triton_counts

torch.set_num_threads(1)

calls, kernel = [], triton_counts.above
triton_counts.above = lambda *a, **o: (calls.append(o["threshold"]), kernel(*a, **o))[1]
source, target = sys.argv[1:]
given = torch.load(source)
answer = {"without Triton": "triton" not in sys.modules}
answer |= {"available": triton_counts.available("cpu"), "trial": triton_counts._works(torch.device("cpu"))}
answer["cases"] = {name: torch.stack(kernel(**case)) for name, case in given["cases"].items()}
mini, calls[:] = models.load("ntviz-mini"), []
seen = attention.observe(mini, mini.tokenize(given["bases"]), above=attention.Above(layers=(2,))).above
answer |= {"calls": calls[:], "model": torch.stack([*map(torch.from_numpy, vars(seen).values())])}
pair, chosen = [mini.tokenize(text) for text in (given["bases"], given["bases"][::-1])], {"layers": (0, 2), "heads": (1, 6)}
alone = [attention.observe(mini, one, above=attention.Above(**chosen)).above for one in pair]
calls[:] = []
together = attention.observe(mini, pair, above=attention.Above(**chosen), again=attention.Above(0.5))
numbers = [[{name: torch.from_numpy(n) for name, n in vars(one).items()} for one in side] for side in (alone, [one.above for one in together])]
answer["launches"], answer["pair"] = len(calls), numbers
torch.save(answer, target)
"""

# What a launch decides from its arguments is spelled out here: kinds of numbers, and multiples of 16 among strides.
COMPILED = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ntviz.attention import triton_counts

kernel = triton_counts._kernel()
kinds = dict.fromkeys(("lengths", "counts", "from_special", "paired", "mirrored"), "*i64")
kinds |= {"specials": "*u8", "scaling": "fp32", "log_threshold": "fp32"}
answer = []
for capability, dtype, dim in json.loads(sys.argv[1]):
    rows, columns, depth, warps, stages = triton_counts._blocks(dim, 4 if dtype == "fp32" else 2)
    fixed = {"dim": dim, "depth": depth, "padded": -(-dim // depth) * depth, "rows": rows, "columns": columns}
    fixed |= {"q_dim": 1, "k_dim": 1}
    kinds |= {"query": f"*{dtype}", "key": f"*{dtype}"}
    signature = {name: "constexpr" if name in fixed else kinds.get(name, "i32") for name in kernel.arg_names}
    strides = [f"{one}_{axis}" for one in "qk" for axis in ("batch", "head", "token")] if dim % 16 == 0 else []
    aligned = ["query", "key", *strides]
    attributes = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    made = triton.compile(
        ASTSource(kernel, signature, constexprs=fixed, attrs=attributes),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True},
    )
    answer.append([made.metadata.shared, "mma" in made.asm["ptx"], len(made.asm["cubin"])])
print(json.dumps(answer))
"""


def case(dim, lengths, *, tokens=None, threshold=0.3, gain=2.0, heads=2, dtype="float32", seed=0, special=()):
    """Random queries and keys [batch, head, token, head_dim], in the layout that models give them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), tokens or max(lengths), heads, dim)
    query, key = (torch.randn(shape, generator=generator).transpose(1, 2) for _ in range(2))
    is_special = torch.zeros(shape[:2], dtype=torch.bool)
    is_special[:, [0, *special]] = True
    dtype = getattr(torch, dtype)
    return {
        "query": query.to(dtype), "key": key.to(dtype), "scaling": gain * dim**-0.5, "threshold": threshold,
        "lengths": list(lengths), "is_special": is_special,
    }  # fmt: skip


def aimed(shift, gain=30.0):
    """Each query looks at the key `shift` tokens further on, round and round; one head, 150 tokens."""
    made = case(64, [150], heads=1, gain=gain, seed=9, special=(70,))
    made["query"] = torch.nn.functional.normalize(made["key"], dim=-1).roll(-shift, dims=2)
    made["key"] = torch.nn.functional.normalize(made["key"], dim=-1)
    return made | {"scaling": gain}


CASES = {
    "head_dim 32, padding": case(32, [150, 97], gain=3.0, seed=1, special=(40, 96)),
    "head_dim 48, a sequence of one token": case(48, [70, 1], threshold=0.05, gain=1.5, seed=2),
    "head_dim 75, one block exactly": case(75, [64, 130], heads=1, seed=3),
    "head_dim 128": case(128, [90], gain=4.0, seed=4),
    "more padding than tokens, an empty sequence": case(32, [10, 0], tokens=140, gain=3.0, seed=5),
    "a few tokens": case(16, [5], threshold=0.2, gain=1.0, seed=6),
    "many above": case(64, [129], heads=1, threshold=0.01, gain=1.0, seed=7),
    "high threshold, peaked": case(64, [129], heads=1, threshold=0.9, gain=40.0, seed=8),
    "the next token": aimed(1),
    "the last token but 20": aimed(-20),
    "the other end": aimed(75),
    "bfloat16": case(64, [129, 65], heads=1, gain=4.0, seed=10, dtype="bfloat16"),
    "float16": case(48, [100], gain=4.0, seed=11, dtype="float16"),
}
OUT = torch.full((4, 1, 4, 80), 1000, dtype=torch.int64)[:, :, ::2]
CASES["added to"] = case(32, [80], gain=3.0, seed=13) | {"out": OUT}
CASES["ties"] = case(16, [4], threshold=0.25) | {"query": torch.zeros(1, 1, 4, 16), "key": torch.zeros(1, 1, 4, 16), "is_special": torch.zeros(1, 4, dtype=torch.bool)}  # fmt: skip


def by_hand(made):
    """[4, batch, head, token], one pair at a time in double precision."""
    query, key = made["query"].double(), made["key"].double()
    found = torch.zeros(4, *query.shape[:3], dtype=torch.int64)
    for batch, n in enumerate(made["lengths"]):
        scores = query[batch, :, :n] @ key[batch, :, :n].transpose(-1, -2) * made["scaling"]
        special = made["is_special"][batch].tolist()
        for head, i, j in (torch.softmax(scores, -1) > made["threshold"]).nonzero().tolist():
            found[int(special[i]), batch, head, j] += 1
            mirror = 2 * i - j
            if 0 <= mirror < n and not (special[i] or special[j] or special[mirror]):
                found[2, batch, head, j] += 1
                found[3, batch, head, mirror] += 1
    return found


def near(made, within=1e-5):
    given = {name: made[name] for name in ("query", "key", "scaling", "lengths", "threshold")}
    return triton_counts.near_threshold(**given, within=within)


def run(code, *arguments, **variables):
    """A process of its own; what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=kept | variables | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """What Triton's interpreter makes of everything above."""
    folder = tmp_path_factory.mktemp("triton")
    torch.save({"cases": CASES, "bases": BASES}, folder / "given.pt")
    run(INTERPRETED, folder / "given.pt", folder / "answer.pt", TRITON_INTERPRET="1")
    return torch.load(folder / "answer.pt")


def test_the_interpreter_runs_it_and_the_import_leaves_triton_alone(interpreted):
    assert interpreted["without Triton"] and interpreted["available"] and interpreted["trial"]


@pytest.mark.parametrize("name", CASES)
def test_counts_are_those_made_by_hand(interpreted, name):
    made = CASES[name]
    expected = by_hand(made)
    found = interpreted["cases"][name] - (1000 if "out" in made else 0)
    different = (found - expected).abs().sum(-1)
    # A pair at the threshold may fall on either side; it counts once in one of the first two and once in the others.
    assert (different <= near(made)).all(), f"{different.sum((1, 2)).tolist()} of {expected.sum().item()} counts"
    assert name == "ties" or (near(made).sum() == 0 and expected[0].sum() > 0)
    for batch, length in enumerate(made["lengths"]):
        assert not found[:, batch, :, length:].any()


def test_the_cases_reach_every_branch():
    total = {name: by_hand(made).sum((1, 2, 3)) for name, made in CASES.items()}
    assert total["the next token"].tolist() == [148, 2, 144, 144]
    assert total["many above"][0] > 1000
    assert all(total["head_dim 32, padding"] > 0)
    assert near(CASES["ties"]).tolist() == [[16]]


def test_bfloat16_moves_only_what_its_rounding_can(interpreted):
    rounded, exact = CASES["bfloat16"], case(64, [129, 65], heads=1, gain=4.0, seed=10)
    scores = [one["query"].double() @ one["key"].double().mT * one["scaling"] for one in (exact, rounded)]
    # Scores and their log-sum-exp move by no more than the largest error of a score.
    moved = float((scores[0] - scores[1]).abs().max())
    different = (interpreted["cases"]["bfloat16"] - by_hand(exact)).abs().sum(-1)
    possible, counted = near(exact, within=-math.expm1(-2 * moved)), int(by_hand(exact)[:2].sum())
    assert 0 < possible.sum() < counted
    assert (different <= possible).all(), f"{different.sum((1, 2)).tolist()} of {counted} counts differ"


def test_layers_of_a_model_are_counted_as_by_plain_torch(interpreted):
    mini = models.load("ntviz-mini")
    plain = attention.observe(mini, mini.tokenize(BASES), above=attention.Above(layers=(2,))).above
    expected = np.stack([plain.counts, plain.from_special, plain.paired, plain.mirrored])
    assert interpreted["calls"] == [0.3]
    # At the threshold lie no more than two pairs.
    assert (np.abs(interpreted["model"].numpy() - expected).sum((1, 2, 3)) <= 2).all()
    assert plain.counts.sum() > 100


def test_sequences_of_one_length_take_one_launch_a_layer(interpreted):
    assert interpreted["launches"] == 2 + 4  # of layers 0 and 2, and of all four for the other threshold
    for alone, together in zip(*interpreted["pair"], strict=True):
        assert alone["counts"].shape[:2] == (2, 2) and alone["counts"].sum() > 0
        assert all((alone[name] == together[name]).all() for name in alone)


def test_it_compiles_for_gpus(tmp_path):
    wanted = [(90, "fp32", 128), (86, "bf16", 75)]
    made = json.loads(run(COMPILED, json.dumps(wanted), TRITON_CACHE_DIR=str(tmp_path)))
    for (_, dtype, _), (shared, on_tensor_cores, size) in zip(wanted, made, strict=True):
        assert shared <= 101_376, "more shared memory than a block has on compute capability 8.6 and 8.9"
        assert on_tensor_cores == (dtype != "fp32")
        assert size > 1000


def test_without_triton_there_is_no_kernel_and_one_that_does_not_work_is_said(monkeypatch):
    assert not triton_counts.available("cpu")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert triton_counts.available("cpu")
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not triton_counts.available("cpu") and not triton_counts.available("cuda")
    with pytest.warns(RuntimeWarning, match=r"not work on cpu.*plain torch instead.*ModuleNotFoundError"):
        assert not triton_counts._works.__wrapped__(torch.device("cpu"))


def test_pairs_near_the_threshold_are_counted_in_pieces():
    made = case(32, [600], gain=1.0, threshold=0.01, seed=14)
    weights = torch.softmax(made["query"].double() @ made["key"].double().mT * made["scaling"], -1)
    expected = ((weights / 0.01 - 1).abs() <= 0.02).sum((2, 3))
    assert near(made, within=0.02).tolist() == expected.tolist()
    assert expected.min() > 50


def test_arguments_that_do_not_belong_together():
    good = case(32, [8, 5])
    gaps = torch.zeros(4, 2, 2, 16, dtype=torch.int64)[..., ::2]
    refused = [
        ({"query": good["query"].double()}, r"float32, bfloat16 or float16.*received \[2, 2, 8, 32\] torch.float64"),
        ({"key": good["key"][:, :1]}, r"key must be \[2, 2, 8, 32\] torch.float32.*received \[2, 1, 8, 32\]"),
        ({"threshold": 1}, "strictly between 0 and 1; received .* and 1"),
        *(({"lengths": n}, "2 whole numbers from 0 to 8") for n in ([8], [8, 9], [-1, 8], [8.0, 5.0])),
        ({"is_special": good["is_special"].long()}, r"must be \[2, 8\] torch.bool.*received \[2, 8\] torch.int64"),
        ({"out": gaps}, r"out must be \[4, 2, 2, 8\] torch.int64.*strides \[64, 32, 16, 2\]"),
        ({"is_special": good["is_special"].to("meta")}, "on cpu; received .* on meta"),
    ]
    for wrong, match in refused:
        with pytest.raises(ValueError, match=match):
            triton_counts.above(**good | wrong)
