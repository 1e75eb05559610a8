"""What the source calls a lock that a task holds or waits at, and holds that only the source tells."""

from __future__ import annotations

import contextlib
import re

from concview.cpython.aio.chain import Chains, Link
from concview.cpython.aio.holders import Held, lock_kind, locked
from concview.cpython.aio.roles import helps
from concview.cpython.aio.values import BAD, Values
from concview.cpython.code import Code, Place
from concview.model import Confidence, Hold, Site
from concview.source.facts import SourceFacts
from concview.source.origin import place
from concview.text import clean

#: Frames of a chain, innermost first, in which a name is looked for.
_FRAMES = 8
_SLOTS = 24
_MAX_PLACES = 10_000
#: Attributes of asyncio's queues, and of classes derived from them, on 3.8 to 3.15.
_QUEUE = {"_getters", "_putters", "_unfinished_tasks"}
#: What a line enters or waits at: 'async with rw.reader:', 'async for order in self.orders:', 'await lock.acquire()',
#: 'await event.wait()'.
_ENTERS = re.compile(
    r"async (?:with|for [\w, ]+ in) ([\w.\[\]]+)(?: as \w+)?\s*[:,]"
    r"|await ([\w.]+)\.(?:acquire\w*|wait|get|put|join|receive|send|notify\w*)\("
)
#: A line that waits for one lock and does nothing else: 'async with target.lock:', 'await lock.acquire()'.
_WANTS = re.compile(r"async with ([\w.\[\]]+)(?: as \w+)?:|(?:await|if await|if not await) ([\w.\[\]]+)\.acquire\(\):?")


