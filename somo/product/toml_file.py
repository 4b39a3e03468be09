"""A product's TOML file, read and validated; an error names file, line, key, value and what is allowed."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import pydantic
from pydantic import BaseModel

from somo.product.cluster import CLUSTER_KINDS, DEFAULT_KIND
from somo.product.declaration import Product, ProductError
from somo.product.inputs import Forcing, Source
from somo.product.providers import Tables, take_likes
from somo.product.toml_lines import line_of

# Keys of a declaration that say where something lies, which may differ between machines.
PLACES = ("url", "root")
SECRET_WORDS = {"SECRET", "PASSWORD", "PASSWD", "TOKEN", "KEY", "KEYS", "CREDENTIAL", "CREDENTIALS", "LOGIN", "AUTH",
                "WEBHOOK"}  # fmt: skip


def read_product(
    path: str | Path, environ: Mapping[str, str] | None = None, providers: Tables | None = None
) -> Product:
    """Read and validate a product declaration.

    Parameters
    ----------
    path : the TOML file
    environ : values for `${SOMO_NAME}` in keys that hold a URL or a path (`PLACES`); no other variable is read
    providers : tables that `like` takes (`flows/products/providers.toml`)

    Raises
    ------
    ProductError
        naming file, key, value and what is allowed
    """
    path = Path(path)
    try:
        # TOML is UTF-8 wherever it is read; editors of Windows put a byte-order mark before it.
        text = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(text)
    except OSError as error:
        raise ProductError(f"{path}: cannot be read ({error.strerror}); give the path of a product TOML") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ProductError(f"{path}: line {line}: not UTF-8, as TOML has to be; save it in that encoding") from error
    except tomllib.TOMLDecodeError as error:
        raise ProductError(f"{path}: not valid TOML: {error}{_how_to_write(text, str(error))}") from error
    try:
        raw = take_likes(raw, providers or {})
    except KeyError as error:
        raise ProductError(f"{path}: {_line_of_named(text, error.args[0])}{error.args[0]}") from error
    try:
        return Product.model_validate(_expand(raw, environ or {}, _File(str(path), text)))
    except pydantic.ValidationError as error:
        raise ProductError("\n".join(_explain(path, text, error, raw))) from error


@dataclass(frozen=True)
class _File:
    """A declaration's file, for messages."""

    path: str
    text: str


def _expand(value: Any, environ: Mapping[str, str], file: _File, location: tuple[int | str, ...] = ()) -> Any:
    if isinstance(value, dict):
        return {k: _expand(v, environ, file, (*location, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environ, file, (*location, number)) for number, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    names = [str(name) for name in location if isinstance(name, str)]
    key = names[-1]

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        where = f"{file.path}: {_line(file.text, location)}{'.'.join(names)}"
        # A declaration is published word by word: a password read here would be in every catalogue.
        if not _may_be_read(name):
            raise ProductError(
                f"{where} = {value!r}: a declaration reads variables that begin with SOMO_ and hold no secret, "
                f"not {name}; rename it, or write the value"
            )
        if key not in PLACES:
            raise ProductError(
                f"{where} = {value!r}: variables stand in {', '.join(PLACES)} alone; write the value into {key}"
            )
        if name not in environ:
            raise ProductError(f"{where} = {value!r}: environment variable {name} is not set; export {name}=...")
        return environ[name]

    return re.sub(r"\$\{(\w+)\}", replace, value)


def _may_be_read(name: str) -> bool:
    # Whole words, since SOMO_KEYBOARD or SOMO_MONKEY hold no key.
    return name.startswith("SOMO_") and not set(name.split("_")) & SECRET_WORDS


def _how_to_write(text: str, message: str) -> str:
    """What to write in place of a path of Windows or a day that is no TOML; empty where it is neither."""
    number = re.search(r"at line (\d+)", message)
    line = text.splitlines()[int(number[1]) - 1] if number else ""
    if re.search(r'"[^"]*\\', line):
        return "; a backslash between double quotes begins a special letter: write paths with /, or in single quotes"
    if re.search(r"=\s*\d{1,4}[-./]\d{1,2}[-./]\d", line):
        return "; write days as 2018-01-31"
    return ""


def _line(text: str, location: Sequence[int | str]) -> str:
    """The line of a key in words; empty where the key stands in no line of its own file."""
    line = line_of(text, location)
    return f"line {line}: " if line else ""


def _line_of_named(text: str, message: str) -> str:
    """The line of the first key that a message names, as in "chunks.time 4 does not divide"."""
    named = re.search(r"\b[a-z]\w*(?:\.\w+)+", message)
    return _line(text, named[0].split(".")) if named else ""


def _nearest(name: str, allowed: Iterable[str]) -> str:
    """A question that proposes the allowed word spelt most alike; empty where none is similar."""
    near = get_close_matches(name, list(allowed), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _explain(path: Path, text: str, error: pydantic.ValidationError, raw: Mapping[str, Any]) -> Iterator[str]:
    errors = error.errors()
    for e in errors:
        # A list with a wrong element is called too short as well, which misleads.
        if e["type"] == "too_short" and any(o["loc"][: len(e["loc"])] == e["loc"] for o in errors if o is not e):
            continue
        location = _toml_location(e["loc"])
        key = ".".join(str(name) for name in location) or "product"
        where = f"{path}: {_line(text, location) if location else ''}"
        if e["type"] == "extra_forbidden":
            allowed = _allowed(e["loc"][:-1], raw)
            nearest = _nearest(str(location[-1]), allowed)
            yield f"{where}{key} = {e['input']!r} is unknown; allowed here: {', '.join(allowed)}{nearest}"
        elif e["type"] == "tuple_type" and isinstance(e["input"], dict):
            yield f"{where}{key} may stand there several times; write its header with two brackets, as [[{key}]]"
        elif e["type"] == "missing":
            yield f"{where}{key} is missing; add it"
        else:
            message = e["msg"].removeprefix("Value error, ")
            got = "" if isinstance(e["input"], dict | BaseModel) else f" = {e['input']!r}"
            nearest = ""
            if e["type"] == "literal_error":
                nearest = _nearest(str(e["input"]), re.findall(r"'([^']*)'", e["ctx"]["expected"]))
            where = where if location else f"{path}: {_line_of_named(text, message)}"
            yield f"{where}{key}{got}: {message}{nearest}"


def _toml_location(location: tuple[int | str, ...]) -> list[int | str]:
    """Where a value stands in the file: without the tag of a grid and the table that holds a variable's source."""
    return [
        name
        for table, name in zip(("", *location), location, strict=False)
        if not (table == "grid" and name in ("regular", "forcing"))
        and not (location[0] == "forcing" and name == "source")
    ]


def _allowed(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> list[str]:
    """Keys that may stand at a location of the TOML, from the models themselves."""
    if location == ("cluster",):
        return sorted(CLUSTER_KINDS[raw["cluster"].get("kind", DEFAULT_KIND)].model_fields)
    models: list[type[BaseModel]] = [Product]
    for name in location:
        # Of several models behind one key, as of a grid, pydantic's location names the kind next.
        if len(models) > 1:
            models = [m for m in models if name in get_args(m.model_fields["kind"].annotation)]
        elif str(name) in models[0].model_fields:
            models = _models_in(models[0].model_fields[str(name)].annotation)
    keys = {key for model in models for key in model.model_fields}
    # A source's keys stand beside those of its variable in TOML.
    if location[:1] == ("forcing",):
        keys |= set(Forcing.model_fields) | set(Source.model_fields)
        keys -= {"source"}
    return sorted(keys)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Declarations behind a plain, optional, dict, tuple or union annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
