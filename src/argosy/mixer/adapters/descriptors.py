"""Descriptor sets as people put them into `template` and `adapter` objects: base64 of a protobuf FileDescriptorSet.

Given the text; gives a pool of its own with the files, or an error that says what is wrong with it. Pools are made once
for each text.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

SET_CHARS_MAX = 4 * 1024 * 1024


class DescriptorError(ValueError):
    """The text does not describe what it should."""


@dataclass(frozen=True, slots=True, eq=False)
class DescriptorSet:
    """The files of one set; `own` is the one that it was made for, which the others are needed by."""

    pool: Any
    own: Any

    def message(self, full_name: str) -> type[Message] | None:
        """The class of a message, or None."""
        try:
            return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))
        except KeyError:
            return None


@lru_cache(maxsize=256)
def read_descriptor_set(text: str) -> DescriptorSet:
    """Decode a set. Errors: `DescriptorError`."""
    if len(text) > SET_CHARS_MAX:
        raise DescriptorError(f"longer than {SET_CHARS_MAX} characters")
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        raise DescriptorError("is not base64") from None
    except DecodeError:
        raise DescriptorError("is not a FileDescriptorSet") from None
    if not files.file:
        raise DescriptorError("describes no file")
    return DescriptorSet(_pool(files), files.file[-1])


def _pool(files: Any) -> Any:
    pool = descriptor_pool.DescriptorPool()
    given = {file.name: file for file in files.file}
    added: set[str] = set()

    def add(file: Any) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for name in file.dependency:
            if name not in given:
                raise DescriptorError(f"lacks the file {name}, which {file.name} imports")
            add(given[name])
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise DescriptorError(f"file {file.name}: {' '.join(str(error).split())}") from None

    for file in files.file:
        add(file)
    return pool
