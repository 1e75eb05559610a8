"""Amdahl's law and the Universal Scalability Law, fitted by non-linear least squares.

    USL:    X(n) = gamma n / (1 + alpha (n - 1) + beta n (n - 1))
    Amdahl: the same with beta = 0

`alpha`: share of the work that is done one at a time (contention); `beta`: cost of keeping every pair of workers in
agreement (coherency); `gamma`: throughput of one worker. N. J. Gunther, Guerrilla Capacity Planning, 2007, chapter 4.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Below this difference of AICc the data do not tell two models apart (Burnham and Anderson, 2002, section 2.6).
TELLING = 2.0


class CannotFit(Exception):
    """Too few points, or nothing that a model goes through. The message says which."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An estimate with its 95 % interval, cut at 0 where it cannot be negative; the ends are nan without residuals."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fit:
    model: str  #: 'USL' or 'Amdahl'
    gamma: Parameter
    alpha: Parameter
    beta: Parameter
    r_squared: float
    aicc: float  #: nan where the points are too few for it
    points: int

    def throughput(self, n: float) -> float:
        return self.gamma.value * n / (1 + self.alpha.value * (n - 1) + self.beta.value * n * (n - 1))

    @property
    def peak(self) -> float:
        """Worker count of the greatest throughput; inf where more never lose."""
        if self.beta.value <= 0:
            return math.inf
        return math.sqrt(max(0.0, 1 - self.alpha.value) / self.beta.value)

    @property
    def most(self) -> float:
        """Greatest throughput that the model allows at any worker count; inf without contention and coherency."""
        if self.beta.value > 0:
            return self.throughput(max(1.0, self.peak))
        return self.gamma.value / self.alpha.value if self.alpha.value > 0 else math.inf


def karp_flatt(n: float, speedup: float) -> float:
    """The serial share that this speed-up at `n` > 1 workers means (Karp and Flatt, CACM 33(5), 1990)."""
    return (1 / speedup - 1 / n) / (1 - 1 / n)


def fit(points: Sequence[tuple[float, float]], model: str = "USL") -> Fit:
    """`points`: (workers, throughput), several of one worker count allowed. ImportError without SciPy; CannotFit."""
    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.stats import t as student

    free = 3 if model == "USL" else 2
    counts = {n for n, _ in points}
    if len(counts) < free:
        raise CannotFit(f"{model} has {free} parameters and needs as many worker counts; there are {len(counts)}")
    if any(n < 1 or x <= 0 or not math.isfinite(x) for n, x in points):
        raise CannotFit("worker counts must be 1 or more, and throughput more than 0")
    import numpy as np

    ns = np.array([n for n, _ in points], dtype=float)
    xs = np.array([x for _, x in points], dtype=float)
    scale = float(xs.max())  # the fitter's tolerances are for numbers about 1
    xs /= scale

    def usl(n: Any, gamma: float, alpha: float, beta: float = 0.0) -> Any:
        return gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1))

    start = [float(np.max(xs / ns)), 0.05, 0.001][:free]
    try:
        with warnings.catch_warnings():
            # As many points as parameters: there is no covariance, and `Parameter` says so.
            warnings.simplefilter("ignore", OptimizeWarning)
            found, covariance = curve_fit(
                usl, ns, xs, p0=start, bounds=([1e-300] + [0.0] * (free - 1), np.inf), x_scale=start, maxfev=20_000
            )
    except RuntimeError as error:
        raise CannotFit(f"{model} does not go through these points: {error}") from None
    residual = (xs - usl(ns, *found)) * scale
    xs *= scale
    squares, spread = float(residual @ residual), float(((xs - xs.mean()) ** 2).sum())
    left = len(points) - free
    factor = float(student.ppf(0.975, left)) if left > 0 else math.nan
    errors = np.sqrt(np.diag(covariance)) if left > 0 else np.full(free, math.nan)
    parameters = [
        Parameter(float(v), max(0.0, float(v - factor * e)), float(v + factor * e))
        if math.isfinite(factor * float(e))
        else Parameter(float(v), math.nan, math.nan)
        for v, e in zip(found, errors, strict=True)
    ]
    one, alpha, beta = (*parameters, Parameter(0.0, 0.0, 0.0))[:3]
    gamma = Parameter(one.value * scale, one.low * scale, one.high * scale)
    explained = 1 - squares / spread if spread else 1.0
    return Fit(model, gamma, alpha, beta, explained, _aicc(squares, len(points), free), len(points))


def _aicc(squares: float, n: int, free: int) -> float:
    """Akaike's criterion for least squares, with the correction for few points; nan where these are too few."""
    k = free + 1  # the variance is estimated too
    if n - k - 1 <= 0:
        return math.nan
    return n * math.log(max(squares, 1e-300) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def better(usl: Fit, amdahl: Fit) -> str:
    """'USL', 'Amdahl', or '' where the data cannot tell them apart."""
    difference = amdahl.aicc - usl.aicc
    if not math.isfinite(difference) or abs(difference) < TELLING:
        return ""
    return "USL" if difference > 0 else "Amdahl"
