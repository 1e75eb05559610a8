"""Objects of 3.8 to 3.10: only the keys of dicts are laid out differently."""

from __future__ import annotations

import struct

from concview.cpython.memory import BadAddress
from concview.cpython.objects import MAX_ENTRIES, Objects

_MAX_TABLE = 1 << 30


class HeapObjects(Objects):
    def table(self, keys: int) -> tuple[int, int, int]:
        """Behind the table of indices, each of which has as many bytes as its size needs."""
        o, start = self.offsets, self.offsets["keys.dk_indices"]
        head = self.memory.read(keys, start)
        (size,) = struct.unpack_from("<Q", head, o["keys.dk_size"])
        (used,) = struct.unpack_from("<Q", head, o["keys.dk_nentries"])
        if not 0 < size <= _MAX_TABLE or size & (size - 1) or used > min(size, MAX_ENTRIES):
            raise BadAddress("no dict keys")
        width = 1 if size <= 0xFF else 2 if size <= 0xFFFF else 4
        return keys + start + width * size, 24, used
