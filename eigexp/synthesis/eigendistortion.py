"""The Eigendistortion class, for notebooks."""

import warnings
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from eigexp.certificates import Precision
from eigexp.errors import ConfigurationError, InputTypeError
from eigexp.noise import Noise
from eigexp.norm import Norm
from eigexp.solvers.base import Solver
from eigexp.solvers.exact import Exact
from eigexp.store.identity import Part
from eigexp.store.record import canonical_json
from eigexp.store.result import as_array
from eigexp.subspace import PixelSubspace
from eigexp.synthesis.attributes import Attributes
from eigexp.synthesis.checks import check_image, check_model, respond
from eigexp.synthesis.jacobian import check_exact, check_jacobian_memory, compute_jacobian, warn_of_size
from eigexp.synthesis.methods import Method, solver_for
from eigexp.synthesis.results import SynthesisResults
from eigexp.synthesis.saving import OBJECT, Kind, load_into, save_object
from eigexp.synthesis.solving import Mode, fit
from eigexp.training.settings import SolveSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_OWN = {"_image", "_model", "_noise", "_subspace", "_norm", "_num_responses", "_jacobian", "_results"}  # attributes of every object


class Eigendistortion(Attributes):
    """Find the changes to an image that a model notices most and least: extremal eigenvectors of its Fisher information F = J^T J.

    J is the Jacobian of the model's responses with respect to the pixels; the responses have independent Gaussian noise of unit variance,
    unless `noise` is given (Berardino, Laparra, Balle and Simoncelli 2017). The interface is that of plenoptic's class of the same name.
    Solvers, certificates and Trainer are those of `eigexp run`.

    Args:
        image: float32 or float64, in [0, 1]: (images, channels, height, width), or any other shape that the model accepts. The first axis
            runs over images; a tensor of one axis is one image, which the model gets unchanged. Its dtype and device are those of
            the computation.
        model: in evaluation mode, without parameters that require gradients (`eigexp.prepare_model` does both). Returns a tensor, or
            tuples, lists or dicts of tensors. With several images, the first axis of each runs over images, and no
            response may depend on another image.
        noise: response noise from `eigexp.noise`, or your own; None for unit Gaussian noise.
        subspace: pixel subspace to which distortions are restricted, such as `eigexp.subspace.Mask()`; None for all pixels.
        norm: of distortions, from `eigexp.norm`; None for the Euclidean one. Eigenvalues are then those of F v = lambda M v, so that a
            threshold is a norm ||v||_M; distortions are stored with unit Euclidean norm.

    Attributes are None until `synthesize` or `load`. With one image they are as described; **with several images** `eigendistortions`,
    `eigenvalues`, `intervals`, `residuals` and `jacobian` have a leading axis over images, and `fisher_vector_products`, `status`,
    `verified` and `pairs` are tuples. `eigenindex` is common to all images: after an early stop it has only those found for all images.

    Raises:
        InputTypeError: (a TypeError) if the image is not float32 or float64, or the model changes that.
        ImageError: (a ValueError) if the image is empty or not finite.
        ModelError: (a ValueError) if the model cannot be differentiated, or a parameter requires gradients.
        ConfigurationError: (a ValueError) if `noise`, `subspace` or `norm` has a wrong type.
        DeviceError: (a RuntimeError) if the model changes the device of its input.

    Warns:
        UserWarning: if the image is not 4-D or exceeds [0, 1], or the model is in training mode.
    """

    def __init__(
        self,
        image: Tensor,
        model: Callable[[Tensor], Any],
        *,
        noise: Noise | None = None,
        subspace: PixelSubspace | None = None,
        norm: Norm | None = None,
    ):
        check_image(image)
        _check_kind("noise", noise, Noise)
        _check_kind("subspace", subspace, PixelSubspace)
        _check_kind("norm", norm, Norm)
        self._noise, self._subspace, self._norm = noise, subspace, norm
        self._num_responses = check_model(model, image.detach()).shape[1]
        self._image = image.detach().clone()
        self._model = model
        self._jacobian: Tensor | None = None
        self._results: SynthesisResults | None = None

    def synthesize(
        self,
        method: Method | Solver = "krylov",
        k: int = 1,
        max_iter: int = 1000,
        p: int = 5,
        q: int = 2,
        stop_criterion: float = 1e-7,
        *,
        tol: float | None = None,
        k_top: int | None = None,
        k_bottom: int | None = None,
        bottom_rtol: float | None = None,
        preconditioner: Literal["pf", "pb"] | None = None,
        linearise: str = "auto",
        certify: Precision = "float64",
        seed: int = 0,
        trainer: Trainer | None = None,
        callbacks: Sequence[Callback] | None = None,
        progress: bool | Mode = True,
    ) -> None:
        """Compute eigendistortions. Each solver iteration is one step of a Lightning Trainer; by default nothing is written to disk.

        The default is "krylov" and not "power", which is plenoptic's: power iteration can stop at a wrong smallest eigenvalue. It runs on
        F - lambda_1, whose eigenvalues are densest there, so its eigenvalue can stop changing before its vector has converged. The
        Krylov space uses every product for both ends, stops on residuals, reports its evidence, and needs fewer products.

        Args:
            method: "krylov", both ends from one Krylov space; "power", block power iteration, both ends; "exact", all eigenpairs from the
                explicit Jacobian, for small images; "randomized_svd", the largest only, by a fixed number of passes; "sparse", both ends
                of a model whose responses each depend on few pixels, for images in float64; "auto", the one of "exact", "sparse" and
                "krylov" that suits the size. Or a solver from `eigexp.solvers`, with any of its settings.
            k: number of pairs at each end; "exact" ignores it and computes all.
            max_iter: maximum number of steps of "krylov" and "auto"; twice as many for "power", both ends together; the others ignore it.
            p: oversampling of "randomized_svd", additional vectors.
            q: number of power passes of "randomized_svd".
            stop_criterion: "power" stops when its eigenvalues change by less, in Euclidean norm; the others ignore it.
            tol: residual to reach, relative to the largest eigenvalue; 1e-4 by default. If it is given, "power" stops on residuals, too.
            k_top: number of pairs at the largest end, if other than `k`; for "krylov" and "power".
            k_bottom: number at the smallest end, if other than `k`; for "krylov" and "power".
            bottom_rtol: residual to reach at the smallest eigenvalues, relative to each of them; not for "exact" and "randomized_svd".
            preconditioner: "pf" or "pb" directs the search of "krylov" for the smallest eigenvalues with an estimate of F's inverse.
            linearise: how products are computed, as in `eigexp.linearise`; "exact" always uses the dense Jacobian.
            certify: precision of the certificate's products: "float64", with a copy of the model, so that bounds hold for the model itself;
                "solver" computes them in the image's dtype, with intervals widened by the measured rounding.
            seed: of the first vectors. The global random state is neither used nor changed.
            trainer: your own Trainer, with its callbacks, loggers and device; the results are moved to the image's device. None makes one.
            callbacks: for the Trainer made here, from `eigexp.training.callbacks` or Lightning.
            progress: False for none; True for a bar on a terminal and lines elsewhere; or "bar", "plain".

        Raises:
            ConfigurationError: (a ValueError) if the method is unknown, or cannot work with a setting, this image or this model.
            MemoryLimitError: if "exact" or "sparse" does not fit into memory.
            ModelError: (a ValueError) if the model's derivative at this image is not finite, or zero everywhere.

        Warns:
            UserWarning: if "exact" computes a Jacobian of more than 1e6 elements; and after "randomized_svd", with the error of its range.
        """
        asked = {"k_top": k_top, "k_bottom": k_bottom, "bottom_rtol": bottom_rtol, "preconditioner": preconditioner}
        solver = solver_for(method, k=k, max_iter=max_iter, p=p, q=q, stop_criterion=stop_criterion, tol=tol, **asked)
        if isinstance(solver, Exact):
            check_exact(self._image, self._num_responses)
        linearise = "dense" if isinstance(solver, Exact) else linearise
        settings = SolveSettings(solver, linearise, certify, self._noise, self._subspace, seed)
        found = fit(self._image, self._model, settings, norm=self._norm, trainer=trainer, callbacks=callbacks, progress=progress)
        for i, error in enumerate(found.range_errors):
            which = f" of image {i}" if self._is_batch else ""
            warnings.warn(
                f"randomized SVD stops without a residual check; the estimated error of its range{which} is {error:.2g}, as an eigenvalue.",
                stacklevel=2,
            )
        if found.jacobian is not None:
            self._jacobian = found.jacobian if self._is_batch else found.jacobian[0]
        self._results = SynthesisResults(found.solved, self._image)

    def compute_jacobian(self) -> Tensor:
        """Compute the Jacobian (m, n) of the model's responses with respect to the pixels. The result is cached.

        Raises:
            MemoryLimitError: if it does not fit into memory.

        Warns:
            UserWarning: if the image has more than 1e4 pixels, because this takes a long time.
        """
        if self._jacobian is None:
            warn_of_size(self._image, stacklevel=3)
            check_jacobian_memory(self._image, self._num_responses, copies=2)
            jacobian = compute_jacobian(self._image, self._model)
            self._jacobian = jacobian if self._is_batch else jacobian[0]
        return self._jacobian

    def plot(
        self,
        eigenindex: int | Sequence[int] | None = None,
        *,
        channel: int | Sequence[int] | None = None,
        scale: float | None = None,
        process_image: Callable[[Any], Any] | None = None,
        image: int = 0,
    ) -> "Figure":
        """Draw the figure of `eigexp run`: the image, distortions alone and added to it, the spectrum, the curves, and the evidence.

        Args:
            eigenindex: one or several to show, negative from the end; both ends by default.
            channel: the channel to show, or three as red, green and blue, of an image whose channels are not colours.
            scale: norm of each distortion in the figure, in pixel units; chosen so that they are visible by default.
            process_image: maps an image, a numpy array (c, h, w), to display values in [0, 1], for example to undo a normalisation.
            image: position of the image, of several.

        Raises:
            IndexError, ConfigurationError: as `index_of`.
        """
        from eigexp.report import distortion_figure

        indices = [eigenindex] if isinstance(eigenindex, int) else eigenindex
        for index in [0] if indices is None else indices:
            self.index_of(index)
        assert self._results is not None
        solved = self._results.solved[image]
        pixels = self._image[image] if self._image.ndim > 1 else self._image
        bounded = bool(solved.pairs.intervals.isfinite().all())  # imported pairs have no bounds
        names = ("eigendistortions", "eigenvalues", "eigenindex", *(["intervals"] if bounded else []))
        arrays = {**{name: getattr(solved.pairs, name) for name in names}, "image": pixels}
        return distortion_figure(arrays, solved.record, solved.curves, scale, indices, channel, process_image)

    def save(self, file_path: str | Path) -> None:
        """Write everything but the model atomically to one safetensors file with JSON in its header; nothing is pickled.

        Raises:
            StoreError: (an OSError) if the file cannot be written.
        """
        output = respond(self._model, self._image).detach()
        solved = self._results.solved if self._results else ()
        save_object(file_path, self._kind(), image=self._image, model=self._model, output=output, solved=solved, jacobian=self._jacobian)

    def load(
        self,
        file_path: str | Path,
        map_location: str | torch.device | None = None,
        raise_on_checks: bool = True,
        tensor_equality_atol: float = 1e-8,
        tensor_equality_rtol: float = 1e-5,
    ) -> None:
        """Load a file of `save` into a new object with the same image and model. Files of plenoptic are imported, too.

        Distortions from plenoptic have no error bounds and are not verified; `synthesize` computes certified ones.

        Args:
            file_path: the file.
            map_location: the device to load to; that of `image` by default.
            raise_on_checks: False warns instead of raising where the image, the model's output or name, the class of the object, or
                its attributes differ. The saved image is then used, with this object's model.
            tensor_equality_atol: absolute tolerance for equal images and model outputs.
            tensor_equality_rtol: relative tolerance.

        Raises:
            LoadError: (a ValueError) if this object has eigendistortions, a check fails, or the dtype or device differs.
            StoreError: (an OSError) if the file cannot be read.

        Warns:
            LoadWarning: if a check fails and `raise_on_checks` is False.
        """
        loaded = load_into(
            file_path,
            self._kind(),
            image=self._image,
            model=self._model,
            fresh=self._results is None,
            map_location=map_location,
            raise_on_checks=raise_on_checks,
            atol=tensor_equality_atol,
            rtol=tensor_equality_rtol,
        )
        self._image, self._jacobian = loaded.image, loaded.jacobian
        self._results = SynthesisResults(loaded.solved, loaded.image) if loaded.solved else None

    def to(self, *args: Any, **kwargs: Any) -> None:
        """Move or cast image, model and results: by device, dtype, both, or a tensor that has them, as in `torch.nn.Module.to`.

        Raises:
            InputTypeError: (a TypeError) if the dtype is neither float32 nor float64.

        Warns:
            UserWarning: if the model has no method `to`; it is not changed.
        """
        moved = self._image.to(*args, **kwargs)
        if moved.dtype not in (torch.float32, torch.float64):
            raise InputTypeError(f"eigendistortions cannot be computed in {moved.dtype}. Choose torch.float32 or torch.float64.")
        if isinstance(self._model, nn.Module) or hasattr(self._model, "to"):
            self._model: Any = self._model.to(*args, **kwargs)
        else:
            warnings.warn("the model has no method `to`, so it is not changed.", stacklevel=2)
        self._image = moved
        if self._jacobian is not None:
            self._jacobian = self._jacobian.to(moved)
        if self._results is not None:
            self._results = self._results.to(moved)

    def summary(self) -> str:
        """Return what is known about each pair as text: its eigenvalue with its interval, residual, threshold and evidence."""
        from eigexp.synthesis.notebook import summary

        return summary([solved.pairs for solved in self._results.solved]) if self._results else "no eigendistortions yet: call synthesize()"

    def _repr_html_(self) -> str:
        """Return the images, the distortions and a table of the pairs, for notebooks."""
        from eigexp.synthesis.notebook import object_html

        if self._results is None:
            return f"<pre>{escape(repr(self))}</pre>"
        images = self._image if self._image.ndim > 1 else [self._image]
        shown = zip(images, self._results.solved, strict=True)
        return "".join(object_html(as_array(image), solved.pairs) for image, solved in shown)

    def _kind(self) -> Kind:
        """Return the class, noise, subspace and norm, and the attributes that a user or a subclass has added."""
        kind = type(self)
        name = OBJECT if kind is Eigendistortion else f"{kind.__module__}.{kind.__qualname__}"
        parts = {"noise": self._noise, "subspace": self._subspace, "norm": self._norm}
        used = [f"{key}={canonical_json(made.identity)}" for key, part in parts.items() if (made := Part.of_instance(part))]
        return Kind(name, tuple(sorted([*(vars(self).keys() - _OWN), *used])))

    def __repr__(self) -> str:
        model = repr(self._model).replace("\n", "\n  ")
        result = self.summary().replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  image = {tuple(self._image.shape)} ({self._image.dtype}),\n  model = {model},\n  {result},\n)"


def _check_kind(name: str, part: Any, kind: type) -> None:
    if part is not None and not isinstance(part, kind):
        raise ConfigurationError(f"{name}={part!r} is not a {kind.__name__}. Give one of eigexp.{name}, or your own.")
