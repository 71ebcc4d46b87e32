"""Moving and casting; Trainers, callbacks, progress, interrupts."""

import signal

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from eigexp import Eigendistortion
from eigexp.store.identity import settings_of
from eigexp.training.callbacks import Convergence, EigenvalueCurves, SolverProgress
from tests.synthesis.toys import linear_object, picture, random_matrix, spectrum

TALL = random_matrix("tall", 0)


@pytest.fixture
def eig():
    return linear_object(TALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_precisions(dtype):
    eig = linear_object(TALL.to(dtype), picture(dtype=dtype))
    eig.synthesize(progress=False)
    assert eig.eigenvalues.dtype == eig.eigendistortions.dtype == eig.compute_jacobian().dtype == dtype
    assert eig.intervals.dtype == eig.residuals.dtype == torch.float64
    torch.testing.assert_close(eig.eigenvalues.double(), spectrum(TALL)[[0, -1]], rtol=1e-3, atol=0)


def test_to_casts_image_model_and_results_midway(eig):
    eig.synthesize("exact", progress=False)
    values = eig.eigenvalues
    assert eig.to(torch.float32) is None
    for tensor in (eig.image, eig.eigendistortions, eig.eigenvalues, eig.jacobian, eig.model.matrix):
        assert tensor.dtype == torch.float32
    assert eig.eigenindex.dtype == torch.int64
    torch.testing.assert_close(eig.eigenvalues, values.float())
    eig.synthesize(k=2, progress=False)
    assert eig.eigendistortions.dtype == torch.float32
    torch.testing.assert_close(eig.eigenvalues, spectrum(TALL)[[0, 1, -2, -1]].float(), rtol=1e-3, atol=0)
    eig.to(torch.zeros(1, dtype=torch.float64))
    assert eig.image.dtype == eig.model.matrix.dtype == torch.float64
    eig.to(device="cpu", dtype=torch.float32)
    assert eig.image.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.int32, torch.float16])
def test_to_refuses_other_dtypes_and_changes_nothing(eig, dtype):
    with pytest.raises(TypeError, match=str(dtype)):
        eig.to(dtype)
    assert eig.image.dtype == eig.model.matrix.dtype == torch.float64


def test_a_model_without_to_warns_and_stays():
    eig = Eigendistortion(picture(dtype=torch.float32), lambda x: 2 * x.flatten(1))
    with pytest.warns(UserWarning, match="no method `to`"):
        eig.to(torch.float64)
    eig.synthesize(progress=False)
    torch.testing.assert_close(eig.eigenvalues, torch.full((2,), 4.0, dtype=torch.float64))


# ----------------------------------------------------------------------------------------------------------- trainer


def test_no_file_is_written(eig, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    eig.synthesize(progress=False)
    assert list(tmp_path.rglob("*")) == []


def test_progress_is_shown_unless_it_is_not_wanted(eig, capsys):
    eig.synthesize()
    shown = capsys.readouterr()
    assert "image: converged" in shown.err and shown.out == ""
    eig.synthesize(progress=False)
    assert capsys.readouterr().err == ""


def test_callbacks_hear_of_the_task(eig):
    class Listener(Callback):
        steps = 0

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.steps += 1

    listener, curves = Listener(), EigenvalueCurves()
    eig.synthesize(callbacks=[listener, curves], progress=False)
    assert listener.steps == eig.pairs.steps == len(curves.rows[0])


def test_a_callback_can_end_the_task(eig):
    eig.synthesize(callbacks=[Convergence(tol=0.5)], progress=False)
    assert eig.status == "budget" and "ended by convergence.tol=0.5" in eig.pairs.notes


def own_trainer(**settings):
    return Trainer(
        **{"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, **settings},
        enable_model_summary=False,
    )


@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's advice on loaders and workers
def test_a_trainer_can_be_passed_in_and_used_again(eig):
    eig.synthesize(progress=False)
    expected = eig.eigendistortions
    trainer = own_trainer()
    for _ in range(2):
        eig.synthesize(k=1, trainer=trainer)
        assert torch.equal(eig.eigendistortions, expected)
    assert not trainer.callbacks or all(type(c).__name__ != "_Collector" for c in trainer.callbacks)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_trainer_with_a_step_limit_leaves_what_there_is(eig):
    eig.synthesize(trainer=own_trainer(max_steps=4))
    assert eig.status == "budget" and eig.pairs.steps == 4


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_trainer_that_is_used_up_is_refused(eig):
    trainer = own_trainer(max_epochs=1)
    eig.synthesize(trainer=trainer)
    with pytest.raises(ValueError, match="ended before its first step"):
        eig.synthesize(trainer=trainer)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_callbacks_beside_a_trainer_are_refused(eig):
    with pytest.raises(ValueError, match="Give them to the trainer"):
        eig.synthesize(trainer=own_trainer(), callbacks=[SolverProgress("quiet")])


def test_an_interrupt_is_a_keyboard_interrupt_and_the_next_one_works_too(eig):
    class Impatient(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        eig.synthesize(callbacks=[Impatient()], progress=False)
    assert signal.getsignal(signal.SIGINT) is handler
    assert eig.eigenvalues is None
    eig.synthesize(progress=False)
    assert eig.status == "converged"


def test_the_record_has_the_settings_and_the_id_of_what_determines_the_numbers(eig):
    records = {}
    for k, seed in ((1, 0), (2, 0), (1, 1), (1, 0)):
        eig.synthesize(k=k, seed=seed, progress=False)
        (solved,) = eig._results.solved
        settings = settings_of(solved.record)
        assert (settings["solver"], settings["solver.k"], settings["seed"], settings["dtype"]) == ("krylov", k, seed, "float64")
        assert settings["model"] == solved.record["model"] and settings["noise"] == settings["subspace"] == "none"
        assert records.setdefault((k, seed), solved.record["id"]) == solved.record["id"]
    assert len(set(records.values())) == 3
