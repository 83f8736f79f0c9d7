"""Loading and the forward pass, against numbers of the reference implementation and against bad files."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import pickle
import shutil
import threading
import warnings
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from peer_files import FIXTURES, random_sequence, refused, retensor
from safetensors.torch import load_file, save_file, save_model
from transformers import EsmConfig, EsmForMaskedLM, EsmForSequenceClassification, EsmModel, Trainer
from transformers.training_args import TrainingArguments

from ntviz import attention, models, tokens
from ntviz.genome import Interval
from ntviz.models import checkpoints, encoder, registry

GENERATIONS = ("nt_v1_tiny", "nt_v2_tiny")
LEFT_OUT = object()


@pytest.fixture(scope="session", params=GENERATIONS)
def tiny(request):
    return models.load(FIXTURES / request.param, device="cpu")


@pytest.fixture
def copy(tmp_path):
    return lambda name="nt_v2_tiny": Path(shutil.copytree(FIXTURES / name, tmp_path / name))


def edit_config(directory: Path, **changes) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not LEFT_OUT}))


# Parity


@pytest.mark.parametrize("name", GENERATIONS)
def test_outputs_equal_the_reference_implementation(name):
    result = models.verify(FIXTURES / name)
    assert set(result.differences) == {"logits", "hidden_states", "attentions"}
    assert result.ok, result.differences
    assert max(result.differences.values()) < 1e-4


def edit_expected(directory: Path, change) -> None:
    with np.load(directory / "expected.npz") as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(directory / "expected.npz", **arrays)


def test_verification_fails_when_a_weight_or_an_expectation_differs(copy):
    directory = copy()
    edit_expected(directory, lambda arrays: arrays["logits"].flat.__setitem__(0, np.nan))
    assert not models.verify(directory).ok
    shutil.copy(FIXTURES / directory.name / "expected.npz", directory)
    retensor(directory, lambda tensors: tensors["esm.encoder.layer.1.output.dense.weight"].mul_(1.5))
    result = models.verify(directory)
    assert not result.ok
    assert result.differences["logits"] > 1e-3


def test_verification_refuses_other_shapes_and_pickles(copy):
    directory = copy()
    path = directory / "expected.npz"
    whole = path.read_bytes()
    pickled, array = io.BytesIO(), io.BytesIO()
    np.savez(pickled, input_ids=np.array([{"a": 1}], dtype=object))
    np.save(array, np.zeros(3))
    cut = [whole[:left] for left in (0, 3, 1000, len(whole) - 1000)]
    damaged = [(content, "npz of plain arrays") for content in (pickled.getvalue(), array.getvalue(), *cut)]
    edit_expected(directory, lambda arrays: arrays.update(logits=arrays["logits"][..., :-1]))
    shaped = path.read_bytes()
    edit_expected(directory, lambda arrays: arrays.pop("input_ids"))
    nameless = path.read_bytes()
    holds = r"must hold input_ids and at least one.*it holds attentions, hidden"
    for content, message in ((shaped, "logits in .* must have shape"), (nameless, holds), *damaged):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            models.verify(directory)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"expected\.npz must lie beside"):
        models.verify(directory)


def test_head_axis_is_zero_based(tiny):
    """The reference figure code returns head n + 1; here head n is the softmax of head n's own query and key."""
    sequence = tiny.tokenize(random_sequence(60))
    seen = {}
    attention = tiny.module.esm.encoder.layer[0].attention
    hook = attention.LayerNorm.register_forward_hook(lambda _m, _i, out: seen.setdefault("x", out))
    maps = tiny.forward(sequence, outputs=("attentions",)).attentions[0, 0]
    hook.remove()
    heads, size = tiny.heads, tiny.hidden_size // tiny.heads
    seen["x"] = seen["x"].clone()
    query, key = (
        getattr(attention.self, name)(seen["x"]).detach()[0].view(-1, heads, size).transpose(0, 1)
        for name in ("query", "key")
    )
    if tiny.module.config.position_embedding_type == "rotary":
        angle = torch.outer(torch.arange(query.shape[1]), 10000.0 ** (-torch.arange(0, size, 2) / size))
        pairs = [t[..., : size // 2] + 1j * t[..., size // 2 :] for t in (query, key)]
        query, key = (torch.view_as_real(p * torch.polar(torch.ones_like(angle), angle)).flatten(-2) for p in pairs)
    expected = torch.softmax(query @ key.transpose(1, 2) / size**0.5, dim=-1).numpy()
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_hidden_states_are_what_the_head_reads_and_some_layers_are_those_of_all(tiny):
    sequence = tiny.tokenize(random_sequence(60))
    every = tiny.forward(sequence, outputs=("logits", "hidden_states"))
    assert every.hidden_states.shape == (1, tiny.layers + 1, 11, tiny.hidden_size)
    with torch.inference_mode():
        logits = tiny.module.lm_head(torch.from_numpy(every.hidden_states[:, -1])).numpy()
    np.testing.assert_allclose(logits, every.logits, atol=1e-5)
    some = tiny.forward(sequence, outputs=("hidden_states",), layers=(tiny.layers, 0)).hidden_states
    np.testing.assert_array_equal(some, every.hidden_states[:, [-1, 0]])
    with pytest.raises(ValueError, match=rf"layers must lie in 0 \(the embedding\) to {tiny.layers}"):
        tiny.forward(sequence, outputs=("hidden_states",), layers=(tiny.layers + 1,))
    with pytest.raises(ValueError, match="outputs must be among .*; got 'maps'"):
        tiny.forward(sequence, outputs=("maps",))


def test_padding_and_batching_change_nothing(tiny):
    texts = [random_sequence(n, seed=n) + "NACGN" + random_sequence(9) for n in (17, 60, 41)]
    batch = [tiny.tokenize(text) for text in texts]
    together = tiny.forward(batch, outputs=models.OUTPUTS)
    for row, sequence in enumerate(batch):
        alone = tiny.forward(sequence, outputs=models.OUTPUTS)
        n = len(sequence.ids)
        assert together.attention_mask[row].sum() == n
        np.testing.assert_allclose(together.logits[row, :n], alone.logits[0], atol=1e-5)
        np.testing.assert_allclose(together.hidden_states[row, :, :n], alone.hidden_states[0], atol=1e-5)
        np.testing.assert_allclose(together.attentions[row, :, :, :n, :n], alone.attentions[0], atol=1e-5)
        assert together.attentions[row, :, :, :n, n:].max(initial=0) == 0
        np.testing.assert_allclose(alone.attentions.sum(-1), 1, atol=1e-5)


def test_the_attention_kernel_is_put_back_also_after_an_error(tiny, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("planted")

    before = tiny.module.config._attn_implementation
    tiny.forward(tiny.tokenize("ACGTACGT"), outputs=("attentions",))
    assert tiny.module.config._attn_implementation == before != "eager"
    monkeypatch.setattr(type(tiny.module.lm_head), "forward", fail)
    with pytest.raises(RuntimeError, match="planted"):
        tiny.forward(tiny.tokenize("ACGTACGT"), outputs=("logits", "attentions"))
    assert tiny.module.config._attn_implementation == before
    assert not tiny.module.training


def test_missing_layers_are_an_error_not_an_empty_result(tiny, monkeypatch):
    monkeypatch.setattr(tiny.module, "layers", 7)
    with pytest.raises(RuntimeError, match="must return 7 layers; it returned 3"):
        tiny.forward(tiny.tokenize("ACGTACGT"), outputs=("attentions",))


# Registry


@pytest.mark.parametrize("spec", registry.SPECS.values(), ids=lambda spec: spec.name)
def test_named_shapes_have_the_published_number_of_parameters(spec):
    config = {
        "hidden_size": spec.hidden, "num_hidden_layers": spec.layers, "num_attention_heads": spec.heads,
        "intermediate_size": spec.ffn, "max_position_embeddings": spec.max_tokens + 2,
        "position_embedding_type": "rotary" if spec.rotary else "absolute",
        "vocab_size": tokens.VOCABULARIES[spec.vocabulary].n_logits, "token_dropout": spec.token_dropout,
    } | ({"add_bias_fnn": False} if spec.rotary else {})  # fmt: skip
    with torch.device("meta"):
        module = encoder.build(config)
    count = sum(p.numel() for p in module.parameters())
    # The published v2 files carry a position table that rotary models never use; ours does not.
    unused_positions = (spec.max_tokens + 2) * spec.hidden if spec.rotary and "/" in spec.repository else 0
    if spec.parameters is not None:
        assert count + unused_positions == spec.parameters
    assert spec.max_bp == (spec.max_tokens - 1) * tokens.VOCABULARIES[spec.vocabulary].k


def test_names_are_found_in_every_spelling():
    assert registry.SPECS["v1-500m-human-ref"].max_bp == 5_994
    assert registry.SPECS["v2-50m"].max_bp == 12_282
    for name in ("v2-50m", "V2-50M", "nucleotide-transformer-v2-50m-multi-species"):
        assert registry.find(name) is registry.SPECS["v2-50m"]
    refused("v2-50", "Did you mean v2-50m")


# Directories and files


def save_layout(directory: Path, layout: str) -> None:
    """The weights as safetensors or bin, in one file or in two shards."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    stem, suffix = ("model", "safetensors") if "safetensors" in layout else ("pytorch_model", "bin")
    save = save_file if suffix == "safetensors" else torch.save
    if "sharded" not in layout:
        save(tensors, directory / f"{stem}.{suffix}")
        return
    weight_map = {
        name: f"{stem}-0000{1 + (index >= len(tensors) // 2)}-of-00002.{suffix}"
        for index, name in enumerate(sorted(tensors))
    }
    for file in set(weight_map.values()):
        save({name: tensors[name] for name, own in weight_map.items() if own == file}, directory / file)
    (directory / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("layout", ["safetensors", "sharded safetensors", "bin", "sharded bin"])
@pytest.mark.parametrize("name", GENERATIONS)
def test_every_published_file_layout_loads(copy, name, layout):
    directory = copy(name)
    save_layout(directory, layout)
    assert models.verify(directory).ok


def test_three_mer_model_loads_by_its_vocabulary(tmp_path):
    config = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "vocab_size": 75, "max_position_embeddings": 102, "position_embedding_type": "rotary", "add_bias_fnn": False,
        "layer_norm_eps": 1e-12, "token_dropout": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    module = encoder.build(config)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    model = models.load(tmp_path, device="cpu")
    assert model.tokenizer.vocabulary.name == "nt-3mer"
    assert model.max_bp == 297
    assert model.forward(model.tokenize("ACGTAC")).logits.shape == (1, 3, 75)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_close_and_keeps_angles_exact(dtype):
    full = models.load(FIXTURES / "nt_v2_tiny", device="cpu")
    half = models.load(FIXTURES / "nt_v2_tiny", device="cpu", dtype=dtype)
    assert half.module.dtype == getattr(torch, dtype)
    assert half.module.esm.rotary_embeddings.inv_freq.dtype == torch.float32
    text = random_sequence(120)
    ours, theirs = (m.forward(m.tokenize(text)).logits for m in (half, full))
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.05 * theirs.std()


def test_info_is_plain_and_tells_weights_apart(copy):
    directory = copy()
    info = models.load(directory, device="cpu").info
    assert json.loads(json.dumps(info)) == info
    content = (directory / "model.safetensors").read_bytes()
    assert info["weights_sha256"] == hashlib.sha256(content).hexdigest()
    retensor(directory, lambda tensors: tensors["lm_head.bias"].add_(1))
    assert models.load(directory, device="cpu").info["weights_sha256"] != info["weights_sha256"]


class Planted:
    def __reduce__(self):
        return (os.system, ("touch planted-code-ran",))


@pytest.mark.parametrize("torch_format", [True, False])
def test_a_pickle_that_runs_code_is_refused(copy, tmp_path, monkeypatch, torch_format):
    monkeypatch.chdir(tmp_path)
    directory = copy()
    (directory / "model.safetensors").unlink()
    if torch_format:
        torch.save({"lm_head.bias": Planted()}, directory / "pytorch_model.bin")
    else:
        (directory / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.bias": Planted()}))
    refused(directory, r"must hold tensors only; .* Refused")
    assert not (tmp_path / "planted-code-ran").exists()
    (directory / "pytorch_model.bin").rename(directory / "weights.pt")
    refused(directory, r"Other pickles \(\.pt, \.pth, \.joblib\) are not read", FileNotFoundError)


def test_a_bin_of_something_else_is_refused(copy):
    directory = copy()
    (directory / "model.safetensors").unlink()
    for bad in ({"state": {}, "param_groups": [1]}, [1], torch.zeros(2), {0: torch.zeros(2)}):
        torch.save(bad, directory / "pytorch_model.bin")
        refused(directory, "must map names to tensors")


@pytest.mark.parametrize("layout", ["safetensors", "bin"])
@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_corrupt_weights_say_so(copy, layout, damage):
    directory = copy()
    save_layout(directory, layout)
    path = checkpoints.weight_files(directory)[0]
    content = path.read_bytes()
    damaged = {"truncate": content[: len(content) // 2], "garbage": b"\x07not weights" * 400, "empty": b""}
    path.write_bytes(damaged[damage])
    refused(directory, "download it again|Refused")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"weight_map": {"lm_head.bias": "../elsewhere.safetensors"}}', "must name files beside it"),
        ('{"weight_map": {"lm_head.bias": "one.safetensors"}}', r"1 shards; one\.safetensors not in"),
        *(
            (broken, r"index\.json must be JSON with a weight_map.*Download it again")
            for broken in ('{"weight_map": {"a"', "{}", "[]", '{"weight_map": []}')
        ),
    ],
)
def test_a_broken_list_of_shards_or_one_that_leads_elsewhere_says_so(copy, content, message):
    directory = copy()
    (directory / "model.safetensors").rename(directory.parent / "elsewhere.safetensors")
    (directory / "model.safetensors.index.json").write_text(content)
    refused(directory, message, (ValueError, FileNotFoundError))


def test_gated_weights_in_a_plain_config_and_a_rescaled_rotary_table_are_refused(copy):
    directory = copy()
    edit_config(directory, add_bias_fnn=True)
    refused(directory, "gated \\(v2\\) checkpoint with a v1 config")
    edit_config(directory, add_bias_fnn=False)
    table = "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"
    retensor(directory, lambda tensors: tensors[table].mul_(torch.linspace(1, 3, 6)))
    refused(directory, "rotary frequencies must be")


def test_bad_configs(copy, tmp_path):
    (tmp_path / "bare").mkdir()
    refused(tmp_path / "bare", r"must hold config\.json; .* holds nothing", FileNotFoundError)
    directory = copy()
    edit_config(directory, num_attention_heads=5)
    refused(directory, "must be a multiple of num_attention_heads; got 48 and 5")
    edit_config(directory, num_attention_heads=4, position_embedding_type="alibi")
    refused(directory, "position_embedding_type must be")
    edit_config(directory, position_embedding_type="rotary", vocab_size=4105)
    refused(directory, "vocab_size in config.json must be 4107")
    for content in ("{", "[]"):
        (directory / "config.json").write_text(content)
        refused(directory, "must be JSON")
    (directory / "config.json").write_text('{"hidden_size": 3}')
    refused(directory, "num_hidden_layers.* is missing")
    dtypes = "dtype must be one of float32, bfloat16, float16; got 'int8'"
    refused(FIXTURES / "nt_v2_tiny", dtypes, dtype="int8")


# Writers of the format. Right values: what transformers' own module, made here with random weights, computes ----------

SHAPE = {
    "vocab_size": 4105, "mask_token_id": 2, "pad_token_id": 1, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 34, "initializer_range": 0.3,
    "eos_token_id": None,
}  # fmt: skip
KINDS = {
    "tied": {},
    "untied": {"tie_word_embeddings": False, "token_dropout": True},
    "rotary": {"position_embedding_type": "rotary", "rope_theta": 500.0, "emb_layer_norm_before": True},
}
IDS = np.array([[3, 100, 2, 300, 400], [3, 7, 8, 9, 4104]])


def by_transformers(kind: str = "tied", of: type = EsmForMaskedLM):
    torch.manual_seed(0)
    return of(EsmConfig(**SHAPE | KINDS[kind])).eval()


def written(module, directory: Path, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    """The folder that transformers writes, or its config beside tensors that somebody else wrote."""
    module.save_pretrained(directory)
    if tensors is not None:
        apart = {name: value.detach().clone() for name, value in tensors.items()}
        save_file(apart, directory / "model.safetensors")
    return directory


def assert_same(model, module, atol: float = 1e-5) -> None:
    with torch.inference_mode():
        expected = module(torch.from_numpy(IDS), output_hidden_states=True)
    found = model.forward(IDS, outputs=("logits", "hidden_states"))
    np.testing.assert_allclose(found.logits, expected.logits.numpy(), atol=atol)
    np.testing.assert_allclose(found.hidden_states[:, -1], expected.hidden_states[-1].numpy(), atol=atol)


def renamed(module, *pairs: tuple[str, str]) -> dict[str, torch.Tensor]:
    tensors = module.state_dict()
    for old, new in pairs:
        tensors = {name.replace(old, new): value for name, value in tensors.items()}
    return tensors


WRITERS = {
    "transformers 4": renamed,
    "gamma and beta everywhere": lambda m: renamed(m, ("orm.weight", "orm.gamma"), ("orm.bias", "orm.beta")),
    "DataParallel": lambda m: torch.nn.DataParallel(m).state_dict(),
    "torch.compile": lambda m: torch.compile(m).state_dict(),
    "layers compiled": lambda m: renamed(m, (".attention.self.", "._orig_mod.attention.self.")),
    "compiled inside DataParallel": lambda m: torch.nn.DataParallel(torch.compile(m)).state_dict(),
    "a class around it": lambda m: {f"model.{name}": value for name, value in m.state_dict().items()},
    "buffers left over": lambda m: renamed(m) | {"esm.embeddings.position_ids": torch.arange(34)[None]},
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method")  # torch.compile's own
@pytest.mark.parametrize(("kind", "writer"), [*((kind, "transformers 4") for kind in KINDS), *(("rotary", name) for name in list(WRITERS)[1:])])  # fmt: skip
def test_names_by_every_writer_load(kind, writer, tmp_path):
    module = by_transformers(kind)
    written(module, tmp_path, WRITERS[writer](module))
    assert_same(models.load(tmp_path, device="cpu"), by_transformers(kind))


def test_what_transformers_writes_loads_whole_and_in_shards(tmp_path):
    module = by_transformers()
    assert_same(models.load(written(module, tmp_path / "whole"), device="cpu"), module)
    module.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 1
    assert_same(models.load(tmp_path / "shards", device="cpu"), module)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_files_load(dtype, tmp_path):
    module = by_transformers("rotary").to(dtype)
    model = models.load(written(module, tmp_path), device="cpu")
    assert model.module.dtype == torch.float32
    # The same rounded weights, computed in float32, with angles that were never rounded.
    again = by_transformers("rotary")
    state = {name: value.float() for name, value in module.state_dict().items() if "inv_freq" not in name}
    again.load_state_dict(state, strict=False)
    assert_same(model, again)


def test_numbers_of_a_config_may_be_written_without_a_point(tmp_path):
    module = by_transformers("rotary")
    written(module, tmp_path)
    edit_config(tmp_path, hidden_dropout_prob=0, rope_theta=500, token_dropout=None, pad_token_id=None)
    assert_same(models.load(tmp_path, device="cpu"), module)


@pytest.mark.parametrize("left", ["embedding", "output"])
def test_a_tied_output_layer_is_read_from_the_one_tensor_that_is_there(left, tmp_path):
    module = by_transformers()
    tensors = dict(module.state_dict())
    embedding, output = "esm.embeddings.word_embeddings.weight", "lm_head.decoder.weight"
    tensors.pop(output if left == "embedding" else embedding)
    written(module, tmp_path, tensors)
    model = models.load(tmp_path, device="cpu")
    assert_same(model, module)
    assert model.module.lm_head.decoder.weight is model.module.esm.embeddings.word_embeddings.weight
    assert model.info["parameters"] == module.num_parameters() == model.random_twin().module.num_parameters()
    # transformers 4 left the default out of config.json; safetensors itself keeps one name of a shared tensor.
    edit_config(tmp_path, tie_word_embeddings=LEFT_OUT)
    save_model(module, str(tmp_path / "model.safetensors"))
    assert_same(models.load(tmp_path, device="cpu"), module)
    edit_config(tmp_path, tie_word_embeddings=False)
    written_tensors = load_file(tmp_path / "model.safetensors")
    missing = output if embedding in written_tensors else embedding
    refused(tmp_path, rf"it has 1 missing \({missing}\)")


def test_both_tensors_of_an_output_layer_count_where_they_differ(tmp_path):
    module = by_transformers("untied")
    edit_config(written(module, tmp_path), tie_word_embeddings=True)
    model = models.load(tmp_path, device="cpu")
    assert_same(model, EsmForMaskedLM.from_pretrained(tmp_path).eval())
    assert_same(model, module)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", ["attention.LayerNorm.gamma", "lm_head.dense.bias", "query.weight"])
def test_a_tensor_that_is_missing_stays_an_error(kind, lost, tmp_path):
    written(by_transformers(kind), tmp_path)
    name = next(name for name in load_file(tmp_path / "model.safetensors") if name.endswith(lost))
    retensor(tmp_path, lambda tensors: tensors.pop(name))
    plain = name.replace(".gamma", ".weight").replace(".beta", ".bias")
    refused(tmp_path, rf"it has 1 missing \({plain}\)\. Nothing was loaded")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module.lm_head.bias": torch.zeros(4105)}, r"lm_head\.bias is there twice"),
        ({"embeddings.word_embeddings.weight": torch.zeros(4105, 16)}, r"1 unknown \(embeddings\.word"),
        ({"lm_head.dense.weight": torch.zeros(16, 16, dtype=torch.int8)}, r"1 quantised \(lm_head\.dense"),
        ({"base_model.model.lm_head.bias": torch.zeros(4105)}, "fine-tuned or PEFT"),
        ({"classifier.weight": torch.zeros(2)}, "fine-tuned or PEFT"),
        ({"lm_head.bias": torch.zeros(4)}, r"lm_head\.bias: expected \(4105,\), got \(4,\)"),
        # Of nan in a query fused attention makes finite numbers: nothing downstream could tell.
        ({"esm.encoder.layer.1.attention.self.query.bias": torch.full((16,), torch.nan)}, r"infinity, first \S*query.bias: training"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused(change, message, tmp_path):
    written(by_transformers(), tmp_path)
    retensor(tmp_path, lambda tensors: tensors.update(change))
    refused(tmp_path, message)


def test_a_folder_of_adapters_alone_says_what_to_pass(copy):
    import peft

    path = copy()
    model = models.load(path, device="cpu")
    (path / "model.safetensors").unlink()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        peft.get_peft_model(model.module, peft.LoraConfig(target_modules=["query"])).save_pretrained(path)
    for _ in range(2):
        refused(path, r"adapters of PEFT without the model .* merge_and_unload", FileNotFoundError)
        (path / "config.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("kind", "saved", "wrapped"),
    [*((kind, EsmModel, False) for kind in KINDS), ("tied", EsmModel, True), ("untied", EsmForSequenceClassification, True), ("rotary", EsmForSequenceClassification, False)],
)  # fmt: skip
def test_an_encoder_without_a_head_gives_all_but_what_needs_one(kind, saved, wrapped, tmp_path):
    module = by_transformers(kind, saved)
    tensors = torch.nn.DataParallel(module).state_dict() if wrapped else None
    model = models.load(written(module, tmp_path / "it", tensors), device="cpu")
    with torch.inference_mode():
        expected = getattr(module, "esm", module)(torch.from_numpy(IDS)).last_hidden_state.numpy()
    found = model.forward(IDS, outputs=("hidden_states", "attentions"))
    np.testing.assert_allclose(found.hidden_states[:, -1], expected, atol=1e-5)
    np.testing.assert_allclose(found.attentions.sum(-1), 1, atol=1e-5)
    batch = model.tokenize("ACGTTGCATGCA")
    assert model.embed([batch], layers=[2]).shape == (1, 1, 1, 16)
    assert attention.observe(model, batch, entropy=attention.Entropy()).results["entropy"] is not None
    assert model.info["language_model_head"] is False
    assert "no language-model head" in repr(model)
    twin = model.random_twin()
    assert twin.module.num_parameters() == model.info["parameters"]
    for ask in (
        lambda: model.forward(batch),
        lambda: twin.forward(batch),
        lambda: model.module(torch.from_numpy(IDS)),
        lambda: model.forward(batch, outputs=("logits", "attentions"), at=np.array([[1]])),
    ):
        with pytest.raises(ValueError, match="without one. Ask for hidden_states, attentions or embed"):
            ask()
    model.module.save_pretrained(tmp_path / "again")
    again = models.load(tmp_path / "again", device="cpu")
    states = again.forward(IDS, outputs=("hidden_states", "attentions")).hidden_states
    np.testing.assert_array_equal(states, found.hidden_states)


@pytest.mark.parametrize("name", ["nt_v1_tiny", "nt_v2_tiny"])
def test_a_module_of_ours_that_was_saved_loads_again(name, tmp_path):
    model = models.load(FIXTURES / name, device="cpu")
    model.module.save_pretrained(tmp_path)
    again = models.load(tmp_path, device="cpu")
    # As saved where the config did not keep it: the shapes tell.
    edit_config(tmp_path, add_bias_fnn=LEFT_OUT)
    untold = models.load(tmp_path, device="cpu")
    for one, other in ((again, model), (untold, model), (again.random_twin(4), model.random_twin(4))):
        np.testing.assert_array_equal(one.forward(IDS).logits, other.forward(IDS).logits)


def test_a_trainers_folder_loads_and_its_pickles_stay_closed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"input_ids": torch.from_numpy(row), "labels": torch.from_numpy(row)} for row in IDS]
    asked = TrainingArguments(
        "out", max_steps=1, save_steps=1, report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no"
    )
    trainer = Trainer(by_transformers(), asked, train_dataset=rows)
    trainer.train()
    pickles = [path for path in Path("out/checkpoint-1").iterdir() if path.suffix in (".pt", ".pth", ".bin")]
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth"} <= {path.name for path in pickles}
    for path in pickles:
        path.write_bytes(pickle.dumps(Planted()))
    assert_same(models.load("out/checkpoint-1", device="cpu"), trainer.model.eval())
    assert not (tmp_path / "planted-code-ran").exists()
    advice = r"holds checkpoint-1\. Pass one of the checkpoints in it: checkpoint-1\."
    refused("out", advice, FileNotFoundError)


# A known name, and a folder that is called so -------------------------------------------------------------------------


def test_a_known_name_means_the_model_unless_a_folder_of_that_name_holds_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ntviz-mini").mkdir()
    Path("ntviz-mini", "one.vcf").touch()
    bundled = models.load("ntviz-mini", device="cpu")
    about = bundled.layers, bundled.info["origin"], bundled.info["revision"]
    assert about == (4, "bundle of ntviz", "bundle")
    refused("./ntviz-mini", r"must hold config\.json; ntviz-mini holds one\.vcf", FileNotFoundError)
    shutil.copytree(FIXTURES / "nt_v2_tiny", "ntviz-mini", dirs_exist_ok=True)
    own = models.load("ntviz-mini", device="cpu")
    assert (own.layers, own.info["revision"]) == (3, "local")
    assert own.info["origin"] == "folder ntviz-mini, which comes before the known model ntviz-mini"
    elsewhere = models.load(FIXTURES / "nt_v1_tiny", device="cpu")
    assert elsewhere.info["origin"] == f"folder {FIXTURES / 'nt_v1_tiny'}"


# Input


def test_limits_are_told_in_tokens_and_bp(tiny):
    assert isinstance(tiny, models.DNAModel)
    assert f"{tiny.layers} layers x {tiny.heads} heads" in repr(tiny)
    assert (tiny.max_tokens, tiny.max_bp, tiny.mask_id) == (40, 234, 2)
    tiny.forward(tiny.tokenize(random_sequence(234)))
    with pytest.raises(ValueError, match=r"40 tokens.*234 bp"):
        tiny.tokenize(random_sequence(240))
    with pytest.raises(ValueError, match=r"up to 40 tokens \(234 bp without N\); got 41 tokens"):
        tiny.forward(np.full((1, 41), 10))


def test_only_rotary_models_may_go_beyond_their_limit():
    longer = models.load(FIXTURES / "nt_v2_tiny", device="cpu", max_tokens=60)
    assert longer.forward(longer.tokenize(random_sequence(300))).logits.shape[1] == 51
    refused(FIXTURES / "nt_v1_tiny", "learned positions for 40 tokens; max_tokens=60", max_tokens=60)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[3, 4107]], "Token ids must lie in 0 to"),
        ([[3, 1, 10]], "Padding .* must come after the last token"),
        ([[3, 10], [1, 1]], "a row begins with padding"),  # nothing to attend to gives numbers that are none
        *((odd, r"Ids must be integers \[sequence, token\], at least one") for odd in ([[3.0]], [[]], [[[3]]], 3)),
    ],
)
def test_ids_are_checked(tiny, ids, message):
    with pytest.raises(ValueError, match=message):
        tiny.forward(np.array(ids))


def test_logits_at_some_tokens_are_those_of_all(tiny):
    batch = [tiny.tokenize(random_sequence(n, seed=n)) for n in (30, 60)]
    whole = tiny.forward(batch).logits
    some = tiny.forward(batch, at=np.array([[1, 4], [0, 10]])).logits
    np.testing.assert_allclose(some, [[whole[0, 1], whole[0, 4]], [whole[1, 0], whole[1, 10]]], atol=1e-5)
    message = r"2 rows of token positions in 0 to 10; got shape \(2, 1\) with values 11"
    with pytest.raises(ValueError, match=message):
        tiny.forward(batch, at=np.array([[11], [11]]))


def test_who_changes_attention_changes_logits_at_some_tokens_too(tiny):
    batch, at = [tiny.tokenize(random_sequence(60))], np.array([[1, 4]])
    plain = tiny.forward(batch, at=at).logits
    layers = tiny.module.esm.encoder.layer
    assert not any("forward" in layer.attention.__dict__ for layer in layers)
    hook = layers[0].attention.self.register_forward_hook(lambda _, given, found: (found[0] * 0, None))
    try:
        whole, some = tiny.forward(batch).logits, tiny.forward(batch, at=at).logits
    finally:
        hook.remove()
    np.testing.assert_allclose(some[0], whole[0, at[0]], atol=1e-5)
    assert np.abs(some - plain).max() > 1e-3


# Licence and hub


def test_non_commercial_weights_are_announced(copy, tmp_path):
    directory = copy("nt_v2_tiny").rename(tmp_path / "nucleotide-transformer-v2-50m-multi-species")
    with pytest.warns(registry.LicenceNotice, match=r"CC BY-NC-SA 4\.0: not for commercial use"):
        models.load(directory, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.load(FIXTURES / "nt_v2_tiny", device="cpu")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.SimpleHTTPRequestHandler):
    """As much of the hub's protocol as a snapshot download uses, over one local directory."""

    def do_GET(self) -> None:
        if not self.path.startswith("/api/models/"):
            super().do_GET()
            return
        files = [(path.name, path.stat().st_size) for path in Path(self.directory).iterdir()]
        tree = [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in files]
        about = {"id": "x/y", "sha": COMMIT, "siblings": [{"rfilename": name} for name, _ in files]}
        body = json.dumps(tree if "/tree/" in self.path else about).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path: str) -> str:
        return super().translate_path("/" + path.split("?")[0].rpartition("/")[2])

    def end_headers(self) -> None:
        self.send_header("ETag", f'"{hashlib.sha256(self.path.encode()).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        super().end_headers()

    def log_message(self, *_args) -> None:
        return


def test_hub_download_then_cache_then_offline(copy, tmp_path, monkeypatch):
    """The first load downloads, the second finds the cache with the network gone; remote code beside it never runs."""
    directory = copy("nt_v2_tiny")
    (directory / "expected.npz").unlink()
    (directory / "modeling_esm.py").write_text("raise SystemExit('remote code ran')")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, directory=directory))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {"endpoint": f"http://127.0.0.1:{server.server_port}", "cache_dir": tmp_path / "hf"}
    download = functools.partial(huggingface_hub.snapshot_download, **options)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    first = models.load("someone/tiny-nt", device="cpu")
    server.shutdown()
    server.server_close()
    about = first.name, first.info["revision"], first.info["origin"]
    assert about == ("tiny-nt", COMMIT, "Hugging Face hub")
    assert not list((tmp_path / "hf").rglob("modeling_esm.py"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert models.load("someone/tiny-nt", device="cpu").info == first.info
    monkeypatch.chdir(tmp_path)
    Path("v2-50m").mkdir()
    missing = "is not in the Hugging Face cache and could not be downloaded"
    refused("someone/other", f"someone/other {missing}", FileNotFoundError)
    passed_over = f"{missing}.* The folder v2-50m holds no config.json and was passed over"
    refused("v2-50m", passed_over, FileNotFoundError)


# What a model was trained on ------------------------------------------------------------------------------------------


def test_a_place_is_held_out_or_training_data_or_neither_is_known(tmp_path):
    mini, splicing = (models.load(name, device="cpu").info for name in ("ntviz-mini", "ci-spliceai"))
    assert mini["training"]["machine"] == "one NVIDIA H200"
    hnf4a = Interval("chr20", 43_029_923, 43_030_000)
    unknown, published = (
        {"name": "own", "training": registry.corpus(tmp_path, repository)}
        for repository in ("", "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species")
    )
    (tmp_path / "spliceai1.h5").touch()
    spliceai = {"name": "s", "training": registry.corpus(tmp_path)}
    for info, place, sentence in (
        (mini, hnf4a, "was held out of the training of ntviz-mini, which has never seen it."),
        (mini, Interval("20", 1_000_000, 1_000_100), "20:1,000,001-1,000,100 lies in the training data"),
        (mini, Interval("20", 39_999_000, 40_001_000), "lies in part in the training data"),
        (mini, Interval("chr1", 5, 10), "is not among what ntviz-mini was trained on"),
        (splicing, hnf4a, "lies in the training data of ci-spliceai (all human chromosomes"),
        (unknown, hnf4a, "What own was trained on is not stated."),
        (spliceai, hnf4a, "lies in the training"),
        (spliceai, Interval("chr3", 5, 10), "is not among"),
        (published, hnf4a, "850 genomes"),
    ):
        assert sentence in models.seen(info, place)
