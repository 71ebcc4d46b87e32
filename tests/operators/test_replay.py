"""Products as CUDA graphs, with a stand-in for the graph: what a GPU would compute, from fixed buffers."""

import copy
import logging
import weakref

import pytest
import torch
from torch import nn

from eigexp.models import OnOff
from eigexp.operators import CountedOperator, linearise
from eigexp.operators.replay import ReplayedProgram, captured, replayed
from eigexp.solvers.krylov import Krylov
from tests.operators.test_columns import MODELS, images
from tests.pretended_graphs import PretendedGraph, pretend_graphs
from tests.solvers.photographs import coins


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    pretend_graphs(monkeypatch)


def program(model=None, size=32):
    return linearise(model or OnOff(), coins(size), method="program")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", MODELS)
def test_replays_are_the_products(name):
    model, channels = MODELS[name]
    A = linearise(model(), images(channels), method="program")
    G = captured(A)
    assert isinstance(G, ReplayedProgram)
    for seed in range(2):
        v, u = draw(1, 1, A.shape.n, seed=seed), draw(1, 1, A.shape.m, seed=seed)
        assert torch.equal(G.apply(v), A.apply(v))
        assert torch.equal(G.adjoint(u), A.adjoint(u))
        assert torch.equal(G.fisher(v), A.fisher(v))


def test_a_result_outlasts_the_next_replay():
    G = captured(program())
    v = draw(2, 1, 1, G.shape.n)
    first = G.apply(v[0])
    kept = first.clone()
    G.apply(v[1])
    assert torch.equal(first, kept)


def test_a_replay_that_returns_its_buffer_is_refused(monkeypatch, caplog):
    # The buffer of the result itself in place of a copy: the comparison sees that the next replay changes it.
    def without_copy(self, given):
        self._given.copy_(given)
        self._graph.replay()
        return self._found

    monkeypatch.setattr("eigexp.operators.replay._Captured.__call__", without_copy)
    A = program()
    with caplog.at_level(logging.WARNING):
        assert captured(A) is A
    assert "a replayed product differs" in caplog.text


def test_blocks_are_products_of_the_program_itself():
    A = program()
    G = captured(A)
    before = [graph.replays for graph in PretendedGraph.made]
    v = draw(1, 3, A.shape.n)
    assert torch.equal(G.apply(v), A.apply(v))
    assert [graph.replays for graph in PretendedGraph.made] == before


def test_where_a_capture_fails_the_program_stays_as_it_is(monkeypatch, caplog):
    A = program()
    v = draw(1, 1, A.shape.n)
    expected = A.fisher(v)

    def fail(*_args, **_kwargs):
        raise RuntimeError("CUDA error: operation failed due to a previous error\nduring capture")

    monkeypatch.setattr(torch.cuda, "graph", fail)
    with caplog.at_level(logging.WARNING):
        assert captured(A) is A
    assert len(caplog.records) == 1
    assert "cuda_graph=true has no effect: CUDA error: operation failed due to a previous error during capture" in caplog.text
    assert torch.equal(A.fisher(v), expected)


def test_a_replay_that_computes_something_else_is_not_used(monkeypatch, caplog):
    A = program()
    monkeypatch.setattr(PretendedGraph, "replay", lambda self: None)  # what the capture left there: nothing
    with caplog.at_level(logging.WARNING):
        assert captured(A) is A
    assert "differs by nan" in caplog.text


def test_a_product_that_waits_for_the_device_is_not_captured(caplog):
    A = program()

    class Waiting(type(A.program)):
        def __call__(self, tangent):
            return super().__call__(tangent / float(tangent.detach().norm()))

    A.program = copy.copy(A.program)
    A.program.__class__ = Waiting
    with caplog.at_level(logging.WARNING):
        assert captured(A) is A
    assert "not permitted when stream is capturing" in caplog.text


def test_a_weight_that_is_replaced_does_not_change_the_products():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    G = captured(program(model))
    v = draw(1, 1, G.shape.n)
    expected, memory = G.apply(v), model[0].weight.data_ptr()
    model[0].weight.data = torch.zeros_like(model[0].weight)  # as `model.cpu()` does
    assert torch.equal(G.apply(v), expected)
    assert memory in {constant.data_ptr() for constant in G._constants}  # which keep it from being used for something else


def test_a_constant_that_is_overwritten_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    G = captured(program(model))
    with torch.no_grad():
        model[0].weight.mul_(2)
    with pytest.raises(ValueError, match="was overwritten"):
        G.apply(draw(1, 1, G.shape.n))


def test_graphs_go_with_the_operator():
    G = captured(program())
    graphs = [weakref.ref(graph) for graph in PretendedGraph.made]
    PretendedGraph.made.clear()
    assert len(graphs) == 2
    assert all(graph() is not None for graph in graphs)
    del G
    assert all(graph() is None for graph in graphs)  # without the collector: no cycle holds them


def test_a_solve_takes_the_same_steps():
    A = program()
    found = []
    for operator in (A, captured(A)):
        counted, solver = CountedOperator(operator), Krylov()
        state = solver.init(counted, 0)
        while not solver.done(state):
            state = solver.step(counted, state)
        found.append((solver.pairs(state)[0], float(counted.fisher_vector_products[0])))
    (one, first), (other, second) = found
    assert first == second
    assert torch.equal(one.eigenvalues, other.eigenvalues)
    assert torch.equal(one.vectors, other.vectors)
    assert all(graph.replays > 20 for graph in PretendedGraph.made)


def test_all_images_are_the_operator_itself_and_selections_are_kept():
    G = captured(linearise(OnOff(), images(1, b=2), method="program"))
    assert G.select([0, 1]) is G
    one = G.select([1])
    assert isinstance(one, ReplayedProgram)
    assert G.select([1]) is one
    v = draw(1, 1, G.shape.n)
    assert torch.equal(one.apply(v), G.inner.select([1]).apply(v))


def test_other_devices_and_methods_are_left_alone():
    for method in ("program", "double_backward", "dense"):
        A = linearise(OnOff(), coins(16), method=method)
        assert replayed(A) is A
    assert not PretendedGraph.made
