"""Names of threads that tell them apart, whatever the room."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from concview.tui.text_render import fit_command, fit_name
from concview.tui.widgets.names import Names, apart

POOLS = [
    [f"ThreadPoolExecutor-{pool}_{n}" for pool in range(3) for n in range(40)],
    [f"Thread-{n} (process_request_thread)" for n in range(1, 300)],
    ["kafka-orders-consumer-thread", "kafka-orphans-consumer-thread", "kafka-invoices-consumer-thread"],
    [f"service-{n:02d}-of-the-accounting-department-in-eu-west-1" for n in range(30)],
    [f"工作线程-{n}-处理请求的线程" for n in range(12)],
]


@pytest.mark.parametrize("names", POOLS, ids=["pools", "numbered", "middle", "long", "wide"])
@pytest.mark.parametrize("width", [12, 14, 16, 19, 23, 24, 29])
def test_no_two_threads_look_the_same(names: list[str], width: int) -> None:
    made = Names((20_000 + at, name) for at, name in enumerate(names))
    shown = [made.fit(20_000 + at, name, width) for at, name in enumerate(names)]
    assert len(set(shown)) == len(names)
    assert {cell_len(s) for s in shown} == {width}


@pytest.mark.parametrize("width", [12, 14, 19, 24, 29])
def test_a_name_that_many_have_is_told_with_the_id_which_is_never_cut(width: int) -> None:
    tids = range(4_194_200, 4_194_240)
    made = Names([*((tid, "AnyIO worker thread") for tid in tids), (7, "MainThread")])
    for tid in tids:
        assert made.fit(tid, "AnyIO worker thread", width).rstrip().endswith(f" {tid}")
    assert made.fit(7, "MainThread", width).rstrip() == "MainThread"
    assert made.full(4_194_200, "AnyIO worker thread") == "AnyIO worker thread 4194200"


def test_what_tells_names_apart_is_kept() -> None:
    shown = apart(["consumer-of-orders-thread", "consumer-of-invoices-thread"], 11)
    assert [s.partition("…")[2][:4] for s in shown.values()] == ["-ord", "-inv"]


@pytest.mark.parametrize("width", range(1, 40))
def test_a_cut_name_has_the_width_asked_for(width: int) -> None:
    for name in ("工作线程-3-处理请求的线程", "ThreadPoolExecutor-0_12", "e\u0301" * 20):
        assert cell_len(fit_name(name, width)) == width


@pytest.mark.parametrize("width", range(1, 60))
def test_a_cut_command_keeps_both_ends(width: int) -> None:
    command = "gunicorn -w 2 --threads 8 -b 127.0.0.1:8303 store:application"
    shown = fit_command(command, width)
    assert cell_len(shown) == width and cell_len(fit_command("工作" * 20, width)) == width
    if width >= 34:
        assert shown.startswith("gunicorn -w 2") and shown.endswith("store:application")
