"""Where the page's files are. They are data; `edge.console_http` serves them."""

from __future__ import annotations

from pathlib import Path


def static_folder() -> Path:
    """The folder of `index.html`, its scripts and its style sheet."""
    return Path(__file__).parent / "static"
