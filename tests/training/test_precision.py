import torch

from eigexp.training.precision import full_precision


def settings():
    return [b.fp32_precision for b in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)]


def test_tf32_is_off_within_and_as_before_afterwards():
    before = settings()
    assert "tf32" in before  # PyTorch's default for convolutions
    with full_precision(torch.device("cuda")):
        assert set(settings()) == {"ieee"}
    assert settings() == before


def test_other_devices_are_left_alone():
    before = settings()
    with full_precision(torch.device("cpu")):
        assert settings() == before
