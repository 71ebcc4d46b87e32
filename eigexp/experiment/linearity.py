"""Responses to distortions of finite norm: up to which norm the prediction from the eigenvalue holds, for the model of a stored result."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eigexp.errors import ConfigurationError, ModelError
from eigexp.experiment.networks import Network, build_network
from eigexp.experiment.parts import build
from eigexp.noise import EarlyLateNoise, GaussianNoise, Noise
from eigexp.operators.jacobian import LinearisationPoint
from eigexp.operators.precision import converted
from eigexp.report import View
from eigexp.report.linearity import Measured, linearity_csv, linearity_figure, linearity_words
from eigexp.report.pixels import default_scale
from eigexp.report.stimuli import file_stem
from eigexp.report.style import figure_bytes
from eigexp.store import Result
from eigexp.store.files import write_output
from eigexp.store.record import canonical_json
from eigexp.store.result import CONFIG
from eigexp.store.secrets import thawed

POINTS = 17
DECADES = 4
log = logging.getLogger(__name__)


class Responses:
    """The responses of a result's model, in float64 where the model can be computed in it.

    Args:
        result: from the store; its configuration names the model.
        trust: build the model, which runs the code that the configuration names. `eigexp.store.owner.is_own` says whether you made it.
        built: networks of other results, by their configuration; a new one is added.

    Raises:
        ConfigurationError: if the result is not trusted, kept no configuration, or it does not describe a model, or if its eigenvalues are
            ratios, which predict no response.
        ModelError: if the model's weights are no longer those that the result was computed with.
    """

    def __init__(self, result: Result, *, trust: bool, built: dict[str, Network] | None = None):
        network, config = rebuilt(result, trust=trust, built=built)
        check_predicts(result)
        (model,) = network.layers.models.values()
        self.result = result
        self.noise: Noise = build(config.get("noise"), "noise") or GaussianNoise()
        self._point, self.dtype = _point(model, result.image)

    def distance(self, values: NDArray[Any], reference: NDArray[Any]) -> float:
        """Return the distance between the responses to two images of the result's shape, in units of the noise."""
        at, other = self._respond(reference), self._respond(values)
        difference = self.noise.whiten((other - at)[:, None], at)
        return float(torch.linalg.vector_norm(difference.double()))

    @cached_property
    def _kept(self) -> dict[bytes, Tensor]:
        return {}

    def _respond(self, values: NDArray[Any]) -> Tensor:
        """Return the response to an image. The last few references are kept, because each is needed many times."""
        image = np.ascontiguousarray(values, dtype=np.float64)
        key = image.tobytes()
        if key not in self._kept:
            while len(self._kept) >= 3:
                self._kept.pop(next(iter(self._kept)))
            with torch.no_grad():
                response = self._point.response(torch.from_numpy(image).to(self.dtype)[None])
        else:
            response = self._kept.pop(key)
        return self._kept.setdefault(key, response)


def measure(
    result: Result, responses: Responses, *, alphas: Sequence[float] | None = None, eigenindex: Sequence[int] | None = None
) -> list[Measured]:
    """Return ||f(x + alpha v) - f(x)|| of a result's distortions, for both signs.

    Args:
        result: from the store.
        responses: of its model.
        alphas: norms; 17 over four decades about the visible ones by default.
        eigenindex: of the distortions, negative from the end; both ends by default.

    Raises:
        ConfigurationError: if an eigenindex was not found.
    """
    view = View.of(result)
    positions = view.positions(eigenindex)
    highest = 10 * default_scale(view.distortions[positions])
    norms = list(alphas) if alphas is not None else np.geomspace(highest / 10**DECADES, highest, POINTS).tolist()
    image = view.image.astype(np.float64)
    return [_measured(view, image, at, sign * alpha, responses) for at in positions for alpha in norms for sign in (1, -1)]


