"""What a run says of itself: without a result it is never converged."""

import pytest

from eigexp.config.compose import compose
from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.sweep.plan import make_plan
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.worker import run_task

SMALL = ["model=ln", "images.size=16", "logger=none", "callbacks.progress.mode=quiet"]


@pytest.mark.parametrize("limit", ["max_steps=1", "limit_train_batches=0", "fast_dev_run=True", "max_epochs=0"])
@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_run_without_a_result_ends_with_3_and_says_why(limit, tmp_path):
    override = f"{'' if limit.startswith('max_steps') else '+'}trainer.{limit}"
    outcome = run(compose([*SMALL, f"store='{tmp_path}'", override]))
    assert outcome.exit_code == 3 and not outcome.folders and len(outcome.unfinished) == 1
    assert outcome.reason.startswith(f"1 of 1 results were not computed: trainer.{limit} ended the fit")
    assert "\n" not in outcome.reason


def test_a_task_of_a_sweep_says_the_same(tmp_path):
    plan = make_plan([*SMALL, f"store='{tmp_path}'", "trainer.max_steps=1"])
    (task,) = plan
    write_tasks(plan.store, [task], {})
    report = run_task(plan.store, task.id, lambda config, ids, cache: run(config, only=ids, cache=cache), None)
    assert (report.state, report.code) == ("unfinished", 3)
    assert "trainer.max_steps=1 ended the fit" in report.message and "changed since" not in report.message
    assert not Store(tmp_path).ids()
