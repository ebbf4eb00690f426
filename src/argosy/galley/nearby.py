"""What may have been meant by the name of an object that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from argosy.core.names import ObjectKey


def hint_of_absent(key: ObjectKey, known: Iterable[ObjectKey], plural: str) -> str:
    """Where an object of that name is, else one of a similar name beside it, else how to list those of the kind.

    `known`: the keys of all objects of the kind; `plural`: its name on the command line.
    """
    keys = list(known)
    elsewhere = sorted(str(one) for one in keys if one.name == key.name)
    if elsewhere:
        return f"there is {', '.join(elsewhere)}"
    near = get_close_matches(key.name, [one.name for one in keys if one.namespace == key.namespace], n=1)
    return f"did you mean {near[0]}?" if near else f"`argosy get {plural} -A` lists what there is"
