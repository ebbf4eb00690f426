"""Where the example manifests are, in an installed package as in a checkout."""

from pathlib import Path

_MANIFESTS = Path(__file__).parent / "manifests"


def manifest_path(example: str, *parts: str) -> Path:
    """The folder of an example, or a file in it: `manifest_path("bookinfo", "bookinfo.yaml")`.

    Errors: FileNotFoundError when the package has no such example or file.
    """
    path = _MANIFESTS.joinpath(example, *parts)
    if not path.exists():
        raise FileNotFoundError(f"no such example: {'/'.join((example, *parts))}")
    return path
