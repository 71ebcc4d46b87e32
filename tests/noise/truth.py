"""Fisher information of the responses from torch.distributions alone: what a noise's map must give."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MultivariateNormal, NegativeBinomial, Normal, Poisson, kl_divergence


def from_divergence(family: Callable[[Tensor], Distribution], at: Tensor) -> Tensor:
    """The Hessian of KL(p_r0 || p_r) at r = r0, shape (m, m)."""
    fixed = family(at)
    return torch.autograd.functional.hessian(lambda r: kl_divergence(fixed, family(r)).sum(), at)


def from_counts(family: Callable[[Tensor], Distribution], at: Tensor, most: int) -> Tensor:
    """sum_k p(k) (d log p(k) / dr)^2 of independent counts, up to a count that never happens; shape (m, m)."""
    counts = torch.arange(most, dtype=torch.float64)[:, None]
    r = at.expand(most, -1).clone().requires_grad_()
    log = family(r).log_prob(counts)
    (score,) = torch.autograd.grad(log.sum(), r)
    p = log.detach().exp()
    assert float((1 - p.sum(0)).abs().max()) < 1e-13
    return torch.diag((p * score.square()).sum(0))


def from_quadrature(variance: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """E[(d log p / dr)^2] of independent Normal(r, s^2(r)) by Gauss-Hermite points, exact for the polynomials that scores are."""
    points, weights = (torch.from_numpy(a)[:, None] for a in np.polynomial.hermite_e.hermegauss(8))
    r = at.expand(8, -1).clone().requires_grad_()
    y = (at + points * variance(at).sqrt()).detach()
    (score,) = torch.autograd.grad(Normal(r, variance(r).sqrt()).log_prob(y).sum(), r)
    return torch.diag((weights / weights.sum() * score.square()).sum(0).detach())


def poisson(r: Tensor) -> Distribution:
    return Poisson(r)


def negative_binomial(g: float) -> Callable[[Tensor], Distribution]:
    return lambda r: NegativeBinomial(torch.tensor(1 / g, dtype=torch.float64), probs=g * r / (1 + g * r))


def shared_gain(g: float) -> Callable[[Tensor], Distribution]:
    return lambda r: MultivariateNormal(r, torch.diag(r) + g * torch.outer(r, r))


def correlated(diagonal: Tensor, factors: Tensor) -> Callable[[Tensor], Distribution]:
    return lambda r: MultivariateNormal(r, torch.diag(diagonal) + factors @ factors.T)


def categorical(r: Tensor) -> Distribution:
    return Categorical(logits=r)


def shared_gain_in_pixels(J: Tensor, r: Tensor, g: float) -> Tensor:
    """J^T C^-1 J + 1/2 tr(C^-1 dC C^-1 dC), from the matrices themselves."""
    inverse = torch.linalg.inv(torch.diag(r) + g * torch.outer(r, r))
    products = torch.stack([inverse @ (torch.diag(j) + g * (torch.outer(j, r) + torch.outer(r, j))) for j in J.T])
    return J.T @ inverse @ J + products.flatten(1) @ products.mT.flatten(1).T / 2
