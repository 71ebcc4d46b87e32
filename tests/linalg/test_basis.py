import pytest
import torch

from eigexp.linalg.basis import Basis, rows_at_most


def rows(k: int, start: int = 0) -> torch.Tensor:
    return torch.arange(start, start + 3 * k, dtype=torch.float64).view(k, 3)


def test_append_returns_a_longer_basis_and_does_not_change_the_shorter():
    short = Basis.of(rows(2))
    longer = short.append(torch.full((3,), 9.0, dtype=torch.float64))
    assert torch.equal(short.rows, rows(2))
    assert torch.equal(longer.rows, torch.cat([rows(2), torch.full((1, 3), 9.0, dtype=torch.float64)]))


def test_two_bases_that_grow_from_one_are_independent():
    base = Basis.of(rows(1)).append(rows(1)[0])
    one, other = base.append(torch.ones(3)), base.append(torch.zeros(3))
    assert one.rows[-1].tolist() == [1.0, 1.0, 1.0]
    assert other.rows[-1].tolist() == [0.0, 0.0, 0.0]
    assert len(base.rows) == 2


def test_appending_does_not_copy_every_time():
    basis = Basis.of(rows(0))
    places = set()
    for i in range(200):
        basis = basis.append(torch.full((3,), float(i), dtype=torch.float64))
        places.add(basis.storage.rows.data_ptr())
    assert basis.rows[:, 0].tolist() == list(range(200))
    assert len(places) <= 6


def test_blocks_fill_the_allocated_rows():
    basis = Basis.with_room(5, 3, torch.float64, torch.device("cpu"))
    place = basis.storage.rows.data_ptr()
    for block in (rows(2), rows(3)):
        basis = basis.extend(block)
    assert torch.equal(basis.rows, torch.cat([rows(2), rows(3)]))
    assert basis.storage.rows.data_ptr() == place
    assert torch.equal(basis.extend(rows(4)).rows[5:], rows(4))
    assert len(basis.rows) == 5


@pytest.mark.parametrize("size", [1, 16, 17, 40, 128, 129, 300, 321, 1000])
def test_the_allocated_rows_are_predicted(size):
    basis, largest = Basis.of(torch.empty(0, 2)), 0
    for _ in range(size):
        before = len(basis.storage.rows)
        basis = basis.append(torch.zeros(2))
        if len(basis.storage.rows) != before:
            largest = before
    assert rows_at_most(size) == (len(basis.storage.rows), largest)