def write_linearity(
    result: Result,
    folder: str | Path,
    responses: Responses,
    *,
    alphas: Sequence[float] | None = None,
    eigenindex: Sequence[int] | None = None,
) -> list[str]:
    """Measure, and write <result>_linearity.csv, .pdf and .png; returns a line for each distortion that says how far the prediction holds.

    Args:
        result: from the store.
        folder: where the files go.
        responses: of its model.
        alphas: as in `measure`.
        eigenindex: as in `measure`.

    Raises:
        EigexpError: if the model cannot be built again, or the files not be written.
    """
    rows = measure(result, responses, alphas=alphas, eigenindex=eigenindex)
    view = View.of(result)
    stem = Path(folder) / f"{file_stem(view)}_linearity"
    title = " \u00b7 ".join(str(part) for part in (view.record.get("model"), (view.record.get("image") or {}).get("name")) if part)
    figure = linearity_figure(rows, title)
    write_output(stem.with_name(stem.name + ".csv"), linearity_csv(rows))
    for form in ("pdf", "png"):
        write_output(stem.with_name(f"{stem.name}.{form}"), figure_bytes(figure, form))
    return linearity_words(rows)


def rebuilt(result: Result, *, trust: bool, built: dict[str, Network] | None = None) -> tuple[Network, dict[str, Any]]:
    """Return the network of a stored result at its layer, and its configuration.

    Raises:
        ConfigurationError, ModelError: as `Responses`.
    """
    check_trust(result, trust=trust)
    if not result.config.get("model"):
        raise ConfigurationError(
            f"Result {result.id} has no stored configuration, so its model cannot be built. Use --no-check to export without the model."
        )
    config = thawed(result.config)
    node = {**config["model"], "layer": _one_layer(result)}
    key, built = canonical_json(node), {} if built is None else built
    network = built[key] = built.get(key) or build_network(node)
    (digest,) = network.digests.values()
    known = (result.record.get("identity") or {}).get("weights")
    if known and digest != known:
        raise ModelError(
            f"The weights of {network.name} are not those of result {result.id}: they have changed since. "
            "Use --no-check to export without them."
        )
    return network, config


def check_trust(result: Result, *, trust: bool) -> None:
    """Refuse to build the model of another user's result.

    Raises:
        ConfigurationError: if it is not trusted.
    """
    if not trust:
        raise ConfigurationError(
            f"Result {result.id} was not computed here, and building its model runs the code that its configuration names. "
            f"Read {result.folder / CONFIG}, then add --trust; --no-check exports without the model."
        )


def check_predicts(result: Result) -> None:
    """Refuse a result whose eigenvalues do not predict the change of the model's response.

    Raises:
        ConfigurationError: naming the setting that makes them ratios.
    """
    config = thawed(result.config)
    ratios = {
        "against=": config.get("against"),
        "norm=": (config.get("norm") or {}).get("_target_"),
        "noise=early_late": isinstance(build(config.get("noise"), "noise"), EarlyLateNoise),
    }
    if named := next((name for name, given in ratios.items() if given), None):
        raise ConfigurationError(
            f"Result {result.id} was computed with {named}, so its eigenvalues do not predict the model's response. "
            "Use --no-check to export without the model, or leave the result out."
        )


def _one_layer(result: Result) -> Any:
    """Return the layer of the result, of several that its configuration may name, as `model.layer` writes it."""
    layer = result.record.get("layer")
    return [layer] if isinstance(layer, list) else layer


def _measured(view: View, image: NDArray[Any], at: int, alpha: float, responses: Responses) -> Measured:
    values = image + alpha * view.distortions[at]
    low, high = (max(float(bound), 0.0) for bound in view.intervals[at])
    value = max(float(view.eigenvalues[at]), 0.0)
    return Measured(
        eigenindex=int(view.eigenindex[at]),
        n=view.n,
        eigenvalue=value,
        lower=low,
        upper=high,
        alpha=alpha,
        predicted=abs(alpha) * value**0.5,
        predicted_at_most=abs(alpha) * high**0.5,
        measured=responses.distance(values, image),
        outside=float(np.mean((values < 0) | (values > 1))),
    )


def _point(model: nn.Module, image: NDArray[Any]) -> tuple[LinearisationPoint, torch.dtype]:
    """Return the model at the image in float64; in float32, with a warning, if it has parts that stay in float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64))[None]
    try:
        point = LinearisationPoint(converted(model, torch.float64), pixels, None, None, batched=True)
        with torch.no_grad():
            point.response(pixels)
        return point, torch.float64
    except RuntimeError as error:
        log.warning(
            "The model is computed in float32, because float64 failed (%s): rounding may exceed small changes of the response.",
            str(error)[:120],
        )
        return LinearisationPoint(converted(model, torch.float32), pixels.float(), None, None, batched=True), torch.float32
