"""What a production takes for shown already."""

from pathlib import Path

import pytest

from flows.stages.production.plan import read_shown
from somo.storage.objects import join
from somo.storage.patience import StorageError
from tests.publish import made


def test_lost_status_is_not_taken_for_days_that_are_final(tmp_path: Path) -> None:
    store = join(made.write_store(made.product(), str(tmp_path), days=40, provisional=3), "soil_moisture.zarr")
    shown = read_shown(store)
    assert shown is not None and shown.status.sum() == 3
    Path(store, "status/c/0").unlink()
    with pytest.raises(StorageError, match=r"status/c/0: is missing, and nothing else says which days may still"):
        read_shown(store)
