"""Blame: where the time of every thread goes, followed to whoever or whatever is in the way at the end.

At each moment a thread either does something itself (its own end: it runs, sleeps, waits for a peer, has no work ...),
or it cannot go on before another one gives it something: a step. Steps are followed to an end; what is found is added
up over moments and threads into rows (root, path), whose nanoseconds sum to threads x time exactly.

`nouns` names the things, `kinds/` knows one kind of wait a file, `engine` follows one moment, `window` goes through the
moments, `summary` says what it comes to, `words` puts it into sentences.
"""
