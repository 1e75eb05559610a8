"""Scaling: the models against published data sets, and the command on programs with a known law."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concview.commands.scale import _conclusion
from concview.scale.models import CannotFit, Fit, better, fit, karp_flatt

scipy = pytest.importorskip("scipy")

#: SPEC SDM91 on a 16-CPU SPARCcenter 2000 (Gunther, Guerrilla Capacity Planning, 2007, chapter 5), and the values that
#: two other programs give for it: sigma 0.0277299, kappa 0.000104343, 89.9878 for one worker, a peak at 96.
SDM91 = [(1, 65), (18, 996), (36, 1652), (72, 1853), (108, 1829), (144, 1775), (216, 1702)]
#: A ray tracer (the same book, chapter 5): no coherency cost; R's usl gives alpha 0.0578, one worker 21.8488.
RAYTRACER = [(1, 20), (4, 78), (8, 130), (12, 170), (16, 190), (20, 200), (24, 210), (28, 230), (32, 260), (48, 280),
             (64, 310)]  # fmt: skip


def test_published_data_with_a_peak() -> None:
    found = fit(SDM91)
    assert found.alpha.value == pytest.approx(0.0277299, rel=1e-3)
    assert found.beta.value == pytest.approx(0.000104343, rel=1e-3)
    assert found.gamma.value == pytest.approx(89.9878, rel=1e-4)
    assert math.floor(found.peak) == 96 and found.most == pytest.approx(1883.76, rel=1e-4)
    assert [round(found.throughput(n)) for n, _ in SDM91] == pytest.approx(
        [90, 1078, 1541, 1850, 1879, 1822, 1646], abs=1
    )
    assert found.alpha.low < found.alpha.value < found.alpha.high


def test_points_that_scatter_are_no_law() -> None:
    """Throughputs of a program that only starts and ends, measured on a busy machine; and published ones."""
    scattered = [(1, 21.0), (2, 17.0), (4, 29.0), (8, 14.0), (16, 26.0)]
    for points, told in ((scattered, False), (RAYTRACER, True)):
        usl, amdahl = fit(points), fit(points, "Amdahl")
        rows: list[tuple[int, float, float, float, float | None]] = [(int(n), x, 1.0, 1.0, None) for n, x in points]
        said = _conclusion(usl, amdahl, better(usl, amdahl), rows)
        assert said.startswith("The points scatter too much") != told, said


def test_published_data_without_one() -> None:
    usl, amdahl = fit(RAYTRACER), fit(RAYTRACER, "Amdahl")
    assert usl.alpha.value == pytest.approx(0.0578, rel=1e-2) and usl.gamma.value == pytest.approx(21.8488, rel=1e-4)
    assert usl.beta.value < 1e-9 and usl.beta.low == 0
    assert better(usl, amdahl) == "Amdahl"


@given(st.floats(0.001, 0.5), st.floats(1e-5, 0.05), st.floats(1e-3, 1e6))
def test_what_obeys_the_law_is_found(alpha: float, beta: float, gamma: float) -> None:
    points = [(n, gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1))) for n in (1, 2, 3, 4, 8, 16, 32)]
    found = fit(points)
    for n, x in points:
        assert found.throughput(n) == pytest.approx(x, rel=1e-3)


def test_karp_flatt_is_the_serial_share_of_amdahl() -> None:
    for serial in (0.05, 0.3):
        for n in (2, 7, 64):
            assert karp_flatt(n, 1 / (serial + (1 - serial) / n)) == pytest.approx(serial)


def test_too_few_points_are_no_fit() -> None:
    with pytest.raises(CannotFit, match="3 parameters"):
        fit([(1, 1.0), (1, 1.1), (2, 2.0)])
    with pytest.raises(CannotFit):
        fit([(1, 1.0), (2, 0.0), (4, 1.0)])
    exact: Fit = fit([(1, 10.0), (2, 18.0), (4, 30.0)])
    assert math.isnan(exact.alpha.high) and better(exact, fit([(1, 10.0), (2, 18.0), (4, 30.0)], "Amdahl")) == ""


def _program(tmp_path: Path) -> str:
    path = tmp_path / "says.py"
    path.write_text(
        "import sys\nn = int(sys.argv[1])\nprint('warming up: 1 req/s')\n"
        "print(f'{1000 * n / (1 + 0.1 * (n - 1) + 0.02 * n * (n - 1)):.3f} req/s')\n"
    )
    return str(path)


def _concview(*arguments: str) -> tuple[int, str, str]:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "concview", "scale", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_program_that_says_its_throughput(tmp_path: Path) -> None:
    command = ["--", sys.executable, _program(tmp_path), "{n}"]
    options = ["--counts", "1,2,4,8,16", "--repeats", "2", "--throughput", r"([\d.]+) req/s"]
    code, out, err = _concview(*options, "--format", "json", *command)
    assert code == 0, err
    said = json.loads(out)
    usl = next(f for f in said["fits"] if f["model"] == "USL")
    assert said["better"] == "USL" and usl["alpha"]["value"] == pytest.approx(0.1, rel=0.01)
    assert usl["peak_workers"] == pytest.approx(math.sqrt(0.9 / 0.02), rel=0.01)
    code, out, err = _concview(*options, *command)
    assert code == 0 and "Most throughput with about 7 workers" in out


def test_wrong_use_is_told_in_one_line(tmp_path: Path) -> None:
    failing = tmp_path / "fails.py"
    failing.write_text("import sys; print('no such table'); sys.exit(3)")
    for code, text, arguments in (
        (2, "{n}", ["--", "true"]),
        (2, "--counts", ["--counts", "0,2", "--", "true", "{n}"]),
        (2, "group", ["--throughput", "x", "--", "true", "{n}"]),
        (4, "no such table", ["--counts", "1,2,3", "--", sys.executable, str(failing), "{n}"]),
        (4, "cannot be started", ["--", "/nowhere/program", "{n}"]),
        (4, "longer than 1 s", ["--timeout", "1", "--counts", "1", "--", "sleep", "6{n}"]),
    ):
        got, out, err = _concview(*arguments)
        assert (got, out) == (code, "") and text in err and "Traceback" not in err, (arguments, err)
