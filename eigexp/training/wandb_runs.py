"""Weights & Biases: one run per result, with curves, pictures, a table, numbers to compare runs by, and an artifact."""

from collections.abc import Mapping, Sequence
from os import environ
from pathlib import Path
from typing import Any

from typing_extensions import override

from eigexp.errors import ConfigurationError, nearest
from eigexp.store.identity import identity_words, is_ratio, settings_of
from eigexp.store.labels import distortion_name, end_of, layer_label, pair_text
from eigexp.store.metric_names import PATTERNS, STEP, record_summary
from eigexp.store.record import plain
from eigexp.training.loggers import ResultLogger, layer_of, need
from eigexp.training.task import Task
from eigexp.training.wandb_files import last_logged

COLUMNS = (
    "model",
    "layer",
    "image",
    "eigenindex",
    "eigenvalue",
    "lower",
    "upper",
    "residual",
    "predicted threshold",
    "evidence",
    "verified",
    "Fisher-vector products",
    "eigenvalue as known",
    "settings",
    "picture",
    "distortion",
)
UNTHROTTLED_ROWS = 100
MAX_NAME = 128  # characters of a name that W&B keeps
_KEPT = ("id", "status", "method", "n", "m", "steps", "fisher_vector_products", "seconds", "device")  # of a record, in the summary


class WandbRuns(ResultLogger):
    """One Weights & Biases run per result, with the result's id, resumed if it exists. It mirrors the store, which remains the record.

    Args:
        project: W&B project.
        mode: online, offline (files under <save_dir>/wandb, for `wandb sync`) or disabled; None takes $WANDB_MODE, else offline.
        save_dir: where W&B keeps its files.
        every: log every nth solver step.
        entity: W&B user or team.
        group: name under which runs are grouped; None for the sweep's, or the model's name outside of a sweep.
        tags: of each run.
        init_timeout: seconds to wait for the network in online mode.
        least_seconds: least time between two rows after the first hundred of a run, because a row takes as long as many short steps.
    """

    def __init__(
        self,
        project: str = "eigexp",
        mode: str | None = "offline",
        save_dir: str | Path = "outputs",
        every: int = 10,
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        init_timeout: float = 30.0,
        least_seconds: float = 0.5,
    ):
        self.mode = mode or environ.get("WANDB_MODE") or "offline"
        if self.mode not in ("online", "offline", "disabled"):
            raise ConfigurationError(f"logger.wandb.mode={self.mode} is unknown. {nearest(self.mode, ['online', 'offline', 'disabled'])}")
        if self.mode != "disabled":
            need("wandb", "wandb", "wandb")
        super().__init__(self._init, every=every, resume=self._last_step)
        self._save_dir = Path(save_dir)
        self._settings = {"project": project, "entity": entity, "group": group, "tags": list(tags or ())}
        self._init_timeout, self._least_seconds = init_timeout, least_seconds
        self._seen: dict[int, tuple[int, float]] = {}  # by image: number of rows, and seconds at the last

    @property
    @override
    def save_dir(self) -> str:
        return str(self._save_dir)

    @override
    def wants(self, image: int, step: int, seconds: float) -> bool:
        rows, last = self._seen.get(image, (0, 0.0))
        if step % self.every or (rows >= UNTHROTTLED_ROWS and seconds - last < self._least_seconds):
            return False
        self._seen[image] = rows + 1, seconds
        return True

    @override
    def begin(self, task: Task, steps: Sequence[int] = ()) -> None:
        self._seen = {}
        if self.mode != "disabled":
            super().begin(task, steps)

    @override
    def log_result(self, image: int, result: Mapping[str, Any]) -> None:
        """Log the numbers to compare runs by as summary, pairs as table, pictures and figures as images, and the files as artifact."""
        if self.runs:
            self.runs[image].log_result(result)

    def _last_step(self, run: Any, step: int) -> int:
        """Return the last solver step that W&B has of a run, on its server or in the files of earlier offline runs."""
        return run.last_step(self._save_dir)

    def _init(self, task: Task, image: int) -> Any:
        if self.mode != "online":
            environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else it looks up and calls a host of W&B's, offline too
        import wandb

        self._save_dir.mkdir(parents=True, exist_ok=True)
        layer, name = layer_of(task, image), task.names[image]
        identity = task.identities[image] if task.identities else {}
        model = task.model_name if layer == "output" else f"{task.model_name} {layer}"
        settings = {**self._settings, "group": (self._settings["group"] or model)[:MAX_NAME]}
        run = wandb.init(
            id=_run_id(task.ids[image]),
            name=" ".join(word for word in (model, name, identity_words(identity)) if word)[: MAX_NAME - 9] + f" {task.ids[image][:8]}",
            job_type=_solver(identity)[:MAX_NAME],
            config=flat({**plain(task.config or {}), "model_name": task.model_name, "layer_name": layer, "image_name": name}),
            mode=self.mode,  # pyright: ignore[reportArgumentType]
            dir=self._save_dir,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=self._init_timeout,
                x_disable_stats=True,
                disable_git=True,
                x_save_requirements=False,  # it reads every installed package, for each run; records have the versions that matter
                x_transaction_log_flush_interval=1.0,
            ),
            **settings,
        )
        for key in PATTERNS:
            run.define_metric(key, step_metric=STEP)
        return _WandbRun(run)


