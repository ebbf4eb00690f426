"""A listening unix socket that only its own user can open."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def private_listener(path: Path) -> socket.socket:
    """A non-blocking listening socket at `path`, mode 0600 from its first moment. An old file there is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(16)
    listener.setblocking(False)
    return listener
