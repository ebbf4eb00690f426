"""The example of the package's README runs and does what it says."""

from collections import namedtuple
from pathlib import Path

import argosy.incr


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(argosy.incr.__file__).parent / "README.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    names = {name: getattr(argosy.incr, name) for name in argosy.incr.__all__}
    names["pod"] = namedtuple("Pod", "app address")("web", "10.0.0.1")
    names["Pod"] = type(names["pod"])
    exec(example, names)
    assert names["commit"].changed == {names["endpoints"]: {"web": ((), ("10.0.0.1",))}}
