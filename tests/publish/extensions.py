"""The STAC extensions that the catalog uses, as JSON Schemas written down from their specifications' texts."""

from pystac.extensions import datacube, file

from somo.publish.catalog import ZARR_EXTENSION

NUMBERS = {"type": "array", "items": {"type": "number"}}
TEXT = {"type": "string"}
SPATIAL = {
    "required": ["type", "axis"],
    "properties": {
        "type": {"const": "spatial"},
        "axis": {"enum": ["x", "y", "z"]},
        "extent": {**NUMBERS, "minItems": 2, "maxItems": 2},
        "values": {**NUMBERS, "minItems": 1},
        "step": {"type": ["number", "null"]},
        "reference_system": {"type": ["string", "number", "object"]},
    },
    "anyOf": [{"required": ["extent"]}, {"required": ["values"]}],
}
TEMPORAL = {
    "required": ["type", "extent"],
    "properties": {
        "type": {"const": "temporal"},
        "extent": {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 2, "maxItems": 2},
        "step": {"type": ["string", "null"], "pattern": "^P"},
    },
    "not": {"required": ["axis"]},
}
VARIABLE = {
    "required": ["dimensions", "type"],
    "properties": {
        "dimensions": {"type": "array", "items": TEXT},
        "type": {"enum": ["data", "auxiliary"]},
        "unit": TEXT,
        "description": TEXT,
    },
}
RULES = {
    datacube.SCHEMA_URI: {
        "required": ["cube:dimensions"],
        "properties": {
            "cube:dimensions": {"type": "object", "additionalProperties": {"oneOf": [SPATIAL, TEMPORAL]}},
            "cube:variables": {"type": "object", "additionalProperties": VARIABLE},
        },
    },
    file.SCHEMA_URI: {
        "properties": {
            "assets": {
                "additionalProperties": {
                    "properties": {
                        "file:size": {"type": "integer", "minimum": 0},
                        "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
                    }
                }
            }
        }
    },
    ZARR_EXTENSION: {
        "required": ["assets"],
        "properties": {
            "assets": {
                "additionalProperties": {
                    "properties": {
                        "zarr:consolidated": {"type": "boolean"},
                        "zarr:node_type": {"enum": ["array", "group"]},
                        "zarr:zarr_format": {"enum": [2, 3]},
                    },
                    "patternProperties": {"^zarr:(?!consolidated$|node_type$|zarr_format$)": False},
                }
            }
        },
    },
}
SCHEMAS = {uri: {"$schema": "http://json-schema.org/draft-07/schema#", "$id": uri, **r} for uri, r in RULES.items()}
