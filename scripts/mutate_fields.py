"""Drop each field of the networking and security API in turn and see that its case notices: survivors show nothing.

python scripts/mutate_fields.py [KIND]...
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fields.cases import holds
from tests.fields.table import all_cases


def main() -> int:
    """Run all mutations; the survivors are printed, and there must be none."""
    kinds = set(sys.argv[1:])
    survivors, count = [], 0
    for case in all_cases():
        if not case.resource or (kinds and case.kind not in kinds):
            continue
        for field in case.fields:
            count += 1
            if holds(case, drop=field):
                survivors.append(f"{case.kind}: {field}")
    print(f"{count} fields dropped, {count - len(survivors)} noticed")
    print("\n".join(survivors))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
