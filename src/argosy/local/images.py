"""From a container to the command that plays it on this machine.

Given the container, its pod's annotations and the user's catalogue; gives the command line and environment, or a
finding that says what to do. In this order: the annotation `argosy.io/command` (`argosy.io/command.<container>` where
there are several), the user's catalogue (image pattern -> command), Argosy's own samples. Nothing is looked up on disk.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import yaml

from argosy.api.kubernetes import Container
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.samples.catalogue import command_for, known_images, lookup, repository

COMMAND_ANNOTATION = "argosy.io/command"
UNKNOWN_IMAGE = "ARG0602"
BAD_CATALOGUE = "ARG0603"


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and the environment that comes with it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One line of the user's catalogue: `pattern` is matched (`*`, `?`) against the image and its last word."""

    pattern: str
    command: tuple[str, ...]
    env: Mapping[str, str]


def parse_catalogue(text: str, file: str) -> tuple[CatalogueEntry, ...]:
    """Read a user's catalogue: a YAML mapping of image pattern to a command (text or list) or `{command, env}`.

    Errors: `ArgosyError` naming file and pattern.
    """
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ArgosyError.of(BAD_CATALOGUE, f"{file}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ArgosyError.of(BAD_CATALOGUE, f"{file}: a mapping of image patterns to commands is expected")
    return tuple(_entry(str(pattern), value, file) for pattern, value in document.items())


def _entry(pattern: str, value: object, file: str) -> CatalogueEntry:
    env: object = {}
    if isinstance(value, dict):
        fields: dict[str, object] = value
        value, env = fields.get("command"), fields.get("env", {})
    if isinstance(value, str):
        value = shlex.split(value)
    if not isinstance(value, list) or not value or not isinstance(env, dict):
        raise ArgosyError.of(
            BAD_CATALOGUE,
            f"{file}: {pattern!r} has no command",
            hint="write `my/image*: python3 app.py`, or a mapping with `command` and `env`",
        )
    return CatalogueEntry(pattern, tuple(str(word) for word in value), {str(k): str(v) for k, v in env.items()})


def find_command(
    container: Container, annotations: Mapping[str, str], catalogue: Sequence[CatalogueEntry]
) -> Command | Finding:
    """The command for one container, or a finding that names the image and what to do."""
    chosen = annotations.get(f"{COMMAND_ANNOTATION}.{container.name}") or annotations.get(COMMAND_ANNOTATION)
    if chosen:
        return Command(tuple(shlex.split(chosen)), {})
    for entry in catalogue:
        if fnmatchcase(container.image, entry.pattern) or fnmatchcase(repository(container.image), entry.pattern):
            return Command((*entry.command, *container.args), entry.env)
    sample = lookup(container.image)
    if sample is None:
        return _unknown(container)
    return Command(tuple(command_for(sample, container.command, container.args)), sample.env)


def _unknown(container: Container) -> Finding:
    known = ", ".join(known_images()[:8])
    return Finding(
        code=UNKNOWN_IMAGE,
        level=Level.ERROR,
        message=f"there is no local command for image {container.image!r} of container {container.name!r}",
        field="spec.template.spec.containers",
        hint=f"annotate the pod template with {COMMAND_ANNOTATION}: <command>, or add a line to your image catalogue; "
        f"Argosy brings {known}, ...",
    )
