"""What plenoptic's Eigendistortion documents, one function of a library each."""

import contextlib
import inspect
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plenoptic
import skimage.data
import torch
from torch import Tensor

import eigexp
import eigexp.io
from eigexp.models import LinearNonlinear
from tests.peers.sides import TALL, THEIRS, Behaviour, Library
from tests.synthesis.toys import Bare, LinearMap, picture, spectrum


def construct(image: Tensor, function: Callable[[Tensor], Any] = lambda x: 2 * x.flatten(1)) -> Callable[[Library], str]:
    return lambda library: "accepted" if library.make(image, Bare(function).eval()) else ""


def shapes(*image: int) -> Callable[[Library], Any]:
    def do(library: Library) -> Any:
        eig = library.make(picture(*image), Bare(lambda x: (TALL @ x.reshape(36)).reshape((1, 50) if x.ndim > 1 else (50,))).eval())
        library.synthesize(eig, "power", max_iter=3)
        return tuple(eig.eigendistortions.shape), tuple(eig.eigenvalues.shape)

    return do


def learnable(library: Library) -> Any:
    return library.make(picture(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3).double()).eval())


def rounded(values: Tensor, digits: int) -> list[str]:
    return [f"{float(v):.{digits}g}" for v in values]


def bottom_order(library: Library) -> str:
    bottom = library.solved("power", k=3, max_iter=1000).eigenvalues[3:]
    return "decreasing" if (bottom.diff() < 0).all() else "increasing" if (bottom.diff() > 0).all() else "mixed"


def bottom_is_right(library: Library) -> str:
    """By the default call, of a linear-nonlinear front end at a crop of a photograph: against the exact spectrum."""
    model = eigexp.prepare_model(LinearNonlinear().double())
    image = torch.from_numpy(np.asarray(skimage.data.coins()[100:116, 150:166], dtype=np.float64) / 255)[None, None]
    eig = library.make(image, model)
    torch.manual_seed(0)
    eig.synthesize(**library.quiet)
    J = torch.autograd.functional.jacobian(model, image, vectorize=True).reshape(-1, 256)
    truth = torch.linalg.svdvals(J).square()
    return "within 1e-4 of the largest" if abs(eig.eigenvalues[-1] - truth[-1]) <= 1e-4 * truth[0] else "off"


def large_jacobian(library: Library) -> str:
    eig = library.make(picture(1, 1, 32, 32, dtype=torch.float32), Bare(lambda x: 2 * x.flatten(1)).eval())
    library.synthesize(eig, "exact")
    return "done"


def large_input(library: Library) -> Any:
    eig = library.make(picture(1, 1, 101, 100), Bare(lambda x: x.mean(dim=(2, 3))).eval())
    return tuple(eig.compute_jacobian().shape)


def cached(library: Library) -> bool:
    eig = library.linear()
    return eig.compute_jacobian() is eig.compute_jacobian() and bool(torch.allclose(eig.jacobian, TALL))


def dtypes_after_to(library: Library) -> Any:
    eig = library.solved("power", max_iter=3)
    eig.to(torch.float32)
    return [str(t.dtype) for t in (eig.image, eig.eigendistortions, eig.eigenvalues, eig.model.matrix)]


def index_after_to(library: Library) -> str:
    eig = library.solved("power", max_iter=3)
    eig.to(torch.float32)
    return str(eig.eigenindex.dtype)


def without_to(library: Library) -> str:
    eig = library.make(picture(), lambda x: 2 * x)
    eig.to(torch.float64)
    return "done"


def saved(library: Library, folder: str, eig: Any = None) -> str:
    path = str(Path(folder) / "eig")
    (eig or library.solved("power", k=2, max_iter=3)).save(path)
    return path


def round_trip(library: Library) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        eig = library.solved("power", k=2, max_iter=3)
        copy = library.linear()
        copy.load(saved(library, folder, eig))
    names = ("eigendistortions", "eigenvalues", "eigenindex", "image")
    return all(torch.equal(getattr(copy, name), getattr(eig, name)) for name in names)


def load(change: Callable[[Library], Any], **settings: Any) -> Callable[[Library], str]:
    def do(library: Library) -> str:
        with tempfile.TemporaryDirectory() as folder:
            change(library).load(saved(library, folder), **settings)
        return "loaded"

    return do


