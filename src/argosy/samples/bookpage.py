"""How Bookinfo's product page looks: answers of the services in, one self-contained HTML document out. Pure.

Stars are text (`<span class="stars" data-color="red">★★★★☆</span>`), so that a test or a person with curl sees them; no
script, no font and no style sheet is fetched from anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from string import Template

from argosy.samples.calling import Answer


@dataclass(frozen=True)
class Book:
    """The product on the page."""

    title: str
    description: str


BOOK = Book(
    title="The Comedy of Errors",
    description=(
        "One of Shakespeare's earliest and shortest comedies: two pairs of twins, parted in a shipwreck as infants, "
        "end up in the same town on the same day, and nobody can tell who is who until the very last scene."
    ),
)
FACTS = ("type", "pages", "publisher", "language", "ISBN-10", "ISBN-13")
STARS_MAX = 5

_DOCUMENT = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="/static/bookinfo.svg" type="image/svg+xml">
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --red: #d92d20; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; }
header, main { max-width: 60rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { display: flex; gap: 1rem; align-items: center; justify-content: space-between;
  border-bottom: 1px solid var(--line); }
header a { color: inherit; text-decoration: none; font-weight: 600; }
h1 { font: 600 2.1rem/1.2 Georgia, serif; margin: 1.2rem 0 .6rem; }
h2 { font-size: 1.05rem; margin: 0 0 .8rem; }
.columns { display: grid; gap: 1.25rem; grid-template-columns: minmax(15rem, 1fr) 2fr; margin-top: 1.6rem; }
section { border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .3rem 1rem; margin: 0; }
dt { opacity: .7; } dd { margin: 0; }
blockquote { margin: 0 0 1rem; padding: .6rem 1rem; border-left: 3px solid var(--line); background: var(--soft); }
blockquote p { margin: 0 0 .3rem; } cite { opacity: .7; }
.stars { font-size: 1.35rem; letter-spacing: .1em; }
.stars[data-color="red"] { color: var(--red); }
.error { border-left: 3px solid var(--red); padding: .3rem .8rem; }
.error h3 { margin: 0; font-size: 1rem; } .error p { margin: 0; }
footer { opacity: .6; font-size: .85rem; }
@media (max-width: 42rem) { .columns { grid-template-columns: 1fr; } }
</style>
</head>
<body>
<header><a href="/">Bookinfo</a>$session</header>
<main>
$main
</main>
</body>
</html>
""")

_LOGIN = (
    '<form method="post" action="/login" data-test="login"><label>User '
    '<input name="username" autocomplete="username" maxlength="64" required></label> <button>Sign in</button></form>'
)


def render_index() -> str:
    """The front page."""
    main = (
        "<h1>Bookinfo</h1><p>A book shop of one book, in four services: a page, its details, its reviews in three "
        'versions, and ratings.</p><p><a href="/productpage">Open the product page</a> or '
        '<a href="/api/v1/products">read the list of products</a>.</p>'
    )
    return _DOCUMENT.substitute(title="Bookinfo", session="", main=main)


def render_page(*, details: Answer, reviews: Answer, user: str | None, pod: str) -> str:
    """The product page; an answer whose status is not 200 becomes its error box."""
    main = (
        f'<h1>{escape(BOOK.title)}</h1><p>{escape(BOOK.description)}</p><div class="columns">'
        f'<section data-test="details">{_render_details(details)}</section>'
        f'<section data-test="reviews">{_render_reviews(reviews)}</section></div>'
        f'<footer><p>Page served by <span data-test="page-pod">{escape(pod)}</span></p></footer>'
    )
    return _DOCUMENT.substitute(title=escape(BOOK.title), session=_render_session(user), main=main)


def _render_session(user: str | None) -> str:
    if user is None:
        return _LOGIN
    return f'<span data-test="user">{escape(user)} (<a href="/logout">sign out</a>)</span>'


def _render_details(answer: Answer) -> str:
    if answer.status != 200:
        return _render_error("Error fetching product details!", answer)
    facts = _mapping(answer.body)
    rows = "".join(f"<dt>{name}</dt><dd>{escape(str(facts[name]))}</dd>" for name in FACTS if name in facts)
    return f"<h2>Book details</h2><dl>{rows}</dl>"


def _render_reviews(answer: Answer) -> str:
    if answer.status != 200:
        return _render_error("Error fetching product reviews!", answer)
    body = _mapping(answer.body)
    reviews = body.get("reviews")
    quotes = "".join(_render_review(_mapping(review)) for review in reviews) if isinstance(reviews, list) else ""
    pod = escape(str(body.get("podname")))
    return f'<h2>Book reviews</h2>{quotes}<footer>Reviews served by <span data-test="reviews-pod">{pod}</span></footer>'


def _render_review(review: Mapping[str, object]) -> str:
    text, reviewer = escape(str(review.get("text"))), escape(str(review.get("reviewer")))
    return (
        f"<blockquote><p>{text}</p><cite>{reviewer}</cite>{_render_rating(_mapping(review.get('rating')))}</blockquote>"
    )


def _render_rating(rating: Mapping[str, object]) -> str:
    """Nothing where the version of reviews knows no ratings; the stars; or why there are none."""
    stars = rating.get("stars")
    if isinstance(stars, int):
        shown = min(max(stars, 0), STARS_MAX)
        color = escape(str(rating.get("color")))
        glyphs = "★" * shown + "☆" * (STARS_MAX - shown)
        return (
            f'<div><span class="stars" data-color="{color}" title="{shown} of {STARS_MAX} stars">{glyphs}</span></div>'
        )
    if "error" in rating:
        return f'<p class="error" data-test="rating-error">{escape(str(rating["error"]))}</p>'
    return ""


def _render_error(title: str, answer: Answer) -> str:
    text = escape(str(_mapping(answer.body).get("error")))
    return f'<div class="error" data-test="error"><h3>{title}</h3><p>{text}</p></div>'


def _mapping(value: object) -> Mapping[str, object]:
    """Other services' JSON is not trusted to have its shape."""
    return value if isinstance(value, dict) else {}
