import weakref

import pytest
import torch

from eigexp.errors import CheckpointError, ConfigurationError
from eigexp.images import Image
from eigexp.training import Task, TaskData
from tests.training.toys import Network, Power, SaveAt, ToyModule, module, numbers, same, task, trainer


def fitted(tasks, *callbacks, solver=None, resume=None, **settings):
    work, host = module(solver), trainer(*callbacks, **settings)
    host.fit(work, TaskData(tasks), ckpt_path=resume)
    return work, host


def test_one_step_of_the_solver_is_one_training_step():
    work, host = fitted([task("a")])
    assert host.global_step == 30 == work.progress[0].steps
    assert work.done and work.task_over


def test_the_fit_finds_what_a_plain_loop_finds():
    work, _ = fitted([task("a")])
    solver = Power()
    state = solver.init(work.operator, 0)
    while not solver.done(state):
        state = solver.step(work.operator, state)
    assert same(numbers(work), state.to_dict())
    jacobian = torch.func.jacrev(Network())(task("a").pixels())[0, :, 0].reshape(20, 16)
    assert work.progress[0].largest == pytest.approx(float(torch.linalg.svdvals(jacobian)[0] ** 2), rel=1e-4)


def test_max_steps_counts_solver_steps():
    work, host = fitted([task("a"), task("b")], max_steps=37)
    assert host.global_step == 37
    assert work.progress[0].steps == 7 and not work.task_over


@pytest.mark.parametrize("step", range(1, 31))
def test_resumed_equals_uninterrupted(step, tmp_path, uninterrupted):
    path = tmp_path / "x.ckpt"
    fitted([task("a", "b")], SaveAt(step, path))
    work, host = fitted([task("a", "b")], resume=path)
    assert same(numbers(work), uninterrupted)
    assert host.global_step == 30


@pytest.fixture(scope="module")
def uninterrupted():
    return numbers(fitted([task("a", "b")])[0])


@pytest.mark.parametrize("step", [1, 29, 30, 31, 45, 60])
def test_resumed_within_two_tasks(step, tmp_path, uninterrupted):
    path = tmp_path / "x.ckpt"
    seen = []

    class Ends(SaveAt):
        def on_task_end(self, host, work):
            seen.append(work.task.ids)

    fitted([task("c"), task("a", "b")], SaveAt(step, path))
    work, host = fitted([task("c"), task("a", "b")], Ends(0, path), resume=path)
    assert same(numbers(work), uninterrupted)
    assert host.global_step == 60 and host.current_epoch == 2
    assert seen == ([("c",), ("a", "b")] if step <= 30 else [("a", "b")])


def test_resumes_although_tasks_before_it_are_gone_from_the_list(tmp_path, uninterrupted):
    path = tmp_path / "x.ckpt"
    fitted([task("c"), task("a", "b"), task("d")], SaveAt(40, path))
    ends = []

    class Ends(SaveAt):
        def on_task_end(self, host, work):
            ends.append((work.task.ids, numbers(work)))

    fitted([task("a", "b"), task("d")], Ends(0, path), resume=path)
    assert [ids for ids, _ in ends] == [("a", "b"), ("d",)]
    assert same(ends[0][1], uninterrupted)


def test_a_checkpoint_from_the_end_of_an_epoch_goes_on_with_the_next_task(tmp_path, uninterrupted):
    path = tmp_path / "x.ckpt"

    class SaveAtEnd(SaveAt):
        def on_train_batch_end(self, *_):
            pass

        def on_train_epoch_end(self, host, *_):
            host.save_checkpoint(self.path, weights_only=False)
            host.should_stop = True

    fitted([task("c"), task("a", "b")], SaveAtEnd(0, path))
    work, _ = fitted([task("c"), task("a", "b")], resume=path)
    assert same(numbers(work), uninterrupted)


def test_an_exception_within_a_step_resumes_exactly(tmp_path, uninterrupted):
    path = tmp_path / "x.ckpt"

    class Breaks(Power):
        def progress(self, state):
            if state.images[0].steps == 12:
                raise RuntimeError("out of luck")
            return super().progress(state)

    class SaveOnException(SaveAt):
        def on_exception(self, host, *_):
            host.save_checkpoint(self.path, weights_only=False)

    with pytest.raises(RuntimeError, match="out of luck"):
        fitted([task("a", "b")], SaveOnException(0, path), solver=Breaks())
    work, _ = fitted([task("a", "b")], resume=path)
    assert work.progress[0].steps == 30
    assert same(numbers(work), uninterrupted)


