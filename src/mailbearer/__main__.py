"""The door for ``python -m mailbearer`` and the ``mailbearer`` command."""

import sys


def main() -> None:
    """Run the command line; imports as little as the command needs."""
    from mailbearer.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
