"""Open the published part of a bucket to anyone: policy and CORS for any S3 server."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session

from somo.storage.objects import checksum
from somo.storage.patience import StorageError

POLICIES = Path(__file__).parent


def open_bucket(root: str) -> None:
    """Let anyone read what is published below `root` (`s3://bucket/prefix`), and nothing else.

    Raises
    ------
    StorageError
        if the root is not on S3 or its server refuses the policy
    """
    bucket, prefix = split(root)
    client = botocore.session.get_session().create_client("s3")
    try:
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(merged(client, bucket, policy(bucket, prefix))))
        client.put_bucket_cors(Bucket=bucket, CORSConfiguration=json.loads((POLICIES / "bucket-cors.json").read_text()))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise StorageError(
            f"{root}: policy or CORS cannot be set ({error}); use the owner's credentials, and on AWS allow public "
            "policies for this bucket (infra/bucket-policy.md)"
        ) from error


def split(root: str) -> tuple[str, str]:
    """Bucket and prefix (empty, or ending in a slash) of an S3 URL.

    Raises
    ------
    StorageError
        if the URL is not one of S3
    """
    if not root.startswith("s3://"):
        raise StorageError(f"{root}: access is set on S3 buckets only; folders have their file permissions")
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    return bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""


def policy(bucket: str, prefix: str) -> dict[str, Any]:
    """The bucket policy for one product."""
    text = (POLICIES / "bucket-policy.json").read_text().replace("BUCKET", bucket).replace("PREFIX", prefix)
    document: dict[str, Any] = json.loads(text)
    for statement in document["Statement"]:
        # Several products may share a bucket, and their statements are told apart by the prefix. Names of statements
        # are letters and digits alone, in which eu/v1 and EU-v1 would be the same.
        statement["Sid"] += checksum(prefix.encode())[:16] if prefix else ""
    return document


def public_patterns() -> tuple[str, ...]:
    """Keys below a product's root that the policy lets anyone read; a star stands for anything."""
    shown = next(s["Resource"] for s in policy("", "")["Statement"] if s["Action"] == "s3:GetObject")
    return tuple(resource.removeprefix("arn:aws:s3:::/") for resource in shown)


def is_public(key: str) -> bool:
    """Whether the policy lets anyone read an object, by its key below the product's root."""
    return any(fnmatchcase(key, pattern) for pattern in public_patterns())


def merged(client: Any, bucket: str, ours: dict[str, Any]) -> dict[str, Any]:
    """The bucket's policy with our statements added or renewed; those of others stay."""
    try:
        current_policy = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except botocore.exceptions.ClientError as error:
        # S3 has an error, and no empty policy, for a bucket that has none.
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return ours
    sids = {statement["Sid"] for statement in ours["Statement"]}
    statements_of_others = [s for s in current_policy["Statement"] if s.get("Sid") not in sids]
    return {**current_policy, "Statement": [*statements_of_others, *ours["Statement"]]}
