"""A failure is told in one sentence, and to others than the author of a declaration without what signs or logs in."""

import traceback
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError

from flows.failures import RunError, in_one_sentence, told_without_secrets, without_secrets
from somo.storage.patience import StorageError

SIGNED = "https://h/x.nc?X-Amz-Credential=AKIA&X-Amz-Signature=ab12"


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("https://h/x.nc?X-Amz-Signature=ab%2C1: refused", "https://h/x.nc?... refused"),
        ("https://h/x.nc?token refused", "https://h/x.nc?... refused"),
        ("https://me:pass:word@h.example/x.nc: refused", "https://...@h.example/x.nc: refused"),
        ("https://me:p@ss@h.example/x.nc: refused", "https://...@h.example/x.nc: refused"),
        ("https://h/me@example.org/x.nc, s3://b/k@1", "https://h/me@example.org/x.nc, s3://b/k@1"),
        # As requests tells it, without scheme and host, and as aiohttp does, which decodes quotes and brackets.
        ("exceeded with url: /x.nc?sv=1&sig=a%3D (Caused by", "exceeded with url: /x.nc?... (Caused by"),
        ("url='https://h/x?disposition=attachment;name='a,b'&X-Amz-Signature=ab'", "url='https://h/x?..."),
        # Wildcards of a declaration.
        ("no file matches /data/t2m_200?.nc, s3://b/t2m_??.nc", "no file matches /data/t2m_200?.nc, s3://b/t2m_??.nc"),
    ],
)
def test_a_text_for_others_holds_neither_signature_nor_login(text: str, public: str) -> None:
    assert without_secrets(text) == public


def refused() -> None:
    try:
        raise ConnectionError(f"max retries exceeded with url: {SIGNED}")
    except ConnectionError as error:
        raise StorageError(f"{SIGNED}: cannot be reached; check the network") from error


def test_an_error_leaves_without_signatures_in_it_and_in_its_causes() -> None:
    with pytest.raises(RunError) as failed, told_without_secrets():
        refused()
    told = "".join(traceback.format_exception(failed.value))
    assert "AKIA" not in told and "ab12" not in told
    assert "in refused" in told, "where it happened is no secret"
    assert in_one_sentence(failed.value) == "https://h/x.nc?... cannot be reached; check the network"


def test_a_declaration_that_is_refused_tells_no_signature(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect validates a flow's parameters before any line of the flow, keeps what is wrong and logs it."""
    from flows.service.deployments import update

    monkeypatch.setenv("SOMO_SOURCES", "/sources")
    declared = (Path(__file__).parent / "service.toml").read_text().replace("sand = {", f'sand = {{ urll = "{SIGNED}",')
    (tmp_path / "product.toml").write_text(declared)
    with pytest.raises(ParameterTypeError, match=r"static\.sand\.urll = 'https://h/x\.nc\?\.\.\.") as refused:
        update.validate_parameters({"product": str(tmp_path / "product.toml")})
    told = "".join(traceback.format_exception(refused.value)) + caplog.text
    assert "AKIA" not in told and "ab12" not in told


def test_an_error_without_secrets_leaves_as_it_is() -> None:
    raised = StorageError("s3://b/t2m_200?.nc: no such file; check the URL")
    with pytest.raises(StorageError) as failed, told_without_secrets():
        raise raised from KeyError("x")
    assert failed.value is raised and isinstance(failed.value.__cause__, KeyError)
