import pytest

from argosy.api.kubernetes import Container
from argosy.core.errors import ArgosyError, Finding
from argosy.local.images import Command, find_command, parse_catalogue

CATALOGUE = parse_catalogue(
    "my/app*: python3 app.py --port 1\nhttpbin: {command: [prog], env: {A: 1}}\n", "images.yaml"
)


def test_a_sample_is_found_by_its_image():
    found = find_command(Container(name="c", image="docker.io/mccutchen/go-httpbin:v2"), {}, ())
    assert isinstance(found, Command)
    assert found.argv[1:3] == ("-m", "argosy.samples.httpbin")


def test_the_annotation_wins_over_everything():
    annotations = {"argosy.io/command": "python3 'my app.py'"}
    found = find_command(Container(name="c", image="httpbin"), annotations, CATALOGUE)
    assert found == Command(("python3", "my app.py"), {})


def test_an_annotation_can_be_for_one_container():
    annotations = {"argosy.io/command.b": "two", "argosy.io/command": "one"}
    assert find_command(Container(name="b", image="x"), annotations, ()).argv == ("two",)
    assert find_command(Container(name="a", image="x"), annotations, ()).argv == ("one",)


def test_the_users_catalogue_wins_over_samples_and_takes_arguments():
    found = find_command(Container(name="c", image="kennethreitz/httpbin", args=("-v",)), {}, CATALOGUE)
    assert found == Command(("prog", "-v"), {"A": "1"})
    assert find_command(Container(name="c", image="my/app:1"), {}, CATALOGUE).argv[:2] == ("python3", "app.py")


def test_an_unknown_image_says_what_to_do():
    found = find_command(Container(name="c", image="corp/unknown:1"), {}, ())
    assert isinstance(found, Finding)
    assert "corp/unknown:1" in found.message
    assert "argosy.io/command" in found.hint


@pytest.mark.parametrize("text", ["- a", "a: {env: {}}", "a: []", "a: [", "a: 5"])
def test_a_bad_catalogue_is_refused_with_its_name(text):
    with pytest.raises(ArgosyError, match=r"images\.yaml"):
        parse_catalogue(text, "images.yaml")
