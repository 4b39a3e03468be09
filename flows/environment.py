"""Settings from the environment. Nothing else in the project reads `os.environ`.

Storage credentials (`AWS_*`) and TLS certificates of Dask (`DASK_DISTRIBUTED__COMM__*`) are read from the environment
by the libraries themselves and never pass through here.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pydantic

from flows.console import verbosity
from somo.product.cluster import CLUSTER_KINDS
from somo.product.declaration import Product, ProductError
from somo.product.toml_file import read_product

DAILY = "0 6 * * *"
# How often a run tells Prefect that it lives; Prefect's own three minutes are longer than what may be waited for.
HEARTBEAT_SECONDS = 30
PREFECT_SETTINGS = {
    # A command that is told the address of a service is watched there as the service's own runs are.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
# What Prefect reads of the folder that a command is called in.
SETTINGS_OF_PREFECT = (".env", "prefect.toml", "pyproject.toml")
# By it Python leaves the working folder, which is the first for `python -m` and `-c`, out of where it imports from.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}


# What fsspec and obstore are told of stores that are read, and how a network lets its machines out.
OF_PROVIDERS = ("FSSPEC_", "GOOGLE_", "AZURE_")
OF_NETWORKS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def read_providers() -> dict[str, Any]:
    """What is known of providers' files: tables that a declaration takes by `like`."""
    return tomllib.loads((Path(__file__).parent / "products" / "providers.toml").read_text())


def load_product(path: str | Path) -> Product:
    """Read a product declaration with the environment's values.

    `SOMO_CLUSTER_<KEY>` replaces a key of its `[cluster]` table (`SOMO_CLUSTER_WORKERS=8`); an address implies
    `kind = "address"`, and means nothing to another kind. `SOMO_REAL`, where unset, is the folder `shared/real` beside
    the project that holds the file.

    Raises
    ------
    ProductError
        naming the key, or the variable, whose value is not allowed
    """
    product = read_product(path, _environment(Path(path)), read_providers())
    overrides: dict[str, Any] = {
        key.removeprefix("SOMO_CLUSTER_").lower(): value
        for key, value in os.environ.items()
        if key.startswith("SOMO_CLUSTER_")
    }
    if not overrides:
        return product
    if "address" in overrides:
        overrides.setdefault("kind", "address")
    kind = overrides.setdefault("kind", product.cluster.kind)
    if kind != "address":
        # A service sets the address of its own scheduler; its operator may ask for another kind of cluster beside it.
        overrides.pop("address", None)
    elif "SOMO_CLUSTER_KIND" not in os.environ:
        # How many workers a running scheduler has is said where they are started, in the same variables.
        overrides = {key: value for key, value in overrides.items() if key not in ("workers", "gpu_workers")}
    allowed = CLUSTER_KINDS[kind].model_fields if kind in CLUSTER_KINDS else {}
    # What is declared for another kind of cluster means nothing to the one that the environment asks for.
    declared = {key: value for key, value in product.cluster.model_dump(exclude_unset=True).items() if key in allowed}
    try:
        return product.model_copy(update={"cluster": {**declared, **overrides}})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        # What is wrong with several keys together, or with the kind, is said of the whole table.
        of_table = [key for key in overrides if re.search(rf"\b{key}\b", reason)]
        wrong = [str(key) for key in first["loc"][1:2]] or of_table
        values = {key: f" = {overrides[key]!r}" if key in overrides else "" for key in wrong}
        variables = ", ".join(f"SOMO_CLUSTER_{key.upper()}{value}" for key, value in values.items()) or "SOMO_CLUSTER_*"
        keys = f"; allowed keys: {', '.join(allowed)}" if allowed else ""
        raise ProductError(f"{variables}: {reason}{keys}") from error


def _environment(path: Path) -> dict[str, str]:
    values = dict(os.environ)
    for folder in path.resolve().parents:
        beside = folder.parent / "shared" / "real"
        if (folder / "pyproject.toml").exists() and beside.is_dir():
            values.setdefault("SOMO_REAL", str(beside))
    return values


def root_of(product: Product, root: str) -> str:
    """Root of a product's results: the one given, else the declared one; a folder becomes absolute.

    Raises
    ------
    ProductError
        if neither is given
    """
    chosen = root or product.root
    if not chosen:
        raise ProductError(f"{product.name}: no place for the results; give --root or root = in the declaration")
    return chosen if "://" in chosen else str(Path(chosen).resolve())


def cache_folder() -> Path:
    """This user's folder for what can be made again: `XDG_CACHE_HOME`, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "somo"


def require_own_settings(folder: Path) -> None:
    """Refuse to work in a folder where another user has laid down settings of Prefect.

    They may name a server to talk to and classes to import, and a folder of all users, as a shared scratch disk, is
    open to everybody.

    Raises
    ------
    ProductError
        naming the file and its owner
    """
    for path in (folder / name for name in SETTINGS_OF_PREFECT):
        if path.exists() and (owner := path.stat().st_uid) not in (0, os.geteuid()) and _sets_prefect(path):
            raise ProductError(
                f"{path} belongs to another user ({owner}), and Prefect would take its settings from there; call the "
                "command in a folder of your own"
            )


def _sets_prefect(path: Path) -> bool:
    """Whether such a file holds a setting of Prefect; clones of other people's projects mostly hold none."""
    if path.name == ".env":
        return "PREFECT_" in path.read_text(errors="replace").upper()
    try:
        return bool(_settings_in(path))
    except tomllib.TOMLDecodeError:
        return True