class Sites:
    def __init__(self, facts: SourceFacts, values: Values, chains: Chains) -> None:
        self._facts, self._values, self._chains = facts, values, chains
        self._sites: dict[tuple[Place, int, int], Site] = {}
        self._acquired: dict[Place, tuple[Site, ...]] = {}
        self._holds: dict[tuple[int, str, int, bool], Hold] = {}

    def origin(self, code: Code) -> str:
        """Whose code it is."""
        return self._facts.lookup(code.qualname, code.file, code.first_line).origin

    def forget(self) -> None:
        self._sites.clear()
        self._acquired.clear()
        self._holds.clear()

    # ------------------------------------------------------------------ holds

    def holds(self, held: list[Held]) -> tuple[Hold, ...]:
        """Innermost first, as a thread's."""
        found: dict[int, Hold] = {}
        for each in held:
            if each.object not in found:
                found[each.object] = self._hold(each)
        return tuple(reversed(found.values()))

    def _hold(self, held: Held) -> Hold:
        site = self._site(held.link.place, held.line, held.nth)
        key = (held.object, held.kind, id(site), held.exact)
        known = self._holds.get(key)
        if known is None or known.site is not site:
            if len(self._holds) >= _MAX_PLACES:
                self._holds.clear()
            confidence = Confidence.EXACT if held.exact else Confidence.INFERRED
            known = self._holds[key] = Hold(held.object, clean(held.kind), site, confidence)
        return known

    def _site(self, place: Place, line: int, nth: int) -> Site:
        known = self._sites.get((place, line, nth))
        if known is None:
            code = place.code
            facts = self._facts.lookup(code.qualname, code.file, place.line)
            same = [s for s in (*facts.holds, *facts.awaited) if s.line == line and s.how != "acquire"]
            known = same[-1 - nth] if nth < len(same) else Site("", clean(code.file, 1000), line, clean(code.qualname))
            if len(self._sites) >= _MAX_PLACES:
                self._sites.clear()
            self._sites[place, line, nth] = known
        return known

    def inferred(self, links: list[Link], held: list[Held]) -> list[Held]:
        """Locks taken by `await x.acquire()` before a `try` that gives them back, and queues out of which something
        was taken that is put back: the source says so, and what its expression means there is a locked lock, or a
        queue."""
        known = {h.object for h in held}
        found: list[Held] = []
        for link in links:
            for site in self._taken(link.place):
                address = self._evaluate(link, site.expression)
                if not address or address in known:
                    continue
                attributes = self._values.attributes(address)
                if site.how == "kept":
                    address = self._queue(address, attributes)
                    kind = ("Queue", "asyncio") if address and address not in known else None
                else:
                    kind = lock_kind(self._values, self._values.type_name(address), attributes)
                if kind is not None and (site.how == "kept" or locked(self._values, kind[0], attributes)):
                    known.add(address)
                    found.append(Held(address, kind[0], kind[1], link, site.line, 0, False))
        return found

    def _queue(self, address: int, attributes: dict[str, int]) -> int:
        """Itself, or the one that an object of the program's own lends out of; 0 where it has none, or several."""
        if attributes.keys() >= _QUEUE:
            return address
        parts = list(attributes.values())[:_SLOTS]
        inner = [a for a in parts if a and self._values.attributes(a).keys() >= _QUEUE]
        return inner[0] if len(inner) == 1 else 0

    def _taken(self, place: Place) -> tuple[Site, ...]:
        known = self._acquired.get(place)
        if known is None:
            code = place.code
            facts = self._facts.lookup(code.qualname, code.file, place.line)
            lent = (facts.checkout,) if facts.checkout is not None and facts.checkout.how == "kept" else ()
            known = (*(s for s in facts.awaited if s.how == "acquire"), *lent) if facts.origin == "user" else ()
            if len(self._acquired) >= _MAX_PLACES:
                self._acquired.clear()
            self._acquired[place] = known
        return known

    def _evaluate(self, link: Link, expression: str) -> int:
        """`name` or `name.attribute...` of a frame's variables; 0 for anything else."""
        name, *path = expression.split(".")
        if not name.isidentifier() or not all(part.isidentifier() for part in path):
            return 0
        value = self._chains.local(link, name)
        return self._values.attribute(value, *path) if value else 0

    # ------------------------------------------------------------------ names

    def name_of(self, address: int, links: list[Link]) -> tuple[str, int]:
        """(what a frame of the program's own calls an object, id of the frame's line); ('', 0) where none knows it."""
        for link in reversed(links[-_FRAMES:]):
            code = link.place.code
            if self._facts.lookup(code.qualname, code.file, link.place.line).origin != "user":
                continue
            try:
                name = self._variable(link, address)
            except BAD:
                name = ""
            if name:
                return clean(name), link.place.frame_id
        user = next((k for k in reversed(links) if self._origin(k) == "user"), None)
        return "", user.place.frame_id if user is not None else 0

    def name_in_library(self, address: int, links: list[Link]) -> str:
        """What a library calls an object, with the library: '_close_event of asyncssh'; '' where none knows it."""
        for link in reversed(links[-_FRAMES:]):
            if self._origin(link) != "library":
                continue
            with contextlib.suppress(*BAD):
                name = self._variable(link, address)
                if name in ("self", "cls"):  # in a method of its own: that is no name
                    name = self._values.type_name(address).lstrip("_")
                if name:
                    package = place(link.place.code.file)[1].partition("/")[0].removesuffix(".py")
                    return clean(f"{name.removeprefix('self.')} of {package}", 80)
        return ""

    def entered(self, links: list[Link], direct: bool = False) -> str:
        """What the innermost line of the program's own is about to enter, or waits at, as it is written there:
        'rw.reader_lock'; '' where the source does not tell. `direct`: only where no library's code lies in between."""
        link = None
        for each in reversed(links):
            if self._origin(each) == "user":
                link = each
                break
            if direct and self._origin(each) == "library" and not helps(each.place.code.file, ""):
                return ""
        if link is None:
            return ""
        code, line = link.place.code, link.place.line
        entered = _ENTERS.search(self._facts.lookup(code.qualname, code.file, line).text)
        return clean(entered[1] or entered[2], 60) if entered else ""

    def wanted(self, links: list[Link]) -> str:
        """What the program's own line that waits for a lock calls it, where it takes that one alone and through
        nobody's code but asyncio's; '' where the source does not tell. One line that takes several tells of none."""
        for link in reversed(links):
            code = link.place.code
            facts = self._facts.lookup(code.qualname, code.file, link.place.line)
            if facts.origin == "user":
                found = _WANTS.fullmatch(facts.text.partition("#")[0].strip())
                return clean(found[1] or found[2], 60) if found else ""
            if facts.origin == "library":
                return ""
        return ""

    def replaced(self, address: int, links: list[Link]) -> str:
        """The expression at which the program's own line waits for an object, where it means another object of the same
        type by now: 'self.changed'; ''."""
        expression = self.entered(links, direct=True)
        link = next((k for k in reversed(links) if self.is_own(k)), None)
        if link is None or "." not in expression:
            return ""
        with contextlib.suppress(*BAD):
            now = self._evaluate(link, expression)
            if now and now != address and self._values.type_name(now) == self._values.type_name(address):
                return expression
        return ""

    def is_own(self, link: Link) -> bool:
        """Whether a frame is the program's own."""
        return self._origin(link) == "user"

    def _origin(self, link: Link) -> str:
        return self._facts.lookup(link.place.code.qualname, link.place.code.file, link.place.line).origin

    def _variable(self, link: Link, address: int) -> str:
        for name, slot in list(self._chains.variables(link).items())[:_SLOTS]:
            value = self._values.cell(self._chains.slot(link, slot))
            if value == address:
                return name
            if name == "self" and value:
                for attribute, inner in self._values.attributes(value).items():
                    if inner == address:
                        return f"self.{attribute}"
        return ""
