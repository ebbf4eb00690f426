import msgspec

from argosy.local.node_spec import ChildSpec, NodeSpec, kept_paths, node_argv


def test_the_node_dies_with_its_parent_in_both_modes():
    plain, rootless = node_argv(["prog"], rootless=False), node_argv(["prog"], rootless=True)
    assert plain[:3] == ("setpriv", "--pdeathsig", "KILL")
    assert "--kill-child" in plain
    assert plain[-1] == "prog"
    # Entering a user namespace clears the wish; it is stated again before the fork.
    after_user = rootless[rootless.index("--map-root-user") :]
    assert after_user.index("--pdeathsig") < after_user.index("--fork")


def test_only_paths_that_would_be_hidden_are_kept_outermost_first():
    assert kept_paths(["/tmp/v", "/tmp/v/lib", "/usr/lib", "/run/user/1/x", "/tmp/vv"]) == (
        "/run/user/1/x",
        "/tmp/v",
        "/tmp/vv",
    )


def test_a_specification_survives_its_pipe():
    spec = NodeSpec("/h", "/e", (ChildSpec("agent", ("a", "b"), fds={"X": 7}),), keep=("/tmp/v",))
    assert msgspec.json.decode(msgspec.json.encode(spec), type=NodeSpec) == spec
