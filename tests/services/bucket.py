"""A bucket on a new server: obstore knows objects alone."""

from __future__ import annotations

from contextlib import closing, suppress

REGION = "us-east-1"


def create_bucket(name: str, endpoint: str, access_key: str, secret_key: str) -> None:
    import boto3  # type: ignore[import-untyped]  # it brings no types
    from botocore.config import Config  # type: ignore[import-untyped]

    config = Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30)
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    with (
        closing(boto3.client("s3", endpoint_url=endpoint, region_name=REGION, config=config, **keys)) as client,
        suppress(client.exceptions.BucketAlreadyOwnedByYou),  # another worker of the run was first
    ):
        client.create_bucket(Bucket=name)
