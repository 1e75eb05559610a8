"""One file a kind of wait. Each offers `KIND`; all are tried in their order, the first that knows a wait answers."""
