"""One peer has one name in a verdict, and is one cause, whichever look told what of it."""

from __future__ import annotations

import msgspec
import pytest
from build import Scene, frame, stdlib

from concview.analysis.blame.nouns import End, Place, Root
from concview.analysis.blame.peer_names import GONE_NS, MOST_NAMES, PeerNames
from concview.analysis.blame.tracker import Tracker
from concview.analysis.blame.verdict import judge
from concview.analysis.window import Window
from concview.model import Link, Links, Owner, Peer, Wait, WaitKind
from concview.snapshot import BlameCause
from concview.source.wakes import Wakes

ADDRESS = "127.0.0.1:8399"
SERVER = Owner(60, "server")
READ = stdlib("HTTPResponse._read_status", "http/client.py", 292)
CONNECT = stdlib("create_connection", "socket.py", 837)


def tcp(fd: int = 7) -> Wait:
    return Wait(WaitKind.IO, "recvfrom", fd, Peer("tcp", ADDRESS, f"127.0.0.1:{50_000 + fd}", "ESTABLISHED"))


def unknown(inode: int, kind: str = "socket") -> Wait:
    return Wait(WaitKind.IO, "read" if kind == "pipe" else "recvfrom", 7, Peer(kind, f"{kind}:[{inode}]"))


def told(scene: Scene, *links: Link) -> None:
    scene.history.apply(Links(scene.history.now_ns, links))


def causes(scene: Scene, tracker: Tracker) -> list[BlameCause]:
    found = tracker.blame(Window(scene.history))
    assert found is not None
    return [c for c in found.causes if c.kind in ("peer", "stopped process")]


def tracker() -> Tracker:
    return Tracker(Wakes(lambda _: ()))


def test_a_peer_whose_looks_tell_different_things_of_it_is_one_cause_by_its_best_name() -> None:
    """Its address alone, its process, neither; at the library's line that connects, and at the one that reads."""
    scene, blames = Scene(rules={}), tracker()
    web = scene.thread("web")
    for inode, stack in enumerate((CONNECT, READ), 11):
        scene.do(web, [stack, frame("ask", 6)], unknown(inode))
        scene.play(2)
        scene.do(web, [stack, frame("ask", 6)], tcp())
        scene.play(2)
    before = causes(scene, blames)
    assert [(c.what, c.line) for c in before] == [(f"tcp {ADDRESS}", 6)]
    told(scene, Link(7, "tcp", (web,), 12, True, peer_inode=1, owners=(SERVER,), remote=ADDRESS, role="client"))
    scene.play(1)
    assert [c.what for c in causes(scene, blames)] == [f"tcp {ADDRESS} (process server, pid 60)"]
    # Later looks that tell less of it say the same.
    for inode in (21, 22, 23):
        scene.do(web, [READ, frame("ask", 6)], tcp())
        told(scene, Link(7, "tcp", (web,), inode, True, remote=ADDRESS, role="client"))
        scene.play(2)
        assert [c.what for c in causes(scene, blames)] == [f"tcp {ADDRESS} (process server, pid 60)"]
    assert blames.now()[web].root.startswith(f"tcp {ADDRESS} (process server, pid 60)")


@pytest.mark.parametrize(("kind", "way"), [("unix", "connection"), ("pipe", "pipe")])
def test_without_an_address_it_is_its_process_that_it_is_called_by(kind: str, way: str) -> None:
    scene, blames = Scene(rules={}), tracker()
    reader = scene.thread("reader")
    inode = 33
    wait = unknown(inode, "pipe") if kind == "pipe" else unknown(inode)
    scene.do(reader, [frame("ask", 6)], wait)
    scene.play(4)
    assert [c.what for c in causes(scene, blames)] == ["a pipe" if kind == "pipe" else "a socket"]
    told(scene, Link(7, kind, (reader,), inode, True, peer_inode=1, owners=(SERVER,)))
    scene.play(1)
    assert [c.what for c in causes(scene, blames)] == [f"process server (pid 60), over a {way}"]
    assert blames.now()[reader].root.startswith("process server (pid 60), over a")


@pytest.mark.parametrize(
    ("link", "does", "kind"),
    [
        ({"owners": (Owner(60, "server", stopped="SIGSTOP"),)}, ", which is stopped by SIGSTOP", "stopped process"),
        ({"owners": (SERVER,), "pending": 2}, ", which has not accepted the connection (2 wait)", "peer"),
        ({"owners": (Owner(60, "server", waits="write"),)}, ", which is in write on it", "peer"),
        ({"owners": (SERVER,), "reads": False}, ", which does not read what it is sent", "peer"),
    ],
)
def test_what_its_process_does_is_told_behind_the_name(link: dict[str, object], does: str, kind: str) -> None:
    scene, blames = Scene(rules={}), tracker()
    web = scene.thread("web")
    scene.do(web, [frame("ask", 6)], tcp())
    scene.play(1)
    known = {"reads": True, "peer_inode": 1, "remote": ADDRESS, "role": "client", **link}
    told(scene, Link(7, "tcp", (web,), 12, **known))  # type: ignore[arg-type]
    scene.play(10)
    (cause, *_) = causes(scene, blames)
    assert (cause.what, cause.kind) == (f"tcp {ADDRESS} (process server, pid 60){does}", kind)


