"""Entry point of `concview` and `python -m concview`."""

import sys


def main() -> int:
    """Run one command line; return its exit code (see `commands.base.Exit`)."""
    try:
        from concview.commands import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command could take care of it
        return 130


if __name__ == "__main__":
    sys.exit(main())
