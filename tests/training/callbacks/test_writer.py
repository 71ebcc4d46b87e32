from dataclasses import replace

from lightning.pytorch.loggers.logger import DummyLogger

from eigexp import store as stored
from eigexp.solvers import Krylov
from eigexp.training import EigenModule, TaskData, loggers
from eigexp.training.callbacks import Convergence, EigenvalueCurves, ResultWriter
from tests.training.toys import Power, module, task, trainer


class Store:
    def __init__(self, answer=None):
        self.written, self.answer = [], answer

    def write_task(self, written, eigenpairs, curves, seconds):
        self.written.append((written.ids, eigenpairs, curves, seconds))
        return self.answer


def test_each_task_is_written_once_with_its_pairs_curves_and_seconds():
    store = Store()
    work = module()
    trainer(ResultWriter(store), EigenvalueCurves()).fit(work, TaskData([task("a"), task("b", "c")]))
    assert [ids for ids, *_ in store.written] == [("a",), ("b", "c")]
    _, pairs, curves, seconds = store.written[1]
    assert [float(p.eigenvalues[0]) for p in pairs] == [rows[-1]["eigenvalue/0"] for rows in curves]
    assert 0 < seconds < 10


def test_a_budget_is_a_result_and_an_interruption_is_none():
    store = Store()
    trainer(ResultWriter(store)).fit(module(Power(tol=1e-30, max_steps=4)), TaskData([task("a")]))
    trainer(ResultWriter(store), max_steps=10).fit(module(), TaskData([task("b")]))
    assert [(ids, curves) for ids, _, curves, _ in store.written] == [(("a",), [[]])]


def test_an_early_end_is_a_result():
    store = Store()
    trainer(ResultWriter(store), Convergence(tol=0.1)).fit(module(), TaskData([task("a")]))
    assert len(store.written) == 1


def test_loggers_with_a_run_a_result_see_what_was_stored():
    shown = []

    class Shows(loggers.ResultLogger):
        def log_result(self, image, result):
            shown.append((image, result))

    answers = [{"record": {"id": "a"}, "figures": {"f": "f.png"}}, {"record": {"id": "b"}, "files": ["b"]}]
    store = Store(answers)
    trainer(ResultWriter(store), logger=[Shows(lambda *_: DummyLogger()), DummyLogger()]).fit(module(), TaskData([task("a", "b")]))
    assert shown == list(enumerate(answers))


def test_a_store_gets_results_that_can_be_read_and_validated(tmp_path):
    store, names = stored.Store(tmp_path), {"a": "0123456789abcdef", "b": "fedcba9876543210"}
    tasks = [replace(task(name), ids=(id,)) for name, id in names.items()]
    work = EigenModule(Krylov(), linearise="double_backward")
    trainer(EigenvalueCurves(), ResultWriter(store)).fit(work, TaskData(tasks))
    assert sorted(store.ids()) == sorted(names.values())
    for id in names.values():
        result = store.read(id)
        assert result.record["verified"] and len(result.curves) == result.record["steps"]
        assert result.eigenvalues.tolist() == work.results[id].eigenvalues.tolist()
    (found,) = trainer().validate(EigenModule(Krylov()), TaskData(tasks, store=store), verbose=False)
    assert found["a/confirmed"] == found["b/confirmed"] == 1
