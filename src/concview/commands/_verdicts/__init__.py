"""The forms in which `check` gives its verdict: one file each, offering `VERDICT`; its name is that of --format."""
