"""Models with complex buffers, in float64."""

import torch
from torch import nn

from eigexp.images import Image
from eigexp.operators import linearise
from eigexp.operators.precision import converted
from eigexp.solvers import Krylov
from eigexp.training import EigenModule, Task


class Filters(nn.Module):
    """Complex filters in the frequency domain, as a steerable pyramid has them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("filters", torch.randn(3, 6, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x):
        return torch.fft.ifft2(torch.fft.fft2(x) * self.filters).abs()


def test_complex_buffers_keep_their_imaginary_parts_and_get_the_precision():
    model = converted(Filters(), torch.float64)
    assert model.filters.dtype == torch.complex128 and model.count.dtype == torch.int64
    assert torch.equal(model.filters, Filters().filters.to(torch.complex128))
    assert converted(model, torch.float32).filters.dtype == torch.complex64


def test_the_adjoint_holds_to_the_rounding_of_float64():
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    task = Task((Image("a", x[0]),), Filters(), ids=("a",))
    work = EigenModule(Krylov())
    for method in ("double_backward", "program"):
        A = work.linearise_task(task, method=method)
        g = torch.Generator().manual_seed(2)
        v = torch.randn(1, 1, A.shape.n, generator=g, dtype=torch.float64)
        u = torch.randn(1, 1, A.shape.m, generator=g, dtype=torch.float64)
        scale = A.apply(v).norm() * u.norm()
        assert float(((A.apply(v) * u).sum() - (v * A.adjoint(u)).sum()).abs() / scale) < 1e-14
    assert linearise(converted(Filters(), torch.float64), x).shape.m == 108
