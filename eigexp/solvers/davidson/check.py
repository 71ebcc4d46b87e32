"""What the space rules out: ratios beyond those found, from the weight that their vectors would have in a random start.

Let y be an eigenvector, F y = c M y, and |y| = 1. For any z of the space <(F - c M) z, y> = <z, (F - c M) y> = 0. So of a vector w only
what no (F - c M) z reaches can lean on y: |<w, y>| <= min_z |w - (F - c M) z|, a small least-squares problem. A random unit vector w has
less weight than `weight_at_risk` in the direction y, which does not depend on w, with a probability of 1e-3. Once the remainder is below
that for all c beyond theta, none of them is an eigenvalue, but for that probability. (In a Krylov space this is Christoffel's number, see
`krylov.complement`.) It holds for any space, however it has grown.

For one pair of an end, w is the start of the search. One start shows no more than one vector of each eigenspace; for several pairs,
another w is drawn after they have converged. Those are locked: y is then an eigenvector of the pencil on the vectors that are orthogonal
to them with respect to M, so that rows M v of locked v may be added, and z is orthogonal to them.
"""

from dataclasses import dataclass

import numpy as np

from eigexp.solvers.davidson.space import Array, PencilSpace


@dataclass(frozen=True)
class Beyond:
    """The ratios c beyond those found at one end, as t in [0, 1 / (theta + allowed)] with c = 1 / t, or as c in [0, theta - allowed].

    Attributes:
        space: that is to rule them out.
        sign: 1 for the largest, -1 for the smallest.
        theta: the innermost of the values found.
        allowed: error allowed of it.
        start: which of the starts is w.
        locked: M v (l, r) of the locked vectors of this end.
    """

    space: PencilSpace
    sign: int
    theta: float
    allowed: float
    start: int
    locked: Array

    def remainder(self, at_risk: float, point: int) -> tuple[Array | None, int]:
        """Return the coordinates of what is left of w for a ratio at which it is longer than `at_risk`, or None, and the ratio's number.

        The remainder is computed at distances from theta that double: it changes on the scale of that distance.

        Args:
            at_risk: length that is too long.
            point: number of the ratio to begin with: where it was too long last, it most likely still is.
        """
        free, points = self._free(), self._points()
        for i in (*range(point, len(points)), *range(min(point, len(points)))):
            left = self._left(points[i], free)
            if np.linalg.norm(left) > at_risk:
                return left, i
        return None, 0

    def _points(self) -> Array:
        """Return the t of ratios beyond theta, the closest first."""
        distance = self.allowed * 2.0 ** np.arange(64)
        if self.sign > 0:
            share = distance[distance < self.theta] / self.theta
            return np.append((1 - share) / self.theta, 0.0) if len(share) else np.zeros(1)
        return np.append(self.theta - distance[distance < self.theta], 0.0)

    def _free(self) -> Array:
        """Return coefficients of vectors of the space that are orthogonal to the locked ones with respect to M."""
        Y = self.space.vectors
        if not len(self.locked):
            return Y
        Q, _ = np.linalg.qr(Y @ self.space.V @ self.locked.T, mode="complete")
        return Q[:, len(self.locked) :].T @ Y

    def solutions(self, most: int) -> Array:
        """Return coefficients of the z that leave the least of w, for some of the ratios, at most that many: what a restart should keep."""
        free, points, w = self._free(), self._points(), self.space.starts[self.start]
        chosen = points[np.unique(np.linspace(0, len(points) - 1, most).astype(int))]
        return np.stack([np.linalg.lstsq(self._rows(t, free).T, w, rcond=None)[0][: len(free)] @ free for t in chosen])

    def _left(self, t: float, free: Array) -> Array:
        """Return the part of w that no (M - t F) z, or (F - t M) z, and no M v of locked v reaches."""
        S = self._rows(t, free)
        Q, _ = np.linalg.qr((S / np.linalg.norm(S, axis=1, keepdims=True)).T)
        left = self.space.starts[self.start]
        for _ in range(2):  # the second for what rounding has left
            left = left - Q @ (Q.T @ left)
        return left

    def _rows(self, t: float, free: Array) -> Array:
        F, M = free @ self.space.FV, free @ self.space.MV
        return np.concatenate([M - t * F if self.sign > 0 else F - t * M, self.locked])
