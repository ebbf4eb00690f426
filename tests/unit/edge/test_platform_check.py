from argosy.edge import platform_check
from argosy.edge.processes import tool_path


def test_a_missing_tool_names_its_package(monkeypatch):
    monkeypatch.setattr(platform_check.shutil, "which", lambda tool, path: None if tool == "ip" else f"/bin/{tool}")
    (finding,) = platform_check.check_platform(rootless=False)
    assert "ip is not installed" in finding.message
    assert finding.hint == "apt install iproute2"


def test_a_kernel_that_refuses_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(platform_check, "_try", lambda argv, text: "unshare failed: Operation not permitted")
    (finding,) = platform_check.check_platform(rootless=True)
    assert "Operation not permitted" in finding.message
    assert "user namespaces" in finding.hint


def test_system_directories_are_searched():
    assert "/usr/sbin" in tool_path().split(":")
