"""The door for ``python -m mailbearer`` and the ``mailbearer`` command."""

import sys

from mailbearer.cli.main import run


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
