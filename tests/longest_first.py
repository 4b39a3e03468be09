"""Which tests begin first: those that take longest, so that no process is left with one of them at the end.

pytest-xdist hands out files by their number of tests, and the longest here have the fewest: a real case of nine minutes
would begin last, with the other processes idle beside it.
"""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadFileScheduling

LONGEST = (
    "tests/real/test_cases.py",
    "tests/flows/service/test_stack.py",
    "tests/flows/test_outages.py",
    "tests/flows/test_journey.py",
    "tests/flows/stages/test_histories.py",
    "tests/flows/stages/test_produce_faults.py",
    "tests/synthetic/test_europe.py",
    "tests/real/test_forcing_cases.py",
    "tests/flows/stages/test_release.py",
    "tests/docs/test_code_blocks.py",
    "tests/flows/command/test_bad_input.py",
    "tests/forcing/formats/test_grib.py",
)
"""Files of more than half a minute, the longest first, by `--durations`."""
ONE_BY_ONE = "tests/real/test_cases.py"
"""Its cases share nothing, so that each may run in a process of its own."""


class LongestFirst(LoadFileScheduling):
    """Files to processes in the order of collection, and each real case for itself."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ONE_BY_ONE) and nodeid.endswith("]"):
            return f"{ONE_BY_ONE}[{nodeid.rsplit('[', 1)[1]}"
        return super()._split_scope(nodeid)


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Tests of the longest files first; the others keep their order."""
    rank = {file: number for number, file in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(item.nodeid.split("::", 1)[0], len(rank)))
