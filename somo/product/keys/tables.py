"""The tables of a declaration, as people write their names."""

from pydantic import BaseModel

from somo.product import inputs, method, publication, static
from somo.product.cluster import CLUSTER_KINDS
from somo.product.network import NETWORK_KINDS

TABLES: dict[str, type[BaseModel]] = {
    "period": inputs.Period,
    'grid, kind = "regular"': inputs.RegularGrid,
    'grid, kind = "forcing"': inputs.ForcingGrid,
    "domains.NAME": inputs.Domain,
    "layers": inputs.Layer,
    "forcing.NAME": inputs.Forcing,
    "forcing.NAME, where it is read from files": inputs.Source,
    "static.NAME": static.Static,
    "insitu": inputs.Insitu,
    "targets": inputs.Targets,
    "targets.reference": inputs.ReferenceLayer,
    "sequence": method.Sequence,
    "training": method.Training,
    "search": method.Search,
    "search.space.KEY, where it is a range": method.Range,
    "chunks": method.Chunks,
    "prediction": method.Prediction,
    "drought": method.Drought,
    "frozen": method.Frozen,
    "compare": method.Compared,
    "compare.layers": method.ComparedLayer,
    "report": publication.Report,
    "checks": publication.Checks,
    "publication": publication.Publication,
    "publication.authors": publication.Author,
}


def tables_of_kinds() -> dict[str, type[BaseModel]]:
    """The tables that come in kinds, with those that other packages have registered."""
    return {
        f'{table}, kind = "{name}"': settings
        for table, register in (("network", NETWORK_KINDS), ("cluster", CLUSTER_KINDS))
        for name, settings in register.items()
    }
