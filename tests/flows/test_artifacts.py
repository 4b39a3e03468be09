"""What is shown in Prefect is what was meant."""

import pytest

from flows.artifacts import as_it_is

HOSTILE = "no column in ![](https://elsewhere.example/x) <script>alert(1)</script> [here](javascript:alert(1))"


@pytest.mark.parametrize("text", [HOSTILE, f"```\n{HOSTILE}", f"````` {HOSTILE} ```"])
def test_names_with_markup_are_shown_as_text(text: str) -> None:
    fence, *lines, last = as_it_is(text).split("\n")
    marks = fence.removesuffix("text")
    assert set(marks) == {"`"} and last == marks
    assert "\n".join(lines) == text
    assert marks not in text
