"""Which tests begin first: those that take longest, so that no process is left with one of them at the end.

pytest-xdist hands out files by their number of tests, and the longest here have the fewest: a real case, which takes
minutes, would begin last, with the other processes idle beside it.
"""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadFileScheduling

REAL_CASES = "tests/real/test_cases.py"
"""Its cases share nothing, so that each may run in a process of its own."""
# Tests of services and of killed processes wait for much of their time, a real case computes: each of those begins
# beside one of these.
LONGEST = (
    f"{REAL_CASES}[us-stations]",
    "tests/flows/service/test_stack.py",
    f"{REAL_CASES}[us-grid]",
    "tests/flows/test_outages.py",
    f"{REAL_CASES}[eu-basins]",
    "tests/flows/stages/test_produce_faults.py",
    "tests/flows/test_journey.py",
    "tests/publish/test_viewer_tools.py",
    "tests/flows/command/test_bad_input.py",
    "tests/flows/stages/production/test_continuing.py",
    "tests/publish/test_viewer.py",
    "tests/flows/cluster/test_slurm.py",
    "tests/flows/stages/test_histories.py",
    "tests/docs/test_code_blocks.py",
    "tests/publish/store/test_drought.py",
    "tests/flows/stages/learning/test_search.py",
    "tests/real/test_forcing_cases.py",
    "tests/flows/stages/test_release.py",
    "tests/learn/test_fit.py",
    "tests/publish/test_recipes.py",
    "tests/synthetic/test_europe.py",
)
"""Files of more than about twenty seconds, the longest first, by `--durations`."""


class LongestFirst(LoadFileScheduling):
    """Files to processes in the order of collection, and each real case for itself."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return handed_out_with(nodeid)


def handed_out_with(nodeid: str) -> str:
    """What a test is given to a process with: its file, or its real case."""
    file, _, name = nodeid.partition("::")
    return f"{file}[{name.rsplit('[', 1)[1]}" if file == REAL_CASES and name.endswith("]") else file


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Tests of the longest files first; the others keep their order."""
    rank = {file_or_case: number for number, file_or_case in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(handed_out_with(item.nodeid), len(rank)))
