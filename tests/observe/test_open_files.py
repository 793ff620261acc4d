import subprocess
import sys

from mailbearer.observe.open_files import open_files

RAISING = """
import resource
from mailbearer.observe.open_files import open_files, raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
print(open_files(), raise_open_files(), open_files())
"""


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    done = subprocess.run([sys.executable, "-c", RAISING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["64", "256", "256"]
    assert open_files() > 0