class _WandbRun:
    """A W&B run with the methods of a logger that ResultLogger calls."""

    def __init__(self, run: Any):
        self._run = run

    def last_step(self, save_dir: Path) -> int:
        files = save_dir.glob(f"wandb/offline-run-*-{self._run.id}/run-{self._run.id}.wandb")
        return max([int(self._run.summary.get(STEP) or 0), *(last_logged(path, STEP) for path in files)])

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._run.log(metrics)  # without W&B's step, which may not go back as a resumed run does; the axis is solver/step

    def log_result(self, result: Mapping[str, Any]) -> None:
        import wandb

        record, pictures = result.get("record") or {}, result.get("pictures") or {}
        shown: dict[str, Any] = {f"figure/{name}": wandb.Image(str(path)) for name, path in (result.get("figures") or {}).items()}
        for name, (pixels, caption) in pictures.items():
            shown[f"distortions/{name}"] = wandb.Image(pixels, caption=caption)
        if record.get("eigenindex"):
            images = {name: wandb.Image(pixels, caption=caption) for name, (pixels, caption) in pictures.items()}
            shown["results"] = wandb.Table(columns=list(COLUMNS), data=table_rows(record, images))
        if shown:
            self._run.log(shown)
        self._describe(record)
        if files := result.get("files"):
            artifact = wandb.Artifact(f"eigenpairs-{self._run.id}", type="eigenpairs", metadata={"id": record.get("id")})
            for path in files:
                # Stored results are never rewritten, so W&B may upload the files in place and need not copy them.
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            self._run.log_artifact(artifact)

    def _describe(self, record: Mapping[str, Any]) -> None:
        """Set summary, configuration, tags and notes by the record, so that a table of runs can be sorted and filtered."""
        evidence = {f"evidence_{end}": kind for end, kind in (record.get("evidence") or {}).items()}
        numbers = record_summary(record) if record.get("eigenindex") else {}
        if "verified" in record:
            numbers["verified"] = bool(record["verified"])  # true or false, which W&B filters by
            self._run.tags = (*(self._run.tags or ()), "verified" if record["verified"] else "not verified")
        self._run.summary.update({**{key: record[key] for key in _KEPT if key in record}, **evidence, **numbers})
        if record.get("settings") or record.get("identity"):
            # The agent of a W&B sweep has set some of these itself.
            self._run.config.update(flat(settings_of(record)), allow_val_change=True)
        if notes := record.get("notes"):
            self._run.notes = "; ".join(notes)

    def finalize(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "success" else 1)


def table_rows(record: Mapping[str, Any], pictures: Mapping[str, Any] | None = None) -> list[Any]:
    """Return a row of `COLUMNS` for each eigenpair of a record.

    Args:
        record: of a result.
        pictures: by the names of `eigexp.report.pictures`, as the table shows them.
    """
    layer = record.get("layer")
    of = [record.get("model"), None if layer is None else layer_label(layer), (record.get("image") or {}).get("name")]
    words = identity_words(record.get("identity") or {})
    rows: list[Any] = []
    for i, index in enumerate(record["eigenindex"]):
        value, (low, high) = record["eigenvalues"][i], record["intervals"][i]
        evidence = (record.get("evidence") or {}).get(end_of(index, record["n"]))
        known = value and value > 0 and low and not is_ratio(record)  # else there is a lower bound at most
        threshold = value**-0.5 if known else None
        facts = [value, low, high, record["residuals"][i], threshold, evidence, record.get("verified")]
        name = distortion_name(index, record["n"])
        seen = [(pictures or {}).get(f"{name} {how}") for how in ("added", "alone")]
        rows.append([*of, index, *facts, record.get("fisher_vector_products"), pair_text(record, i), words, *seen])
    return rows


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level, such as {"solver_k": 3}: W&B takes a dot in a key for a level of its own."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}{key}".replace(".", "_")
        found |= flat(value, f"{name}_") if isinstance(value, Mapping) else {name: value}
    return found


def _solver(identity: Mapping[str, Any]) -> str:
    solver = identity.get("solver") or {}
    return str(solver.get("name") or solver.get("_target_") or "result")


def _run_id(result: str) -> str:
    """Return the result's id; under `wandb agent` the id that the agent gave the run, because its sweep shows that one."""
    return environ.get("WANDB_RUN_ID", result) if environ.get("WANDB_SWEEP_ID") else result
