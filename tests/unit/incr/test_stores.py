"""Inputs, buckets and indexes: which reads a change of an entry touches."""

from collections.abc import Iterable

from argosy.incr import Change, Commit, Derived, Engine, Index, Input, Reader

Pod = tuple[str, int]


class Pods:
    """Pods with a label and a port, an index by label, and one derived collection for each way to read."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.pods: Input[str, Pod] = self.engine.input("pods")
        self.by_label: Index[str, str, Pod] = self.engine.index("by_label", self.pods, lambda key, pod: [pod[0]])
        self.pairs: Derived[str, object] = self.engine.derived("pairs", lambda r, at: r.select(self.by_label, at))
        self.names: Derived[str, object] = self.engine.derived("names", lambda r, at: r.keys(self.by_label, at))
        self.all: Derived[str, object] = self.engine.derived("all", lambda r, _: r.all_keys(self.pods))

    def put(self, **pods: Pod | None) -> Commit:
        return self.engine.commit(Change(self.pods, name, pod) for name, pod in pods.items())


def observed() -> Pods:
    pods = Pods()
    pods.put(b=("web", 1), a=("web", 2), c=("db", 3))
    pods.engine.observe(pods.pairs, "web")
    pods.engine.observe(pods.names, "web")
    pods.engine.observe(pods.all, "")
    return pods


def test_buckets_and_key_sets_are_sorted_by_key() -> None:
    pods = observed()
    assert pods.engine.get(pods.pairs, "web") == (("a", ("web", 2)), ("b", ("web", 1)))
    assert pods.engine.get(pods.names, "web") == ("a", "b")
    assert pods.engine.get(pods.all, "") == ("a", "b", "c")


def test_values_in_a_bucket_need_no_order() -> None:
    engine = Engine()
    things: Input[int, object] = engine.input("things")
    index: Index[str, int, object] = engine.index("index", things, lambda key, value: ["all"])
    listed: Derived[str, int] = engine.derived("listed", lambda read, at: len(read.select(index, at)))
    engine.commit([Change(things, 1, object()), Change(things, 2, object())])
    assert engine.observe(listed, "all") == 2


def test_a_changed_value_runs_who_selects_but_not_who_reads_keys() -> None:
    assert observed().put(a=("web", 9)).ran_keys == [("pairs", "web")]


def test_a_new_entry_runs_who_reads_its_bucket_or_the_key_set() -> None:
    assert observed().put(d=("web", 9)).ran == {"pairs": 1, "names": 1, "all": 1}
    assert observed().put(d=("db", 9)).ran == {"all": 1}


def test_a_removed_entry_leaves_bucket_and_key_set() -> None:
    pods = observed()
    assert pods.put(a=None).ran == {"pairs": 1, "names": 1, "all": 1}
    assert pods.put(b=None).changed[pods.names] == {"web": (("b",), ())}
    assert pods.put(c=None).changed[pods.all] == {"": (("c",), ())}


def test_an_entry_that_moves_touches_both_buckets() -> None:
    pods = observed()
    pods.engine.observe(pods.pairs, "db")
    commit = pods.put(a=("db", 2))
    assert sorted(commit.ran_keys) == [("names", "web"), ("pairs", "db"), ("pairs", "web")]
    assert pods.engine.get(pods.pairs, "db") == (("a", ("db", 2)), ("c", ("db", 3)))


def test_a_bucket_that_was_empty_when_read_is_noticed_when_it_fills() -> None:
    pods = observed()
    pods.engine.observe(pods.pairs, "new")
    assert pods.put(a=("new", 2)).changed[pods.pairs]["new"] == ((), (("a", ("new", 2)),))


def test_an_entry_is_filed_under_each_value_once() -> None:
    engine = Engine()
    words: Input[str, str] = engine.input("words")
    letters: Index[str, str, str] = engine.index("letters", words, lambda key, word: word)
    with_letter: Derived[str, object] = engine.derived("with_letter", lambda read, at: read.keys(letters, at))
    engine.commit([Change(words, 1, "noon"), Change(words, 2, "on")])
    assert [engine.observe(with_letter, letter) for letter in "nox"] == [(1, 2), (1, 2), ()]
    engine.commit([Change(words, 1, "x")])
    assert [engine.get(with_letter, letter) for letter in "nox"] == [(2,), (2,), (1,)]


def test_an_index_made_late_holds_what_the_input_holds() -> None:
    pods = observed()
    by_port = pods.engine.index("by_port", pods.pods, lambda key, pod: [pod[1]])
    ports: Derived[int, object] = pods.engine.derived("ports", lambda read, at: read.keys(by_port, at))
    assert pods.engine.observe(ports, 3) == ("c",)
    assert pods.put(b=("web", 3)).changed[ports] == {3: (("c",), ("b", "c"))}


def labelled(key: str, pod: Pod) -> Iterable[str]:
    if pod[1] < 0:
        raise ValueError(f"bad port {pod[1]}")
    return [pod[0]]


def test_an_entry_that_cannot_be_filed_stays_where_it_was_and_leaves_a_finding() -> None:
    engine = Engine()
    pods: Input[str, Pod] = engine.input("pods")
    by_label: Index[str, str, Pod] = engine.index("by_label", pods, labelled)
    pairs: Derived[str, object] = engine.derived("pairs", lambda read, at: read.select(by_label, at))
    engine.commit([Change(pods, "a", ("web", 1))])
    engine.observe(pairs, "web")
    commit = engine.commit([Change(pods, "a", ("db", -1)), Change(pods, "b", ("web", -2))])
    assert [(failure.name, failure.key, str(failure.exception)) for failure in commit.failures] == [
        ("by_label", "a", "bad port -1"),
        ("by_label", "b", "bad port -2"),
    ]
    assert engine.get(pairs, "web") == (("a", ("db", -1)),)
    commit = engine.commit([Change(pods, "a", ("db", 1)), Change(pods, "b", None)])
    assert (commit.failures, dict(engine.findings)) == ((), {})
    assert engine.get(pairs, "web") == ()


def test_a_late_index_reports_what_it_cannot_file() -> None:
    engine = Engine()
    pods: Input[str, Pod] = engine.input("pods")
    engine.commit([Change(pods, "a", ("web", -1))])
    engine.index("by_label", pods, labelled)
    assert list(engine.findings) == [("by_label", "a")]


def test_keys_without_an_order_fail_only_who_reads_them_sorted() -> None:
    engine = Engine()
    mixed: Input[object, int] = engine.input("mixed")
    one: Derived[object, int] = engine.derived("one", lambda read, key: read.get(mixed, key))

    def count(read: Reader, key: str) -> int:
        return len(read.all_keys(mixed))

    counted: Derived[str, int] = engine.derived("counted", count)
    engine.commit([Change(mixed, 1, 1), Change(mixed, "x", 2)])
    assert engine.observe(one, "x") == 2
    assert engine.observe(counted, "") is None
    assert isinstance(engine.findings["counted", ""].exception, TypeError)
    assert engine.commit([Change(mixed, 1, None)]).changed == {counted: {"": (None, 1)}}


def test_collections_print_their_name_and_not_their_contents() -> None:
    pods = observed()
    assert repr([pods.pods, pods.by_label, pods.names]) == "[Input('pods'), Index('by_label'), Derived('names')]"