def other_object(library: Library) -> str:
    with tempfile.TemporaryDirectory() as folder:
        metamer = plenoptic.Metamer(picture(), LinearMap(TALL).eval())
        metamer.synthesize(1)
        metamer.save(path := str(Path(folder) / "metamer"))
        library.linear().load(path)
    return "loaded"


def examined(library: Library) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = saved(library, folder)
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            if library is THEIRS:
                plenoptic.io.examine_saved_synthesis(path)
            else:
                print(eigexp.io.examine(path))
    return "names object, versions, shapes" if "Eigendistortion" in shown.getvalue() and "torch" in shown.getvalue() else shown.getvalue()


def file_kind(library: Library) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return "pickle in a zip" if Path(saved(library, folder)).read_bytes()[:2] == b"PK" else "safetensors"


def position(index: int, *, solve: bool = True) -> Callable[[Library], int]:
    return lambda library: library.position(library.solved("power", k=2, max_iter=3) if solve else library.linear(), index)


def largest_entry(library: Library) -> str:
    v = library.solved().eigendistortions.flatten(1)
    return "positive" if (v.gather(1, v.abs().argmax(dim=1, keepdim=True)) > 0).all() else "either sign"


def randomness(library: Library) -> str:
    found = []
    for seed in (0, 1):
        eig = library.linear()
        torch.manual_seed(seed)
        eig.synthesize("power", max_iter=2, **library.quiet)
        found.append(eig.eigenvalues)
    return "its own seed" if torch.equal(*found) else "the global random state"


def error_bounds(library: Library) -> str:
    eig = library.solved("power", max_iter=3)
    return "intervals, residuals, verified" if hasattr(eig, "intervals") and hasattr(eig, "residuals") else "none"


def other_behaviour(library: Library) -> Any:
    class Shifted(LinearMap):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    Shifted.__name__ = "LinearMap"
    return library.make(picture(), Shifted(TALL).eval())


def other_name(library: Library) -> Any:
    class Renamed(LinearMap):
        pass

    return library.make(picture(), Renamed(TALL).eval())


