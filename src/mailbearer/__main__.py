"""The door for ``python -m mailbearer``, for the ``mailbearer`` command, and for links to it named as sendmail is."""

import sys

from mailbearer.cli.main import run

LINKS = {"sendmail": ["sendmail"], "mailq": ["sendmail", "-bp"], "newaliases": ["sendmail", "-bi"]}


def main() -> None:
    """Run the command line; a link of a known name is a command of its own."""
    called = sys.argv[0].rpartition("/")[2]
    sys.exit(run([*LINKS.get(called, []), *sys.argv[1:]]))


if __name__ == "__main__":
    main()
