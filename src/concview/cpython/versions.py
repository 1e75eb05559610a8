"""Which CPythons are known here."""

#: Minors whose structures can be read: the first and the last.
DIRECT = ((3, 8), (3, 15))
