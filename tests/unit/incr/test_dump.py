"""The dump is plain data with the counts of every collection."""

import json

from argosy.incr import Change, Derived, Engine, Index, Input, Reader


def test_dump_counts_entries_keys_runs_and_reads() -> None:
    engine = Engine()
    secrets: Input[str, str] = engine.input("secrets")
    by_size: Index[int, str, str] = engine.index("by_size", secrets, lambda key, value: [len(value)])

    def describe(read: Reader, key: str) -> int:
        size = len(read.get(secrets, key) or "")
        if not size:
            raise LookupError(key)
        return len(read.keys(by_size, size))

    described: Derived[str, int] = engine.derived("described", describe)
    engine.commit([Change(secrets, "a", "s3cr3t"), Change(secrets, "b", "hidden"), Change(secrets, "c", "x")])
    engine.observe(described, "a")
    engine.observe(described, "z")
    assert engine.dump() == {
        "commit": 1,
        "runs_given_up": 0,
        "inputs": {"secrets": {"entries": 3, "read_keys": 2}},
        "indexes": {"by_size": {"over": "secrets", "buckets": 2, "read_buckets": 1}},
        "derived": {
            "described": {
                "computed": 2,
                "observed": 2,
                "failing": 1,
                "dirty": 0,
                "runs": 2,
                "reads": {"by_size.keys": 1, "secrets.get": 2},
            }
        },
        "findings": [{"name": "described", "key": "'z'", "error": "LookupError('z')", "commit": 1}],
    }
    assert "s3cr3t" not in json.dumps(engine.dump())
