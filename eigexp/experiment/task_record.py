"""The records of a task: what its images share is found once."""

from collections.abc import Mapping, Sequence
from typing import Any

from eigexp.experiment.identity import result_settings
from eigexp.experiment.metric import group_names, metric_settings
from eigexp.experiment.response import response_digests
from eigexp.pairs import EigenPairs
from eigexp.store import build_record, environment
from eigexp.store.labels import model_label
from eigexp.store.source_code import distributions, model_code
from eigexp.training import EigenModule, Task


def task_records(task: Task, eigenpairs: Sequence[EigenPairs], module: EigenModule, seconds: float) -> list[dict[str, Any]]:
    """Return the record of each image of a task.

    Args:
        task: that is done.
        eigenpairs: certified, of each image.
        module: what computed them.
        seconds: spent on each image.
    """
    config, identities = task.config or {}, task.identities or ({},) * len(task.ids)
    layer, code = identities[0].get("layer"), (identities[0].get("model") or {}).get("code", "")  # those of all
    common: dict[str, Any] = {
        "model": task.model_name,
        "layer": layer,
        "seconds": seconds,
        "seed": module.settings.seed,
        "device": str(module.device),
        "environment": environment(packages=distributions(model_code(task.model))),
        "linearise": getattr(module.operator, "method", None),
        "settings": result_settings(config, code) | metric_settings(config) if config else {},
    }
    notes = [*_notes(task.model_name, config), *_logger_notes(module)]
    given = zip(eigenpairs, task.images, task.ids, identities, response_digests(task.model, task.images), strict=True)
    return [
        build_record(
            pairs,
            image,
            id=id,
            identity=identity,
            response=response,
            **_facts(pairs, task, layer),
            notes=[*pairs.notes, *notes],
            **common,
        )
        for pairs, image, id, identity, response in given
    ]


def _facts(pairs: EigenPairs, task: Task, layer: Any) -> dict[str, Any]:
    """Return the further keys of the record: of principal distortions, with the names of the models."""
    names = [model_label(task.model_name, layer), *group_names(task.config or {})]
    return {key: {"models": names, **facts} for key, facts in pairs.facts.items()}


def _notes(model: str, config: Mapping[str, Any]) -> list[str]:
    """Return notes on the model for readers of the result."""
    random = config.get("model", {}).get("weights") == "random"
    return [f"{model} has random weights: the result says nothing about a trained network"] if random else []


def _logger_notes(module: EigenModule) -> list[str]:
    """Return what loggers failed at so far."""
    loggers = module.trainer.loggers if module._trainer is not None else []
    return [problem for logger in loggers if (problem := getattr(logger, "problem", ""))]
