import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from eigexp.errors import ModelError
from eigexp.models.weights import load_weights, read_state_dict, weights_digest


def network(width=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1))


def test_the_digest_changes_with_one_weight_and_comes_back():
    model = network()
    digest = weights_digest(model)
    with torch.no_grad():
        model[2].weight[0, 0] += 1e-6
    assert weights_digest(model) != digest
    assert weights_digest(network()) == digest and len(digest) == 64


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_digest_knows_dtypes(dtype):
    assert weights_digest(network().to(dtype)) != weights_digest(network())


def test_the_digest_knows_names_shapes_and_buffers():
    renamed = nn.Sequential(*network(), nn.Identity())
    assert weights_digest(renamed) == weights_digest(network())
    assert weights_digest(nn.Sequential(nn.Identity(), *network())) != weights_digest(network())
    buffers = network()
    buffers[1].running_mean += 1
    assert weights_digest(buffers) != weights_digest(network())


def test_complex_and_scalar_weights_have_a_digest():
    model = nn.Module()
    model.register_buffer("z", torch.tensor([1 + 2j]))
    model.register_buffer("count", torch.tensor(3))
    before = weights_digest(model)
    model.z[0] = 1 + 3j
    assert weights_digest(model) != before


@pytest.mark.parametrize("container", [None, "state_dict", "model"])
def test_a_pth_loads(tmp_path, container):
    state = {name: value + 1 for name, value in network().state_dict().items()}
    torch.save(state if container is None else {container: state, "epoch": 3}, tmp_path / "w.pth")
    model = network()
    load_weights(model, tmp_path / "w.pth")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_safetensors_load(tmp_path):
    state = {name: value + 1 for name, value in network().state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    assert read_state_dict(tmp_path / "w.safetensors").keys() == state.keys()


def test_a_missing_file_is_named():
    with pytest.raises(ModelError, match=r"nowhere\.pth.*does not exist"):
        read_state_dict("nowhere.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="damaged"):
        read_state_dict(tmp_path / name)


def test_a_pickled_module_is_not_run(tmp_path):
    torch.save(network(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"not a state_dict of tensors.*torch\.save\(model\.state_dict\(\)"):
        read_state_dict(tmp_path / "w.pth")


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="not a state_dict"):
        read_state_dict(tmp_path / "w.pth")


def test_another_architecture_is_refused(tmp_path):
    state = network(width=5).state_dict() | {"head.weight": torch.zeros(1)}
    del state["0.bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"1 missing \(0\.bias\); 1 unexpected \(head\.weight\); .*of another shape \(0\.weight \(5, 1, 3, 3\) instead"
    ):
        load_weights(network(), tmp_path / "w.pth")