BEHAVIOURS = [
    Behaviour("4-D image in [0, 1]", construct(picture())),
    Behaviour("integer image", construct(torch.ones(1, 1, 4, 4, dtype=torch.int64))),
    Behaviour("float16 image", construct(picture().half()), "too imprecise for any of the methods: refused before work begins"),
    Behaviour("3-D image", construct(picture(1, 6, 6), lambda x: 2 * x)),
    Behaviour("image beyond [0, 1]", construct(2 * picture())),
    Behaviour("two images", construct(picture(2, 1, 6, 6)), "a batch is solved in one fit"),
    Behaviour("learnable parameter", learnable),
    Behaviour("model returns numpy", construct(picture(), lambda x: x.detach().numpy())),
    Behaviour("model detaches", construct(picture(), lambda x: x.detach())),
    Behaviour("model goes through numpy", construct(picture(), lambda x: torch.as_tensor(x.numpy()))),
    Behaviour("model changes precision", construct(picture(), lambda x: x.float())),
    Behaviour("model changes device", construct(picture(), lambda x: (2 * x).to("meta"))),
    Behaviour("model in training mode", lambda lib: "accepted" if lib.make(picture(), LinearMap(TALL).train()) else ""),
    Behaviour("model returns a tuple", construct(picture(), lambda x: (x, 2 * x)), "tuples, lists and dicts are concatenated"),
    Behaviour(
        "default method", lambda lib: inspect.signature(lib.make.synthesize).parameters["method"].default, "power is wrong at the bottom"
    ),
    Behaviour(
        "other defaults",
        lambda lib: [inspect.signature(lib.make.synthesize).parameters[n].default for n in ("k", "max_iter", "p", "q", "stop_criterion")],
    ),
    Behaviour("unknown method", lambda lib: lib.solved("lanczos")),
    Behaviour("power with max_iter=0", lambda lib: lib.solved("power", max_iter=0), "a wrong setting is a ValueError"),
    Behaviour("exact: eigenindex", lambda lib: lib.solved().eigenindex.tolist() == [*range(36)]),
    Behaviour("exact: eigenvalues", lambda lib: rounded(lib.solved().eigenvalues, 8)),
    Behaviour("exact: true to dense", lambda lib: bool(torch.allclose(lib.solved().eigenvalues, spectrum(TALL)))),
    Behaviour("exact: leaves the Jacobian", lambda lib: tuple(lib.solved().jacobian.shape)),
    Behaviour("exact: Jacobian above 1e6 elements", large_jacobian),
    Behaviour("power: eigenindex for k=3", lambda lib: lib.solved("power", k=3, max_iter=3).eigenindex.tolist()),
    Behaviour("power: top eigenvalue", lambda lib: rounded(lib.solved("power").eigenvalues[:1], 5)),
    Behaviour("power: Jacobian", lambda lib: lib.solved("power", max_iter=3).jacobian),
    Behaviour("power: order of bottom pairs", bottom_order, "eigenvalues decrease, so that each has its own eigenindex"),
    Behaviour("default call: bottom of a front end", bottom_is_right, "one Krylov space for both ends, not a shifted power iteration"),
    Behaviour("randomized_svd: eigenindex and warning", lambda lib: lib.solved("randomized_svd", k=3).eigenindex.tolist()),
    Behaviour("randomized_svd: top eigenvalue", lambda lib: rounded(lib.solved("randomized_svd", p=30).eigenvalues.reshape(-1)[:1], 5)),
    Behaviour(
        "randomized_svd: shape for k=1",
        lambda lib: tuple(lib.solved("randomized_svd").eigenvalues.shape),
        "always one eigenvalue an eigendistortion",
    ),
    Behaviour("compute_jacobian: cached and right", cached),
    Behaviour("compute_jacobian: above 1e4 pixels", large_input),
    *(
        Behaviour(f"shapes of {'x'.join(map(str, s))}", shapes(*s))
        for s in ((36,), (1, 36), (1, 6, 6), (1, 1, 6, 6), (1, 3, 3, 4), (1, 1, 3, 4, 3))
    ),
    Behaviour("to(float32) midway", dtypes_after_to),
    Behaviour("to(float32): eigenindex", index_after_to, "an index stays an integer"),
    Behaviour("to with a model without to", without_to),
    Behaviour("save and load", round_trip),
    Behaviour("load into a solved object", load(lambda lib: lib.solved("power", max_iter=3))),
    Behaviour("load: other image", load(lambda lib: lib.linear(image=picture(seed=1)))),
    Behaviour("load: other image, no raise", load(lambda lib: lib.linear(image=picture(seed=1)), raise_on_checks=False)),
    Behaviour("load: other image, larger tolerance", load(lambda lib: lib.linear(image=picture() + 1e-6), tensor_equality_atol=1e-3)),
    Behaviour("load: other image shape", load(lambda lib: lib.linear(image=picture(1, 4, 3, 3)))),
    Behaviour("load: other behaviour", load(other_behaviour)),
    Behaviour("load: other behaviour, no raise", load(other_behaviour, raise_on_checks=False)),
    Behaviour("load: other model name", load(other_name)),
    Behaviour("load: other model name, no raise", load(other_name, raise_on_checks=False)),
    Behaviour("load: other dtype", load(lambda lib: lib.linear(TALL.float()))),
    Behaviour("load: other dtype, no raise", load(lambda lib: lib.linear(TALL.float()), raise_on_checks=False)),
    Behaviour("load: another kind of object", other_object),
    Behaviour("load: map_location", load(lambda lib: lib.linear(), map_location="cpu")),
    Behaviour("examine", examined),
    Behaviour("kind of file", file_kind, "nothing is unpickled; any reader of safetensors opens it"),
    Behaviour("position of eigenindex -1", position(-1)),
    Behaviour("position of one not synthesized", position(10)),
    Behaviour("position beyond the pixels", position(36)),
    Behaviour("position before synthesis", position(0, solve=False), "the ValueError that the documentation promises"),
    Behaviour("sign of the largest entry", largest_entry, "a sign that runs agree on"),
    Behaviour("first vectors come from", randomness, "reproducible whatever ran before"),
    Behaviour("error bounds", error_bounds, "every pair has them"),
]
