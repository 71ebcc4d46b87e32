"""What a Trainer may ask of a solver, and what is refused, with the reason: there are no weights, losses or gradients to work on."""

import warnings
from typing import Any

from lightning.pytorch import Trainer, callbacks
from lightning.pytorch.strategies import SingleDeviceStrategy

from eigexp.errors import ConfigurationError

_NO_WEIGHTS = "it changes weights during training, and a solver has no weights"
_REFUSED: dict[type, str] = {
    callbacks.StochasticWeightAveraging: "it averages weights over steps, and a solver has none",
    callbacks.WeightAveraging: "it averages weights over steps, and a solver has none",
    callbacks.BaseFinetuning: _NO_WEIGHTS,
    callbacks.ModelPruning: _NO_WEIGHTS,
    callbacks.LearningRateFinder: "there is no learning rate",
    callbacks.BatchSizeFinder: "a batch is the images of a Task; set images.batch_size",
    callbacks.GradientAccumulationScheduler: "there are no gradients to accumulate",
    callbacks.SpikeDetection: "there is no loss",
}
_IRRELEVANT = (
    "Using ModelCheckpoint with manual optimization and every_n_train_steps",  # which weights it saves: there are none
    "Total length of `list` across ranks is zero",  # no validation within the fit unless val_check_interval asks for it
)


def check_trainer(trainer: Trainer) -> None:
    """Refuse settings of a Trainer that cannot work on a solver, before the fit begins; and silence warnings that do not apply.

    Raises:
        ConfigurationError: naming the setting, the reason and what to do.
    """
    for refuse in (_check_precision, _check_limits, _check_callbacks, _check_strategy):
        refuse(trainer)
    for message in _IRRELEVANT:
        warnings.filterwarnings("ignore", message=message)


def _check_precision(trainer: Trainer) -> None:
    if trainer.precision not in ("32-true", "64-true"):
        raise ConfigurationError(
            f"trainer.precision={trainer.precision} is less precise than float32. "
            "Leave it at 32-true; the dtype of the images selects float32 or float64."
        )


def _check_limits(trainer: Trainer) -> None:
    if trainer.min_steps:
        raise ConfigurationError(f"trainer.min_steps={trainer.min_steps}: a solver takes no steps after it has finished. Remove it.")
    if (trainer.min_epochs or 0) > 1:
        raise ConfigurationError(
            f"trainer.min_epochs={trainer.min_epochs}: the number of tasks determines the number of epochs. Remove it."
        )


def _check_callbacks(trainer: Trainer) -> None:
    for callback in _callbacks(trainer):
        reason = next((text for kind, text in _REFUSED.items() if isinstance(callback, kind)), None)
        if reason:
            raise ConfigurationError(f"{type(callback).__name__} cannot be used: {reason}. Remove it.")
        if isinstance(callback, callbacks.ModelCheckpoint) and callback._train_time_interval:
            raise ConfigurationError(
                "ModelCheckpoint(train_time_interval=...) would save nothing: Lightning ignores it without automatic optimization. "
                "Use every_n_train_steps=, or eigexp.training.callbacks.Checkpoint(every_seconds=...)."
            )


def _check_strategy(trainer: Trainer) -> None:
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise ConfigurationError(
            f"trainer.strategy={type(trainer.strategy).__name__} synchronises gradients, but a solver has no gradients. "
            "Use eigexp.training.IndependentStrategy(devices) or BlockStrategy(devices), or trainer.strategy=images or block."
        )


def _callbacks(trainer: Trainer) -> list[Any]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
