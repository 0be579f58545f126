"""Models whose weights the host does not load whole: paged in as they are used, or streamed with LoRAs added."""

from __future__ import annotations

import copy
import importlib

import pytest
import torch
from torch import nn

from builders.older_hosts import skip_without

WIDTH = 128
KEYS = ("diffusion_model.0.weight", "diffusion_model.0.bias", "diffusion_model.2.weight")
CPU = torch.device("cpu")


@pytest.fixture
def host(pack):
    """The host's patchers and layers."""
    names = ("model_patcher", "ops", "model_management")
    return {name: importlib.import_module(f"comfy.{name}") for name in names}


@pytest.fixture
def model(host):
    """A host's model in half precision: layers large enough to be paged, and small ones."""
    layers = host["ops"].manual_cast
    torch.manual_seed(0)
    holder = nn.Module()
    holder.diffusion_model = nn.Sequential(
        layers.Linear(WIDTH, WIDTH), layers.LayerNorm(WIDTH), layers.Linear(WIDTH, WIDTH, bias=False)
    )
    for parameter in holder.parameters():
        nn.init.normal_(parameter, std=0.1)
    return holder.half().requires_grad_(False)


def patches() -> dict[str, tuple]:
    generator = torch.Generator().manual_seed(1)
    shapes = {KEYS[0]: (WIDTH, WIDTH), KEYS[1]: (WIDTH,), KEYS[2]: (WIDTH, WIDTH)}
    return {key: ("diff", (0.1 * torch.randn(shapes[key], generator=generator),)) for key in KEYS}


def patched(host, model, patcher_class):
    patcher = patcher_class(model, CPU, CPU)
    patcher.add_patches(patches())
    return patcher


def copied_weights(pack, patcher) -> dict[str, torch.Tensor]:
    copied = pack.private_copies.private_copy(pack.private_copies.loaded(patcher), "diffusion_model")
    assert not any(hasattr(part, "_pin_state") or getattr(part, "weight_function", ()) for part in copied.modules())
    return dict(copied.named_parameters())


@pytest.fixture
def expected(pack, host, model):
    """The weights as the host writes them into a model that it loads whole."""
    return copied_weights(pack, patched(host, copy.deepcopy(model), host["model_patcher"].ModelPatcher))


@pytest.fixture
def paging(host, model, monkeypatch):
    """The host's paging patcher on the CPU, where the host itself would not take it."""
    dynamic = getattr(host["model_patcher"], "ModelPatcherDynamic", None)
    if dynamic is None:
        pytest.skip("this host does not page weights")

    class Buffer:
        size = 0

        def __init__(self, *_sizes: int) -> None:
            pass

        def truncate(self, *_arguments, **_more) -> None:
            pass

    monkeypatch.setattr("comfy_aimdo.host_buffer.HostBuffer", Buffer)
    monkeypatch.setattr(host["model_management"], "current_loaded_models", [])
    monkeypatch.setattr(dynamic, "__new__", lambda cls, *_arguments, **_more: object.__new__(cls))
    return patched(host, model, dynamic)


def test_a_paged_model_is_read_with_its_loras_and_without_loading_its_file_again(pack, host, paging, expected):
    """A model that does not fit the card is trained on as it draws, with its LoRAs."""
    before = {key: tensor.clone() for key, tensor in paging.model.state_dict().items()}
    found = copied_weights(pack, paging)
    assert paging.model.diffusion_model[0].weight_lowvram_function is not None, "the host did not stage the LoRA"
    assert found.keys() == expected.keys()
    for key, tensor in found.items():
        assert tensor.dtype == expected[key].dtype and torch.equal(tensor, expected[key]), key
    if not hasattr(paging, "restore_loaded_backups"):
        skip_without("backups of paged models")
    paging.restore_loaded_backups()
    assert all(torch.equal(tensor, before[key]) for key, tensor in paging.model.state_dict().items())


def test_a_paged_models_fingerprint_is_that_of_the_model_loaded_whole(pack, paging, expected):
    """A training is found again though the host pages its model this time."""
    weights = pack.private_copies.patched_weights(pack.private_copies.loaded(paging), "diffusion_model")
    assert pack.fingerprints.fingerprint(weights) == pack.fingerprints.fingerprint(expected.items())


def test_a_fingerprint_casts_what_it_reads_and_not_the_model(pack, paging):
    """A training does not start with a cast and a transfer of all weights, and has the name that it would have then."""
    for part in paging.model.diffusion_model:
        part.weight_comfy_model_dtype = torch.bfloat16
    read, name = pack.private_copies, pack.fingerprints.fingerprint
    loaded = read.loaded(paging)
    weights = list(read.acting_weights(loaded, "diffusion_model"))
    assert [tensor.dtype for _, tensor, *_ in weights] == [torch.float16] * len(weights)
    assert name(weights) == name(read.patched_weights(loaded, "diffusion_model"))
    assert name(weights) != name((key, tensor) for key, tensor, *_ in weights)


def test_a_paged_weight_is_cast_to_the_models_dtype(pack, paging):
    """A paged model is trained on in the dtype that it draws in."""
    for part in paging.model.diffusion_model:
        part.weight_comfy_model_dtype = torch.bfloat16
    assert copied_weights(pack, paging)["2.weight"].dtype == torch.bfloat16


def test_a_lora_that_waits_for_each_use_of_a_weight_is_in_the_copy(pack, host, model, expected, monkeypatch):
    """As with --novram, where no weight is loaded, whatever is asked for."""
    patcher = patched(host, model, host["model_patcher"].ModelPatcher)
    monkeypatch.setattr(pack.private_copies.comfy.model_management, "load_models_gpu", lambda *_a, **_k: None)
    patcher.load(CPU, lowvram_model_memory=1)
    assert model.diffusion_model[0].weight_function, "the host did not put the LoRA off"
    found = copied_weights(pack, patcher)
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