def _settings_in(path: Path) -> dict[str, Any]:
    """Prefect's settings in a TOML file."""
    table = tomllib.loads(path.read_text(errors="replace"))
    of_prefect: dict[str, Any] = table if path.name == "prefect.toml" else table.get("tool", {}).get("prefect", {})
    return of_prefect


def prepare_prefect() -> None:
    """Set Prefect's settings for a run from the command line; variables that are set already keep their values.

    Raises
    ------
    ProductError
        if another user has laid down settings of Prefect in the working folder
    """
    require_own_settings(Path.cwd())
    for name, value in PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)
    if not verbosity.traceback:
        # Prefect would log a failure with its traceback, which people ask for by --debug.
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")


def server_is_named() -> bool:
    """Whether Prefect is told of a server: by a variable, in the working folder or by the profile in use."""
    profiles = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser() / "profiles.toml"
    return "PREFECT_API_URL" in os.environ or _folder_names_a_server(Path.cwd()) or _profile_names_a_server(profiles)


def _folder_names_a_server(folder: Path) -> bool:
    """Whether what Prefect reads of a folder has the address of a server."""
    for path in (folder / name for name in SETTINGS_OF_PREFECT):
        # Prefect itself says what is wrong with a file that is no TOML.
        with suppress(FileNotFoundError, tomllib.TOMLDecodeError):
            if path.name == ".env":
                named = "PREFECT_API_URL" in path.read_text(errors="replace").upper()
            else:
                named = "url" in _settings_in(path).get("api", {})
            if named:
                return True
    return False


def _profile_names_a_server(profiles: Path) -> bool:
    """Whether the profile of Prefect that is in use has the address of a server; most profiles have none."""
    if not profiles.exists():
        return False
    tables = tomllib.loads(profiles.read_text())
    in_use = os.environ.get("PREFECT_PROFILE") or tables.get("active", "")
    return "PREFECT_API_URL" in tables.get("profiles", {}).get(in_use, {})


def deployment_settings(home: Path) -> dict[str, str]:
    """The environment with the values that `infra/prefect.yaml` asks for.

    Raises
    ------
    ProductError
        if the product to deploy is not named
    """
    if not (path := os.environ.get("SOMO_PRODUCT")):
        raise ProductError("SOMO_PRODUCT is not set; export the path of the product's TOML file")
    product = load_product(path)
    of_product = {
        "SOMO_NAME": product.name,
        "SOMO_HOME": str(home),
        "SOMO_ROOT": root_of(product, os.environ.get("SOMO_ROOT", "")),
    }
    # An operator's schedule goes before the daily one; name, home and root are what the declaration says.
    return {"SOMO_UPDATE_CRON": DAILY, **os.environ, **of_product}


def service_settings() -> dict[str, str]:
    """The operator's `SOMO_*` settings for a service, without the variables that the service sets itself."""
    set_by_service = ("SOMO_PRODUCT", "SOMO_ROOT", "SOMO_HOME", "SOMO_NAME", "SOMO_CLUSTER_ADDRESS", "SOMO_DASHBOARD")
    return {
        name: value for name, value in os.environ.items() if name.startswith("SOMO_") and name not in set_by_service
    }


def inherited(*names: str) -> dict[str, str]:
    """Those of the named environment variables that are set, to be handed on to another process."""
    return {name: os.environ[name] for name in names if name in os.environ}


def ways_to_sources() -> dict[str, str]:
    """Variables by which source files elsewhere are reached: logins of providers, proxies and authorities of a network.

    What fsspec is told of S3 stays out: the service has a store of its own, with keys of its own.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(OF_PROVIDERS) and not name.startswith("FSSPEC_S3")) or name.upper() in OF_NETWORKS
    }
    # A service has another home, where libraries would look for the logins.
    logins = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    return {"NETRC": str(logins), **variables} if logins.exists() else variables


def environment_with(values: Mapping[str, str]) -> dict[str, str]:
    """Variables of this process with others beside them, for a process that it starts."""
    return {**os.environ, **values}


def spare_loopback() -> None:
    """Let no request to a server of this machine go through the proxy that the environment names.

    The servers that a run or a service starts listen on 127.0.0.1, which is another machine to the proxy. Libraries ask
    for either spelling of the variable.
    """
    spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if "127.0.0.1" not in spared.split(","):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, (spared, "127.0.0.1")))


def export(values: Mapping[str, str]) -> None:
    """Set environment variables for this process and those it starts."""
    os.environ.update(values)


@contextmanager
def without_working_folder() -> Iterator[None]:
    """Let the processes that are started meanwhile import nothing from the folder that this one was called in.

    In a folder of all users anybody may put a module of any name.
    """
    former = inherited(*SAFE_PATH)
    os.environ.update(SAFE_PATH)
    try:
        yield
    finally:
        for name in SAFE_PATH.keys() - former.keys():
            os.environ.pop(name, None)


def dashboard_of_running_scheduler() -> str | None:
    """URL of the dashboard of a scheduler that others have started, from `SOMO_DASHBOARD`; None if it is not set."""
    return os.environ.get("SOMO_DASHBOARD")
