import torch

from eigexp.linalg.gaussian import gaussian_rows


def test_rows_follow_from_the_state_and_the_state_is_left_alone():
    rng = torch.Generator().manual_seed(3).get_state()
    before = rng.clone()
    first, following = gaussian_rows(2, 5, rng, torch.empty(0, dtype=torch.float64))
    again, _ = gaussian_rows(2, 5, rng, torch.empty(0, dtype=torch.float64))
    later, _ = gaussian_rows(2, 5, following, torch.empty(0, dtype=torch.float64))
    assert torch.equal(rng, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_precisions_see_the_same_vectors():
    rng = torch.Generator().manual_seed(3).get_state()
    double, _ = gaussian_rows(2, 50, rng, torch.empty(0, dtype=torch.float64))
    single, _ = gaussian_rows(2, 50, rng, torch.empty(0, dtype=torch.float32))
    assert torch.equal(single, double.float())


def test_rows_are_standard_normal():
    rows, _ = gaussian_rows(4, 50_000, torch.Generator().manual_seed(0).get_state(), torch.empty(0, dtype=torch.float64))
    assert float(rows.mean()) == float(rows.mean().clamp(-0.02, 0.02))
    assert 0.98 < float(rows.std()) < 1.02
