"""A client of S3, with the credentials that the AWS tools would use, or a role that these may assume.

It is botocore's: boto3 would give the same, and takes longer to be imported.
"""

from __future__ import annotations

from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError

from lidarprep.storage.s3.options import S3Options
from lidarprep.storage.s3.signing import settle_signing

# Frames are stored from as many threads as there are workers, and large objects in parts side by side; boto's own limit
# of 10 connections would queue them.
_CONNECTIONS = 50

# Seconds without a byte: long for a network that works, short where a connection is dead.
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 30


class _AssumedRole(CredentialProvider):  # type: ignore[misc]  # boto has no types
    """Credentials of a role; fetched when they are needed first, and again before they run out."""

    METHOD = "assume-role"

    def __init__(self, session: Any, role_arn: str) -> None:
        super().__init__()
        source = session.get_credentials()
        if source is None:
            raise NoCredentialsError
        fetcher = AssumeRoleCredentialFetcher(
            session.create_client, source, role_arn, extra_args={"RoleSessionName": "lidarprep"}
        )
        self._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, method=self.METHOD)

    def load(self) -> Any:
        return self._credentials


# Bodies below it go with their head: asking first whether the store wants them takes a round trip, and a second where
# nobody answers that. boto asks for every body, other SDKs of AWS from 2 MB on.
_ASKED_FROM = 2 * 2**20


def _go_ahead(request: Any, **_: Any) -> None:
    """Drops the header that asks from the head of a small body; no signature covers it."""
    if int(request.headers.get("Content-Length", _ASKED_FROM)) < _ASKED_FROM:
        request.headers.pop("Expect", None)


_loaders: dict[str, Any] = {}


def _descriptions(session: Any) -> Any:
    """boto's descriptions of services, which are read once a process and not for each client."""
    path = session.get_config_variable("data_path") or ""
    if path not in _loaders:
        _loaders[path] = botocore.loaders.create_loader(path or None)
    return _loaders[path]


# Credentials of roles that profiles name, by what botocore tells these by, until they run out.
_assumed_roles: dict[str, Any] = {}


def _share_assumed_roles(session: Any) -> None:
    """A profile whose role asks for a code of a device (MFA) asks for one in a process, not for one a client."""
    session.get_component("credential_provider").get_provider("assume-role").cache = _assumed_roles


def _session(options: S3Options) -> Any:
    """A session whose own requests, for credentials, don't hold a run up for minutes where the network is gone."""
    session = botocore.session.Session(profile=options.profile)
    session.set_default_client_config(
        Config(connect_timeout=_CONNECT_TIMEOUT_S, read_timeout=_CONNECT_TIMEOUT_S, retries={"total_max_attempts": 2})
    )
    _share_assumed_roles(session)
    return session


def open_client(options: S3Options) -> Any:
    """A client of S3.

    Raises:
        BotoCoreError, ValueError: There is no such profile; the endpoint is no URL; a role is to be assumed, and there
            are no credentials for that.
    """
    inner = _session(options)
    inner.register_component("data_loader", _descriptions(inner))
    if options.role_arn is not None:
        if options.region is not None:
            inner.set_config_variable("region", options.region)
        source = _session(options)
        source.set_config_variable("region", inner.get_config_variable("region"))
        inner.register_component("credential_provider", CredentialResolver([_AssumedRole(source, options.role_arn)]))
    settle_signing(inner)
    when = "when_required" if options.checksums == "when_required" else "when_supported"
    client = inner.create_client(
        "s3",
        region_name=options.region,
        endpoint_url=options.endpoint_url,
        config=Config(
            max_pool_connections=_CONNECTIONS,
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            # Tried once: `retries`, which can be told to stop, tries again what fails; `turns` makes this adaptive.
            retries={"mode": "standard", "total_max_attempts": 1},
            signature_version="s3v4",
            s3={"addressing_style": "path"} if options.path_style else None,
            request_checksum_calculation=when,
            response_checksum_validation=when,
        ),
    )
    client.meta.events.register("before-send.s3", _go_ahead)
    return client
