"""The page's files."""

from argosy.console import static_folder


def test_the_page_is_there() -> None:
    assert (static_folder() / "index.html").is_file()


def test_scripts_and_styles_are_files_since_the_content_policy_forbids_inline_ones() -> None:
    page = (static_folder() / "index.html").read_text()
    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1
