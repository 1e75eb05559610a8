"""One file a library: `KIND` says what a frame of it works on, `LINK` for whom."""