def test_checkpoints_hold_plain_values_and_no_network(tmp_path):
    path = tmp_path / "x.ckpt"
    work, _ = fitted([task("a")], SaveAt(5, path))
    saved = torch.load(path, weights_only=True)
    assert not saved["state_dict"] and not list(work.parameters()) and not list(work.children())
    assert path.stat().st_size < 20_000


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path):
    path = tmp_path / "x.ckpt"
    fitted([task("a")], SaveAt(5, path))
    with pytest.raises(CheckpointError, match=r"solver.tol was 1e-09 and is now 0.001"):
        fitted([task("a")], solver=Power(tol=1e-3), resume=path)
    with pytest.raises(CheckpointError, match=r"dtype was 'float32' and is now 'float64'"):
        fitted([task("a", dtype=torch.float64)], resume=path)


def test_a_resumed_task_keeps_the_method_that_auto_chose(tmp_path):
    path = tmp_path / "x.ckpt"
    trainer(SaveAt(1, path)).fit(ToyModule(Power(), linearise="auto"), TaskData([task("a")]))
    saved = torch.load(path, weights_only=True)
    assert saved["eigexp"]["method"] == "dense"
    saved["eigexp"]["method"] = "double_backward"
    torch.save(saved, path)
    work = ToyModule(Power(), linearise="auto")
    trainer(max_steps=2).fit(work, TaskData([task("a")]), ckpt_path=path)
    assert work.operator.method == "double_backward"


def test_the_seed_of_the_module_draws_the_first_vectors():
    works = [module(seed=seed) for seed in (0, 1, 1)]
    for work in works:
        trainer(max_steps=1).fit(work, TaskData([task("a")]))
    assert same(numbers(works[1]), numbers(works[2])) and not same(numbers(works[0]), numbers(works[1]))


def test_a_checkpoint_of_another_task_is_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    fitted([task("a")], SaveAt(5, path))
    with pytest.raises(CheckpointError, match="belongs to the results a, which are not among the 1 tasks"):
        fitted([task("b")], resume=path)


def test_a_checkpoint_of_another_format_or_program_is_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    fitted([task("a")], SaveAt(5, path))
    saved = torch.load(path, weights_only=True)
    torch.save(saved | {"eigexp": saved["eigexp"] | {"fingerprint": saved["eigexp"]["fingerprint"] | {"format": 0}}}, path)
    with pytest.raises(CheckpointError, match="format was 0 and is now 3"):
        fitted([task("a")], resume=path)
    del saved["eigexp"]
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match="contains no solver state"):
        fitted([task("a")], resume=path)


def test_the_images_choose_the_dtype():
    work, _ = fitted([task("a", dtype=torch.float64)], solver=Power(tol=1e-12, max_steps=500))
    assert work.operator.dtype == torch.float64 and work.state.images[0].status == "converged"  # 1e-12 is out of float32's reach
    rough, _ = fitted([task("a")], solver=Power(tol=1e-12, max_steps=500))
    assert rough.operator.dtype == torch.float32 and rough.state.images[0].status == "budget"
    assert work.progress[0].largest == pytest.approx(rough.progress[0].largest, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*bf16.*")  # Lightning on mixed precision on a CPU
def test_mixed_precision_is_refused():
    with pytest.raises(ConfigurationError, match="bf16-mixed"):
        fitted([task("a")], precision="bf16-mixed")


def test_a_task_without_ids_or_with_unequal_images_is_refused():
    with pytest.raises(ConfigurationError, match="1 images and 0 ids"):
        Task(task("a").images, Network(), ())
    with pytest.raises(ConfigurationError, match="There are no tasks"):
        TaskData([])
    small, grown = task("a").images[0], Image("b", task("a").images[0].pixels.repeat(1, 2, 2))
    with pytest.raises(ConfigurationError, match=r"shapes .* cannot share a batch"):
        Task((small, grown), Network(), ("a", "b"))


def test_a_module_without_a_task_says_what_to_do():
    with pytest.raises(ConfigurationError, match=r"trainer\.fit"):
        module().eigenpairs()


def test_a_task_before_leaves_no_memory_to_the_next():
    held, operators = [], []

    class Watched(ToyModule):
        def linearise_task(self, task, *, method):
            held.append([operator() is not None for operator in operators])
            A = super().linearise_task(task, method=method)
            operators.append(weakref.ref(A))
            return A

    work = Watched(Power())
    for name in "abc":
        work.begin(task(name))
    assert held == [[], [False], [False, False]]


def test_a_setting_asks_for_graphs_of_products(monkeypatch):
    captured = []
    monkeypatch.setattr("eigexp.training.settings.replayed", lambda A: captured.append(A) or A)
    for cuda_graph in (False, True):
        work = ToyModule(Power(), cuda_graph=cuda_graph)
        work.begin(task("a"))
    assert captured == [work.operator]
