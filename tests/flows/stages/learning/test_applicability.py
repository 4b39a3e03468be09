"""The map of applicability speaks of the same days and features as the training cells."""

import numpy as np
import pandas as pd

from flows.stages.ingest import ingest
from flows.stages.learning.applicability import climate_days, map_features
from flows.stages.learning.samples import prepare
from somo.learn.importance import cell_features
from somo.learn.samples import read_training_set
from somo.storage.objects import join, put
from tests.predict import made

CELLS = (14, 30, 50)


def test_training_cells_have_the_features_that_the_map_has_there(client, tmp_path):
    """Forcing of the spin-up before the training period is in the samples and takes no part in the climatology."""
    sources, root = str(tmp_path / "sources"), str(tmp_path / "root")
    declared = made.product(sources)
    (tmp_path / "sources").mkdir()
    made.write_sources(declared, sources, tmp_path / "sources")
    inputs = ingest(declared, root, client)
    days = pd.date_range("2020-01-15", "2020-01-31")
    parts = [
        pd.DataFrame({"domain": "home", "cell": cell, "layer": layer, "time": days, "value": 0.2, "count": 1})
        for cell in CELLS
        for layer in ("layer1", "layer2")
    ]
    targets = join(root, "targets/made.parquet")
    put(targets, pd.concat(parts, ignore_index=True).to_parquet())
    data = read_training_set(prepare(declared, root, inputs, targets, client))
    assert climate_days(declared, data) == slice(10, 30)
    names, features = cell_features(data, climate_days(declared, data))
    everywhere, _ = map_features(declared, inputs["home"])
    assert len(names) == features.shape[1] == everywhere.shape[1]
    np.testing.assert_allclose(features, everywhere[list(CELLS)], rtol=1e-5, atol=1e-6)
    assert np.abs(cell_features(data, slice(None))[1] - features).max() > 0.1
