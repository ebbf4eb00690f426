"""Reports print themselves in the words of the code that they are about."""

from argosy.incr import CycleError, Read


def test_a_read_prints_as_it_is_written() -> None:
    assert str(Read("get", "services", ("default", "web"))) == "services.get(('default', 'web'))"
    assert str(Read("select", "pods_by_label", "app=web")) == "pods_by_label.select('app=web')"
    assert str(Read("all_keys", "services", None)) == "services.all_keys()"


def test_a_cycle_prints_as_a_closed_path() -> None:
    assert str(CycleError((("a", 1), ("b", 2)))) == "a[1] -> b[2] -> a[1]"


def test_a_long_cycle_is_named_in_full_but_printed_short() -> None:
    error = CycleError(tuple(("a", number) for number in range(5000)))
    assert len(error.keys) == 5000
    assert str(error).endswith(" -> a[9] -> (4990 more) -> a[0]")
