"""The class for notebooks."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from eigexp.certificates import Precision
from eigexp.errors import ConfigurationError, InputTypeError
from eigexp.operators import dense_matrix, linearise
from eigexp.solvers.exact import Exact
from eigexp.synthesis.attributes import Attributes
from eigexp.synthesis.checks import check_image, check_model, respond
from eigexp.synthesis.outcome import Outcome
from eigexp.synthesis.saving import load_into, save_object
from eigexp.synthesis.solving import Method, Mode, fit, solver_for
from eigexp.system.memory import check_memory
from eigexp.training.precision import full_precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGE_JACOBIAN = 1e6  # elements
_LARGE_INPUT = 1e4  # pixels


class Eigendistortion(Attributes):
    """The changes of an image that a model notices most and least: extremal eigenvectors of its Fisher information F = J^T J.

    J is the Jacobian of the model's responses with respect to the pixels; the responses have independent Gaussian noise of unit variance
    (Berardino, Laparra, Balle and Simoncelli 2017). The interface is that of plenoptic's class of the same name; the work is done by the
    solvers, certificates and Trainer of `eigexp run`.

    Args:
        image: float32 or float64, in [0, 1]: (images, channels, height, width), or any other shape that the model takes. The first axis
            runs over images; a tensor of one axis is one image, and the model gets it as it is. Dtype and device are those of the
            computation.
        model: in evaluation mode, without learnable parameters (`eigexp.prepare_model` sees to both). Returns a tensor, or tuples, lists or
            dicts of tensors. With several images, the first axis of each runs over images, and no response may depend on another image.

    Attributes are None until `synthesize` or `load`. With one image they are as described; **with several images** `eigendistortions`,
    `eigenvalues`, `intervals`, `residuals` and `jacobian` have a leading axis over images, and `fisher_vector_products`, `status`,
    `verified` and `pairs` are tuples. `eigenindex` is shared by all images: where a fit was cut short and they differ, those that all have.

    Raises:
        InputTypeError: (a TypeError) if the image is not float32 or float64, or the model changes that.
        ImageError: (a ValueError) if the image is empty or not finite.
        ModelError: (a ValueError) if the model cannot be differentiated, or a parameter is learnable.
        DeviceError: (a RuntimeError) if the model changes the device of its input.

    Warns:
        UserWarning: if the image is not 4-D or leaves [0, 1], or the model is in training mode.
    """

    def __init__(self, image: Tensor, model: Callable[[Tensor], Any]):
        check_image(image)
        self._responses = check_model(model, image.detach()).shape[1]
        self._image = image.detach().clone()
        self._model = model
        self._jacobian: Tensor | None = None
        self._outcome: Outcome | None = None

    def synthesize(
        self,
        method: Method = "krylov",
        k: int = 1,
        max_iter: int = 1000,
        p: int = 5,
        q: int = 2,
        stop_criterion: float = 1e-7,
        *,
        tol: float | None = None,
        certify: Precision = "float64",
        seed: int = 0,
        trainer: Trainer | None = None,
        callbacks: Sequence[Callback] | None = None,
        progress: bool | Mode = True,
    ) -> None:
        """Find eigendistortions. Each solver iteration is one step of a Lightning Trainer; nothing is written to disk unless asked.

        The default is "krylov" and not "power", plenoptic's default, because power iteration is usually wrong at the bottom: it runs on
        F - lambda_1, whose eigenvalues crowd together where the least noticeable distortions are, so that its eigenvalue ceases to move
        long before its vector has turned into the right one. The Krylov space uses every product for both ends, stops on residuals, and
        says what its answer rests on. It takes fewer products, too.

        Args:
            method: "krylov", both ends from one Krylov space; "power", block power iteration, both ends; "exact", all eigenpairs from the
                explicit Jacobian, for small images; "randomized_svd", the top only, by a fixed number of passes; "sparse", both ends of
                a model whose responses each depend on few pixels, for images in float64.
            k: pairs at each end; "exact" ignores it and gives all.
            max_iter: steps before "krylov" stops, or "power" at each end; the others ignore it.
            p: further vectors of "randomized_svd".
            q: power passes of "randomized_svd".
            stop_criterion: "power" ends where the Euclidean norm of the change of its eigenvalues is below; the others ignore it.
            tol: residual wanted, relative to the largest eigenvalue; 1e-4 by default. With it "power" stops on residuals, too.
            certify: precision of the certificate's products: "float64", by a copy of the model, so that bounds hold for the model itself;
                "solver" makes them in the image's dtype, with intervals as wide as its rounding is measured.
            seed: of the first vectors. The global random state is neither used nor changed.
            trainer: a Trainer of your own, with its callbacks, loggers and device; the results come back to the image's device.
            callbacks: for the Trainer that is made here: `eigexp.training.callbacks`, or any of Lightning's.
            progress: False shows nothing; True a bar on a terminal and lines elsewhere; or "bar", "plain".

        Raises:
            ConfigurationError: (a ValueError) if the method is unknown, or cannot work with a setting, this image or this model.
            MemoryLimitError: if "exact" or "sparse" would not fit.
            ModelError: (a ValueError) if the model's derivative at this image is not finite, or zero everywhere.

        Warns:
            UserWarning: if "exact" makes a Jacobian of more than 1e6 elements; and, after "randomized_svd", of the error of its range.
        """
        solver = solver_for(method, k=k, max_iter=max_iter, p=p, q=q, stop_criterion=stop_criterion, tol=tol)
        if isinstance(solver, Exact):
            self._check_exact()
        found = fit(self._image, self._model, solver, certify=certify, seed=seed, trainer=trainer, callbacks=callbacks, progress=progress)
        for i, error in enumerate(found.range_errors):
            which = f" of image {i}" if self._is_batch else ""
            warnings.warn(
                f"randomized SVD is complete; the estimated error of its range{which} is {error:.2g}, in eigenvalues.", stacklevel=2
            )
        if found.jacobian is not None:
            self._jacobian = found.jacobian if self._is_batch else found.jacobian[0]
        self._outcome = Outcome(found.solved, self._image)

    def compute_jacobian(self) -> Tensor:
        """The Jacobian (m, n) of the model's responses with respect to the pixels, computed once and kept.

        Raises:
            MemoryLimitError: if it would not fit.

        Warns:
            UserWarning: if the image has more than 1e4 pixels, which takes long.
        """
        if self._jacobian is None:
            self._warn_of_size()
            images = self._image if self._image.ndim > 1 else self._image[None]
            self._check_memory(copies=2)
            with full_precision(images.device):
                matrix = dense_matrix(linearise(self._model, images, method="double_backward", batched=self._image.ndim > 1))
            self._jacobian = matrix if self._is_batch else matrix[0]
        return self._jacobian

    def index_of(self, eigenindex: int) -> int:
        """Where a rank's pair stands in `eigenvalues` and `eigendistortions`; negative ranks count from the end, -1 the smallest.

        Raises:
            IndexError: if the rank is not among all n.
            ConfigurationError: (a ValueError) if its pair was not synthesized.
        """
        n = self._image[0].numel() if self._image.ndim > 1 else self._image.numel()
        if not -n <= eigenindex < n:
            raise IndexError(f"eigenindex={eigenindex} is not among the {n} eigenvalues of this image.")
        if self._outcome is None:
            raise ConfigurationError("there are no eigendistortions yet. Call synthesize() or load() first.")
        known = self._outcome.eigenindex.tolist()
        rank = eigenindex % n
        if rank not in known:
            raise ConfigurationError(f"eigenindex={eigenindex} was not synthesized. Known: {known[:20]}. Synthesize with a larger k.")
        return known.index(rank)

    def plot(
        self,
        eigenindex: int | Sequence[int] | None = None,
        *,
        channel: int | Sequence[int] | None = None,
        scale: float | None = None,
        process_image: Callable[[Any], Any] | None = None,
        image: int = 0,
    ) -> "Figure":
        """The figure of `eigexp run`: the image, distortions alone and added, the spectrum, the curves, and what the result rests on.

        Args:
            eigenindex: rank or ranks to show, negative from the end; both ends by default.
            channel: of an image whose channels are not colours, the one to show, or three as red, green and blue.
            scale: norm that every distortion is shown with, in pixel units; chosen so that they are visible by default.
            process_image: maps an image, a numpy array (c, h, w), to display values in [0, 1]: undoes a model's normalisation, say.
            image: which of several images.

        Raises:
            IndexError, ConfigurationError: as `index_of`.
        """
        from eigexp.report import distortion_figure

        ranks = [eigenindex] if isinstance(eigenindex, int) else eigenindex
        for rank in [0] if ranks is None else ranks:
            self.index_of(rank)
        assert self._outcome is not None
        solved = self._outcome.solved[image]
        pixels = self._image[image] if self._image.ndim > 1 else self._image
        bounded = bool(solved.pairs.intervals.isfinite().all())  # imported pairs have no bounds
        names = ("eigendistortions", "eigenvalues", "eigenindex", *(["intervals"] if bounded else []))
        arrays = {**{name: getattr(solved.pairs, name) for name in names}, "image": pixels}
        return distortion_figure(arrays, solved.record, solved.curves, scale, ranks, channel, process_image)

    def save(self, file_path: str | Path) -> None:
        """Write everything but the model as one safetensors file with JSON in its header, whole or not at all; nothing is pickled.

        Raises:
            StoreError: (an OSError) if the disk refuses it.
        """
        output = respond(self._model, self._image).detach()
        solved = self._outcome.solved if self._outcome else ()
        save_object(file_path, image=self._image, model=self._model, output=output, solved=solved, jacobian=self._jacobian)

    def load(
        self,
        file_path: str | Path,
        map_location: str | torch.device | None = None,
        raise_on_checks: bool = True,
        tensor_equality_atol: float = 1e-8,
        tensor_equality_rtol: float = 1e-5,
    ) -> None:
        """Load what `save` wrote into an object that was just made from the same image and model. Files of plenoptic are imported, too.

        Distortions that plenoptic found come without error bounds, and are not verified; `synthesize` finds certified ones.

        Args:
            file_path: the file.
            map_location: the device to load to; that of `image` by default.
            raise_on_checks: False warns where the image, the model's behaviour or name, the kind of object, or its attributes differ, and
                takes the saved image, but this object's model.
            tensor_equality_atol: absolute difference of image and model output that counts as equal.
            tensor_equality_rtol: relative one.

        Raises:
            LoadError: (a ValueError) if this object has eigendistortions, a check fails, or the dtype or device is another.
            StoreError: (an OSError) if the file cannot be read.

        Warns:
            LoadWarning: if a check fails and `raise_on_checks` is False.
        """
        loaded = load_into(
            file_path,
            image=self._image,
            model=self._model,
            fresh=self._outcome is None,
            map_location=map_location,
            raise_on_checks=raise_on_checks,
            atol=tensor_equality_atol,
            rtol=tensor_equality_rtol,
        )
        self._image, self._jacobian = loaded.image, loaded.jacobian
        self._outcome = Outcome(loaded.solved, loaded.image) if loaded.solved else None

    def to(self, *args: Any, **kwargs: Any) -> None:
        """Move or cast image, model and results: by device, dtype, both, or a tensor that has them, as in `torch.nn.Module.to`.

        Raises:
            InputTypeError: (a TypeError) if the dtype is neither float32 nor float64.

        Warns:
            UserWarning: if the model has no `to`; it is left as it is.
        """
        moved = self._image.to(*args, **kwargs)
        if moved.dtype not in (torch.float32, torch.float64):
            raise InputTypeError(f"eigendistortions cannot be computed in {moved.dtype}. Choose torch.float32 or torch.float64.")
        if isinstance(self._model, nn.Module) or hasattr(self._model, "to"):
            self._model: Any = self._model.to(*args, **kwargs)
        else:
            warnings.warn("the model has no method `to`, so it is left as it is.", stacklevel=2)
        self._image = moved
        if self._jacobian is not None:
            self._jacobian = self._jacobian.to(moved)
        if self._outcome is not None:
            self._outcome = self._outcome.to(moved)

    def __repr__(self) -> str:
        model = repr(self._model).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  image = {tuple(self._image.shape)} ({self._image.dtype}),\n  model = {model},\n)"

    def _check_exact(self) -> None:
        b = len(self._image) if self._image.ndim > 1 else 1
        if self._responses * (self._image.numel() // b) > _LARGE_JACOBIAN:
            warnings.warn(
                "the Jacobian has more than 1e6 elements and may not fit into memory. Use method='krylov' or 'randomized_svd'.",
                stacklevel=3,
            )
        self._warn_of_size()
        self._check_memory(copies=3, spectrum=True)

    def _warn_of_size(self) -> None:
        n = self._image.numel() // (len(self._image) if self._image.ndim > 1 else 1)
        if n > _LARGE_INPUT:
            warnings.warn(f"the Jacobian of {n} pixels takes long. Use an iterative method: 'krylov', 'power'.", stacklevel=4)

    def _check_memory(self, copies: int, *, spectrum: bool = False) -> None:
        """Before the work begins: `copies` of the Jacobian, and what a dense eigendecomposition in float64 takes."""
        b = len(self._image) if self._image.ndim > 1 else 1
        n = self._image.numel() // b
        needed = copies * b * self._responses * n * self._image.element_size() + (4 * 8 * n * n if spectrum else 0)
        what = f"{'the spectrum' if spectrum else 'the Jacobian'} of m={self._responses} responses to n={n} pixels"
        check_memory(needed, self._image.device, what, "Take method='krylov', or a smaller image.")
