from argosy.agent.privileges import Privileges


def test_the_two_modes_differ_in_what_tells_envoy():
    root, rootless = Privileges(rootless=False), Privileges(rootless=True)
    assert (root.envoy_uid, rootless.envoy_uid) == (1337, 0)
    assert root.is_envoy == "-m owner --uid-owner 1337"
    assert rootless.is_not_envoy == "-m mark ! --mark 1337"
    assert root.bind_config() == {}


def test_no_mode_leaves_capabilities_to_applications():
    for privileges in (Privileges(False), Privileges(True)):
        assert privileges.app_prefix() == (
            "setpriv",
            "--bounding-set",
            "-all",
            "--inh-caps",
            "-all",
            "--no-new-privs",
        )