def test_tasks_and_threads_call_a_peer_the_same() -> None:
    names = PeerNames()
    names.learn(Links(1, (Link(7, "tcp", (5,), 12, True, owners=(SERVER,), remote=ADDRESS),)))
    peer = Peer("tcp", ADDRESS, "127.0.0.1:50001")
    sends = Root(End.PEER, f"tcp {ADDRESS}, ...", other=names.other(peer, does=", which does not take what it is sent"))
    reads = Root(End.PEER, f"tcp {ADDRESS}", other=names.other(peer))
    thread = Root(End.PEER, "a socket", other=names.other(Peer("socket", "socket:[12]")))
    assert names.best(reads) == names.best(thread)
    name = f"tcp {ADDRESS} (process server, pid 60)"
    assert names.best(thread).what == name
    assert names.best(sends).what == f"{name}, which does not take what it is sent"


def test_the_name_that_the_hosts_tables_have_stays() -> None:
    names = PeerNames()
    peer = Peer("tcp", "10.0.0.7:5432", "10.0.0.1:50001", known_as="db postgresql")
    plain = names.other(Peer("tcp", "10.0.0.7:5432", "10.0.0.1:50002"))
    known = names.other(peer)
    assert [names.best(Root(End.PEER, "", other=o)).what for o in (known, plain)] == ["tcp db postgresql"] * 2
    assert names.other(Peer("poll", "10.0.0.7:5432, 10.0.0.8:5432")) is None
    sixth = names.best(Root(End.PEER, "", other=names.other(Peer("tcp", "[::1]:8399", "[::1]:50001"))))
    assert sixth.what == "tcp [::1]:8399"


def test_workers_that_share_a_port_are_one_peer_and_one_that_has_gone_is_none() -> None:
    names, at = PeerNames(), 0
    peer = Root(End.PEER, "", other=names.other(Peer("tcp", ADDRESS, "127.0.0.1:50001")))

    def look(pid: int, seconds: int) -> str:
        nonlocal at
        at += seconds * 1_000_000_000
        names.learn(Links(at, (Link(7, "tcp", (5,), pid, True, owners=(Owner(pid, "gunicorn"),), remote=ADDRESS),)))
        return names.best(peer).what

    assert look(62, 1) == f"tcp {ADDRESS} (process gunicorn, pid 62)"
    for pid in (61, 62, 61, 62, 63):
        said = look(pid, 1)
    assert said == f"tcp {ADDRESS} (process gunicorn, pid 62, and 2 more)"
    assert look(70, GONE_NS // 1_000_000_000 + 1) == f"tcp {ADDRESS} (process gunicorn, pid 70)"


def test_names_are_bounded() -> None:
    names = PeerNames()
    for i in range(MOST_NAMES + 10):
        names.learn(Links(i, (Link(7, "tcp", (5,), i + 1, True, owners=(SERVER,), remote=f"10.0.0.1:{i}"),)))
    assert all(len(t) <= MOST_NAMES for t in (names._named, names._address, names._processes))
    last = names.best(Root(End.PEER, "", other=names.other(Peer("tcp", f"10.0.0.1:{MOST_NAMES + 9}"))))
    assert last.what.endswith("(process server, pid 60)")


def test_a_connection_that_lived_for_a_moment_led_where_the_others_of_its_line_did() -> None:
    names, line = PeerNames(), Place("/srv/stock.py", 14, "Prices.get")
    lost = Root(End.PEER, "a socket", line, names.other(Peer("socket", "socket:[12]")))
    assert names.best(lost).what == "a socket"
    names.best(Root(End.PEER, "", line, names.other(Peer("tcp", ADDRESS, "127.0.0.1:50001"))))
    assert names.best(lost).what == f"tcp {ADDRESS}"
    assert names.best(lost._replace(place=Place("/srv/stock.py", 99, "Prices.get"))).what == "a socket"
    names.best(Root(End.PEER, "", line, names.other(Peer("tcp", "10.0.0.7:5432", "10.0.0.1:50001"))))
    assert names.best(lost).what == "a socket", "either could be meant"


@pytest.mark.parametrize(("address", "named"), [
    ("10.0.0.3:4711", " (tcp 10.0.0.3:4711)"), ("[::1]:4711", " (tcp [::1]:4711)"), ("socket:[12]", ""),
])  # fmt: skip
def test_a_client_for_whose_handshake_accept_waits_has_its_name(address: str, named: str) -> None:
    scene = Scene(rules={})
    calls = [stdlib(f"SSLSocket.{name}", "ssl.py") for name in ("do_handshake", "__init__", "accept")]
    wait = Wait(WaitKind.IO, "recvfrom", 7, Peer("tcp", address, "10.0.0.1:443", "ESTABLISHED"))
    scene.do(scene.thread("server"), [*calls, frame("serve", 9)], wait)
    scene.play(4)
    assert f"a client{named} to do its part" in causes(scene, tracker())[0].what


@pytest.mark.parametrize(("waiting", "verdict"), [(3, "outside"), (0, "clear")])
def test_where_nearly_all_is_a_wait_for_peers_that_is_said(waiting: int, verdict: str) -> None:
    """Nobody is in the way of anybody; each wait is short, or has a time limit."""
    scene, blames = Scene(rules={}), tracker()
    timed = msgspec.structs.replace(tcp(), timed=True)
    for number in range(4):
        tid = scene.thread(f"web-{number}")
        if number < waiting:
            scene.do(tid, [READ, frame("ask", 6)], timed)
        else:
            scene.do(tid, [frame("compute", 9)], Wait(WaitKind.RUNNING))
    scene.play(6)
    found = blames.blame(Window(scene.history))
    assert found is not None
    judged = judge(found, scene.history)
    assert (judged.verdict, judged.severity) == (verdict, None)
    if waiting:
        assert judged.sentence.startswith(
            "Nobody is held up in this process: 75 % of the time of 4.0 active threads is a wait for peers"
        )
