"""Lightning is imported with a small part of torchmetrics, and whoever imports torchmetrics gets all of it."""

import subprocess
import sys

import pytest

from tests.sweep.sweeps import environment

# Each part runs in a fork of a process that has imported torch alone; what it must not have imported is a part of its answer.
PARTS = """
import importlib, os, pickle, sys, torch, numpy
from eigexp.training import light_import
HEAVY = {"torchvision", "transformers", "torchmetrics.functional", "scipy.signal"}
heavy = lambda: HEAVY & set(sys.modules)

def whole():
    import torchmetrics
    from lightning.pytorch.core.module import Metric, MetricCollection
    assert torchmetrics.Metric is Metric is torchmetrics.metric.Metric and torchmetrics.MetricCollection is MetricCollection
    assert all(hasattr(torchmetrics, name) for name in torchmetrics.__all__)
    assert torchmetrics.utilities.data.dim_zero_sum and torchmetrics.__version__ and torchmetrics.__spec__.origin == torchmetrics.__file__
    return torchmetrics

def as_a_user():
    light_import.import_lightning()
    assert not heavy() and "torchmetrics" not in sys.modules
    assert importlib.util.find_spec("torchmetrics").origin  # a question, such as Lightning's own, imports nothing
    assert "torchmetrics" not in sys.modules
    child = os.fork()
    if not child:
        part(deep)
    assert os.waitpid(child, 0)[1] == 0
    assert not heavy()
    import lightning.pytorch as pl
    from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric
    from torchmetrics import MeanMetric, Metric, MetricCollection
    whole()
    assert issubclass(MeanMetric, Metric) and issubclass(_ResultMetric, Metric)
    assert not any(type(finder).__module__ == light_import.__name__ for finder in sys.meta_path)

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.mean, self.automatic_optimization = MeanMetric(), False
            self.both = MetricCollection({"a": MeanMetric()})
        def training_step(self, batch, i):
            self.mean(batch)
            self.both(batch)
            self.log("mean", self.mean, on_step=False, on_epoch=True)
            self.log_dict(self.both, on_step=False, on_epoch=True)
        def configure_optimizers(self):
            return None

    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", **quiet)
    module = Module()
    trainer.fit(module, torch.utils.data.DataLoader(torch.tensor([1.0, 2.0, 6.0])))
    assert trainer.callback_metrics == {"mean": torch.tensor(3.0), "a": torch.tensor(3.0)}
    again = pickle.loads(pickle.dumps(module.mean))
    again.update(4.0)
    assert isinstance(again, Metric)

def deep():
    from torchmetrics.functional.classification import accuracy  # the first import is of a module deep in the package
    assert accuracy(torch.tensor([1, 0]), torch.tensor([1, 1]), "binary") == 0.5
    whole()

def by_another_name():
    with light_import.light_torchmetrics():
        from torchmetrics import Metric
        assert not heavy()
        from torchmetrics import MeanMetric  # a name that this version of Lightning does not ask for
        assert issubclass(MeanMetric, Metric)
    import lightning.pytorch
    whole()

def held_from_before():
    with light_import.light_torchmetrics():
        import torchmetrics as held  # as a part of Lightning does
    assert not heavy() and "torchmetrics" not in sys.modules
    assert issubclass(held.MeanMetric, held.Metric)
    import lightning.pytorch
    assert whole() is held
    assert not any(type(finder).__module__ == light_import.__name__ for finder in sys.meta_path)

def arranged_differently():
    light_import._USED = {"utilities": (), "nowhere": ()}
    light_import.import_lightning()
    assert sys.modules["torchmetrics"].MeanMetric
    whole()

def already_imported():
    import torchmetrics
    before = list(sys.meta_path)
    light_import.import_lightning()
    assert sys.modules["torchmetrics"] is torchmetrics and sys.meta_path == before
    whole()

def part(run):
    try:
        run()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

child = os.fork()
if not child:
    part(globals()[sys.argv[1]])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow(4)
@pytest.mark.parametrize("part", ["as_a_user", "by_another_name", "held_from_before", "arranged_differently", "already_imported"])
def test_torchmetrics_is_whole_for_whoever_imports_it(part):
    done = subprocess.run([sys.executable, "-c", PARTS, part], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
