"""Official schemas of what is published; README.md says where they come from."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent
# Schemas that the official ones refer to for fields that are not used here.
ELSEWHERE = ("https://proj.org/schemas/v0.4/projjson.schema.json", "https://proj.org/schemas/v0.7/projjson.schema.json",
             "https://geojson.org/schema/Geometry.json")  # fmt: skip
DATACITE = FOLDER / "kernel-4.6/metadata.xsd"


def extensions() -> dict[str, dict]:
    """Schemas of STAC extensions by their address."""
    schemas = {}
    for path in FOLDER.glob("*-v*.*.*.json"):
        name, version = path.stem.rsplit("-", 1)
        schemas[f"https://stac-extensions.github.io/{name}/{version}/schema.json"] = json.loads(path.read_text())
    return schemas | {
        url: {"$id": url, "$schema": "http://json-schema.org/draft-07/schema#", "type": "object"} for url in ELSEWHERE
    }
