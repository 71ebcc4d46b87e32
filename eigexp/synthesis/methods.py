"""From the name of a method and the options of `synthesize` to a solver."""

from dataclasses import fields
from typing import Any, Literal, get_args

from eigexp.errors import ConfigurationError, nearest
from eigexp.solvers import Auto, Exact, Krylov, Power, RandomizedSVD, Solver, Sparse

Method = Literal["krylov", "power", "exact", "randomized_svd", "sparse", "auto"]
METHODS: tuple[str, ...] = get_args(Method)
SOLVERS: dict[str, type[Solver]] = {
    "krylov": Krylov,
    "power": Power,
    "exact": Exact,
    "randomized_svd": RandomizedSVD,
    "sparse": Sparse,
    "auto": Auto,
}


def solver_for(
    method: str | Solver, *, k: int, max_iter: int, p: int, q: int, stop_criterion: float, tol: float | None, **options: Any
) -> Solver:
    """Return the solver for the name of a method; a solver is returned as it is.

    Args:
        method: its name.
        k: number of pairs at each end; "exact" computes all.
        max_iter: steps of "krylov" and "auto", or of "power" at each end.
        p: oversampling of "randomized_svd".
        q: power passes of "randomized_svd".
        stop_criterion: of "power".
        tol: largest residual relative to the largest eigenvalue; None for the solver's default.
        options: further settings of the solver; None for one that is not given.

    Raises:
        ConfigurationError: if the name is unknown, a setting is invalid, or the method does not have an option that was given.
    """
    given = {name: value for name, value in {"tol": tol, **options}.items() if value is not None}
    if isinstance(method, Solver):
        if given:
            name = next(iter(given))
            raise ConfigurationError(
                f"{name} cannot be given together with a solver. Give it to the solver: {type(method).__name__}({name}=...)."
            )
        return method
    if method not in SOLVERS:
        raise ConfigurationError(f"method={method!r} is unknown. {nearest(str(method), METHODS)} All: {', '.join(METHODS)}.")
    kind = SOLVERS[method]
    _check_options(method, kind, given)
    if "max_steps" in _settings(kind) and max_iter < 1:
        raise ConfigurationError(f"max_iter={max_iter} must be at least 1.")
    # plenoptic's max_iter is of each end, and its power iteration stops where eigenvalues no longer change.
    steps = 2 * max_iter if method == "power" else max_iter
    stop = "delta" if tol is None else "residual"
    usual = {"k": k, "max_steps": steps, "p": p, "q": q, "stop": stop, "stop_criterion": stop_criterion}
    if method == "exact":
        del usual["k"]
    return kind(**{name: value for name, value in usual.items() if name in _settings(kind)} | given)


def _check_options(method: str, kind: type[Solver], given: dict[str, Any]) -> None:
    for name in given:
        if name not in _settings(kind):
            having = [other for other, solver in SOLVERS.items() if name in _settings(solver)]
            raise ConfigurationError(
                f"{name} is not an option of method={method!r}. Choose a method that has this option: {', '.join(having)}."
            )


def _settings(kind: type[Solver]) -> set[str]:
    return {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]
