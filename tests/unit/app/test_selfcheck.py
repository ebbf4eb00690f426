"""The check's bounds and report."""

from argosy.app.check_bench import Certificate, _certificate
from argosy.app.selfcheck import Report, share_bounds


def test_shares_may_be_five_standard_deviations_off() -> None:
    low, high = share_bounds(500, 0.1)
    assert (round(low, 1), round(high, 1)) == (16.5, 83.5)


def test_each_check_is_one_line_and_failures_are_counted() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    report.passed("page", "seen")
    report.failed("90/10", "all red")
    assert lines == ["✓ page: seen", "✗ 90/10: all red"]
    assert (report.total, report.failures) == (2, 1)


def test_the_workloads_own_certificate_is_found_on_envoys_page() -> None:
    root = {"ca_cert": [{"serial_number": "1"}]}
    leaf = {"cert_chain": [{"serial_number": "2", "subject_alt_names": [{"uri": "spiffe://a/b"}, {"dns": "x"}]}]}
    assert _certificate({"certificates": [root, leaf]}, "spiffe://a/b") == Certificate(
        "spiffe://a/b", "spiffe://a/b", "2"
    )
    assert _certificate({"certificates": [root]}, "x").identity == "no certificate"
