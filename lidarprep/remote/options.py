"""How a store is reached: shared by what is read from stores and what is written to them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lidarprep.models import CheckedModel


def option(group: str, description: str, default: Any = None, **extra: Any) -> Any:
    """Return a field with its place, metavar and flag on the command line."""
    return Field(default, description=description, json_schema_extra={"group": group, **extra})


class AccessOptions(CheckedModel):
    """How a store is reached. Endpoint, profile, region and role are for S3; other clouds have their own tools' way.

    Credentials are those of the cloud's own tools: environment, profiles, instance roles.
    """

    endpoint_url: str | None = option("bucket", "Address of an S3-compatible store; AWS if left out.", metavar="URL")
    profile: str | None = option("bucket", "Profile of the AWS tools' configuration.", metavar="NAME")
    region: str | None = option("bucket", "AWS region.", metavar="NAME")
    role_arn: Annotated[str | None, Field(pattern=r"^arn:\S+$")] = option(
        "bucket", "AWS role to assume.", metavar="ARN"
    )
    path_style: bool = option("bucket", "The bucket's name goes into the URL's path.", default=False)
    requester_pays: bool = option("bucket", "Pay for requests on another's bucket.", default=False)
    give_up_after: Annotated[float, Field(gt=0, le=24 * 60)] = option(
        "bucket", "How long a request that fails is tried again; else 10.", default=10.0, metavar="MINUTES"
    )
