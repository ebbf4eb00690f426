"""Plays the image `redis`: the real `redis-server` of this machine, with what the image says beside its arguments.

Run: `python -m argosy.samples.redis [ARGUMENT...]`, arguments as for `redis-server`. Its data lives in the pod's /tmp.
"""

import os
import shutil
import sys
from collections.abc import Sequence

PROGRAM = "redis-server"
MISSING = 127
IMAGE_SETTINGS = ("--protected-mode", "no", "--bind", "0.0.0.0", "--dir", "/tmp")


def redis_argv(arguments: Sequence[str]) -> list[str]:
    """The command line; a configuration file comes first, and what is said last wins."""
    given = list(arguments)
    file = [given.pop(0)] if given and not given[0].startswith("-") else []
    return [PROGRAM, *file, *IMAGE_SETTINGS, *given]


def main() -> None:
    """Become `redis-server`."""
    program = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")
    if program is None:
        print(f"error: the image redis is played by {PROGRAM}, which this machine does not have", file=sys.stderr)
        print("hint: install it (Debian: redis-server), or annotate the pod template", file=sys.stderr)
        raise SystemExit(MISSING)
    os.execv(program, redis_argv(sys.argv[1:]))


if __name__ == "__main__":
    main()
