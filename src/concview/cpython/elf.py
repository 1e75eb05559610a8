"""Finding a symbol of a loaded ELF module in the target's own memory.

No file is opened: the dynamic section, symbol and string tables are mapped by the loader, so replaced, deleted and
containerised binaries, and binaries without section headers, are no special cases. 64-bit little-endian only.
"""

from __future__ import annotations

import struct

from concview.cpython.memory import BadAddress, Memory

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_GNU_HASH = 0, 4, 5, 6, 10, 0x6FFFFEF5
_SYMBOL = struct.Struct("<IBBHQQ")  # st_name, st_info, st_other, st_shndx, st_value, st_size
_MAX_CHAIN = 1 << 16


def header_ok(header: bytes) -> bool:
    """64-bit little-endian ELF."""
    return len(header) >= 64 and header[:6] == b"\x7fELF\x02\x01"


class Module:
    """A loaded ELF module whose first page is mapped at `base`."""

    def __init__(self, memory: Memory, base: int) -> None:
        self._memory = memory
        header = memory.read(base, 64)
        if not header_ok(header):
            raise BadAddress(f"no 64-bit little-endian ELF header at {base:#x}")
        offset, size, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        if size < 56 or count > 512:
            raise BadAddress("impossible program headers")
        table = memory.read(base + offset, size * count)
        dynamic = length = 0
        lowest = None
        for i in range(count):
            kind, _, _, vaddr, _, _, memsize, _ = struct.unpack_from("<IIQQQQQQ", table, i * size)
            if kind == _PT_LOAD and (lowest is None or vaddr < lowest):
                lowest = vaddr
            elif kind == _PT_DYNAMIC:
                dynamic, length = vaddr, memsize
        #: what to add to an address in the file: 0 for a program linked to a fixed address
        self.bias = base - ((lowest or 0) & ~0xFFF)
        self._tables: dict[int, int] = {}
        if dynamic and 16 <= length <= 1 << 16:
            for tag, value in struct.iter_unpack("<QQ", memory.read(self.bias + dynamic, length & ~15)):
                if tag == _DT_NULL:
                    break
                self._tables.setdefault(tag, value)

    def _table(self, tag: int) -> int:
        """Address of a table. glibc has relocated these pointers, musl has not."""
        value = self._tables.get(tag, 0)
        return value + self.bias if 0 < value < self.bias else value

    def symbol(self, name: str) -> int | None:
        """Run-time address of an exported symbol."""
        symbols, strings = self._table(_DT_SYMTAB), self._table(_DT_STRTAB)
        if not symbols or not strings:
            return None
        wanted = name.encode()
        for index in self._candidates(wanted):
            entry = _SYMBOL.unpack(self._memory.read(symbols + index * 24, 24))
            if entry[3] and self._memory.read_some(strings + entry[0], len(wanted) + 1) == wanted + b"\0":
                return int(self.bias + entry[4])
        return None

    def _candidates(self, name: bytes) -> list[int]:
        if table := self._table(_DT_GNU_HASH):
            return self._gnu(table, name)
        if table := self._table(_DT_HASH):
            return self._sysv(table, name)
        return []

    def _gnu(self, table: int, name: bytes) -> list[int]:
        value = 5381
        for byte in name:
            value = (value * 33 + byte) & 0xFFFFFFFF
        memory = self._memory
        buckets, first, bloom, _ = struct.unpack("<IIII", memory.read(table, 16))
        if not 0 < buckets < 1 << 24 or bloom > 1 << 20:
            return []
        start = table + 16 + 8 * bloom
        index = struct.unpack("<I", memory.read(start + 4 * (value % buckets), 4))[0]
        found: list[int] = []
        if index < first:
            return found
        chain = start + 4 * buckets
        for _ in range(_MAX_CHAIN):
            entry = struct.unpack("<I", memory.read(chain + 4 * (index - first), 4))[0]
            if entry | 1 == value | 1:
                found.append(index)
            if entry & 1:
                break
            index += 1
        return found

    def _sysv(self, table: int, name: bytes) -> list[int]:
        value = 0
        for byte in name:
            value = (value << 4) + byte
            high = value & 0xF0000000
            value = (value ^ high >> 24) & ~high
        memory = self._memory
        buckets, chains = struct.unpack("<II", memory.read(table, 8))
        if not 0 < buckets < 1 << 24:
            return []
        index = struct.unpack("<I", memory.read(table + 8 + 4 * (value % buckets), 4))[0]
        found: list[int] = []
        for _ in range(_MAX_CHAIN):
            if not 0 < index < chains:
                break
            found.append(index)
            index = struct.unpack("<I", memory.read(table + 8 + 4 * (buckets + index), 4))[0]
        return found
