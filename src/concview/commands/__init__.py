"""The subcommands: one file each. `base.py` says what a command is and runs one."""


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code (`base.Exit`)."""
    from concview.commands.base import run as run_command

    return run_command(arguments)
