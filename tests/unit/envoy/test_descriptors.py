"""Descriptors out of a binary: what is found, what is refused, and the cache."""

import os
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from argosy.envoy.api import envoy_binary
from argosy.envoy.descriptors import DescriptorError, load_descriptor_set, scan_binary

CLUSTER = "envoy/config/cluster/v3/cluster.proto"
DURATION = "google/protobuf/duration.proto"


def file_proto(name: str, package: str, *dependencies: str, message: str = "Thing") -> bytes:
    proto = descriptor_pb2.FileDescriptorProto(name=name, package=package, dependency=dependencies, syntax="proto3")
    proto.message_type.add(name=message)
    return proto.SerializeToString()


DURATION_FILE = file_proto(DURATION, "google.protobuf")
CLUSTER_FILE = file_proto(CLUSTER, "envoy.config.cluster.v3", DURATION)


def program(folder: Path, *parts: bytes, gap: bytes = b"\x00\xff code and data \x00" * 9) -> Path:
    """A file with `parts` somewhere in it, as a linker would leave them."""
    path = folder / "program"
    path.write_bytes(gap + gap.join(parts) + gap)
    return path


def names(data: bytes) -> list[str]:
    return [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(data).file]


def test_every_file_is_found_once_and_after_those_it_imports(tmp_path: Path) -> None:
    binary = program(tmp_path, CLUSTER_FILE, DURATION_FILE, CLUSTER_FILE)
    assert names(scan_binary(binary)) == [DURATION, CLUSTER]


def test_the_content_of_a_file_is_kept_whole(tmp_path: Path) -> None:
    data = scan_binary(program(tmp_path, CLUSTER_FILE, DURATION_FILE))
    found = descriptor_pb2.FileDescriptorSet.FromString(data).file
    assert [one.SerializeToString() for one in found] == [DURATION_FILE, CLUSTER_FILE]


def test_neighbours_without_a_gap_are_told_apart(tmp_path: Path) -> None:
    binary = program(tmp_path, CLUSTER_FILE + DURATION_FILE)
    assert names(scan_binary(binary)) == [DURATION, CLUSTER]


def test_a_file_whose_imports_are_missing_is_left_out(tmp_path: Path) -> None:
    lost = file_proto("envoy/lost.proto", "envoy", "envoy/nowhere.proto")
    after = file_proto("envoy/after.proto", "envoy", "envoy/lost.proto")
    assert names(scan_binary(program(tmp_path, lost, after, CLUSTER_FILE, DURATION_FILE))) == [DURATION, CLUSTER]


@pytest.mark.parametrize(
    "noise",
    [
        b"see envoy/config/other.proto for more",
        b"\x0a\x0cenvoy/a.proto",  # a length that is wrong
        b"\x0a\x0denvoy/a.proto\x00\x00",  # a name with nothing to it
        b"\x0a\x0denvoy/a.proto\x22\x02\xff\xff",  # a message type that does not parse
        b"\x0a\x0dother/a.proto\x12\x01a",  # a root that is none of Envoy's
    ],
)
def test_what_only_looks_like_a_descriptor_is_passed_over(tmp_path: Path, noise: bytes) -> None:
    assert names(scan_binary(program(tmp_path, noise, CLUSTER_FILE, noise, DURATION_FILE))) == [DURATION, CLUSTER]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF" + bytes(4096),
        DURATION_FILE,
        CLUSTER_FILE[: len(CLUSTER_FILE) // 2],
        b"\x0a\x0denvoy/a.proto\x12",
        b"\x0a\x0denvoy/a.proto\x12\xff\xff\xff",
        b".proto",
    ],
)
def test_a_file_that_is_no_envoy_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    """An empty file and one that ends within a number used to end in errors of other kinds."""
    path = tmp_path / "program"
    path.write_bytes(content)
    with pytest.raises(DescriptorError, match=f"{path} carries no Envoy API descriptors"):
        scan_binary(path)


def test_what_was_scanned_is_kept_and_not_scanned_again(tmp_path: Path) -> None:
    binary, cache = program(tmp_path, CLUSTER_FILE, DURATION_FILE), tmp_path / "a" / "cache"
    first = load_descriptor_set(binary, cache)
    (kept,) = cache.iterdir()
    assert kept.read_bytes() == first
    assert kept.stat().st_mode & 0o777 == 0o644
    kept.write_bytes(b"kept")
    assert load_descriptor_set(binary, cache) == b"kept"


def test_a_new_binary_is_scanned_anew(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_descriptor_set(program(tmp_path, CLUSTER_FILE, DURATION_FILE), cache)
    more = file_proto("envoy/more.proto", "envoy")
    second = load_descriptor_set(program(tmp_path, CLUSTER_FILE, DURATION_FILE, more), cache)
    assert names(second) == [*names(first), "envoy/more.proto"]
    binary = program(tmp_path, CLUSTER_FILE, DURATION_FILE)
    os.utime(binary, ns=(1, 1))
    load_descriptor_set(binary, cache)
    assert len(list(cache.iterdir())) == 3


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    binary = program(tmp_path, CLUSTER_FILE, DURATION_FILE)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert names(load_descriptor_set(binary, tmp_path / "cache")) == [DURATION, CLUSTER]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_paths: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "replace", full)
    binary, cache = program(tmp_path, CLUSTER_FILE, DURATION_FILE), tmp_path / "cache"
    assert names(load_descriptor_set(binary, cache)) == [DURATION, CLUSTER]
    assert list(cache.iterdir()) == []


def test_a_binary_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_descriptor_set(tmp_path / "nothing", tmp_path)


def test_envoys_own_binary_carries_its_whole_api() -> None:
    found = names(scan_binary(envoy_binary()))
    assert len(found) > 500
    assert {CLUSTER, "envoy/config/listener/v3/listener.proto", "xds/core/v3/authority.proto"} < set(found)
    assert all(found.index(DURATION) < found.index(one) for one in (CLUSTER,))
