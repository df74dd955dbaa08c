"""Where runs are tracked: which URIs are understood, is it there, and what must not be shown."""

from __future__ import annotations

import base64
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from distreg.exceptions import InputError
from distreg.secrets import mask

__all__ = ["Target", "probe", "resolve"]

PROBE_SECONDS = 3.0
DATABASES = ("postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Target:
    """A tracking store.

    Attributes
    ----------
    uri : str
        What MLflow is given. The credentials of an http(s) URI are taken out of it.
    shown : str
        What may be printed and stored.
    artifact_location : str or None
        Where new experiments keep files; None leaves it to the server.
    username, password : str or None
        Credentials that were in an http(s) URI.
    """

    uri: str
    shown: str
    artifact_location: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def is_server(self) -> bool:
        """True for a tracking server."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not be shown anywhere."""
        userinfo = urllib.parse.urlsplit(self.uri) if "://" in self.uri else None
        found = [self.password, userinfo.password if userinfo else None]
        found += [os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("PASSWORD", "TOKEN")]
        both = {form for s in found if s for form in (s, urllib.parse.unquote(s))}
        return tuple(sorted(both, key=len, reverse=True))

    def mask(self, text: object) -> str:
        """`text` without this target's secrets, nor anything that looks like one."""
        return mask(text, self.secrets)

    @property
    def hint(self) -> str:
        """How a person gets to see the runs."""
        if self.is_server:
            return self.shown
        return f"mlflow ui --backend-store-uri {self.shown}"


def resolve(uri: str | None, output: Path) -> Target:
    """The target that `uri` names.

    Parameters
    ----------
    uri : str or None
        None: the environment variable MLFLOW_TRACKING_URI, else ``mlflow.db`` (SQLite) beside
        `output`.
    output : Path
        The run's output folder.
    """
    beside = output.absolute().parent
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside / 'mlflow.db'}"
    scheme = uri.split(":", 1)[0].split("+")[0].lower() if ":" in uri else uri
    if scheme in ("http", "https"):
        return _server(uri)
    if scheme == "sqlite":
        place = uri.partition(":///")[2]
        if not place or "?" in place:
            raise InputError(f"tracking URI {uri!r} names no file. Use sqlite:///PATH/mlflow.db.")
        file = Path(place).absolute()
        uri = f"sqlite:///{file}"
        return Target(uri, uri, (file.parent / "mlartifacts").as_uri())
    if scheme in DATABASES:
        return Target(uri, mask(uri), (beside / "mlartifacts").as_uri())
    if scheme.startswith("databricks"):
        return Target(uri, mask(uri))
    if scheme == "file" or "://" not in uri:
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("1", "true"):
            return Target(uri, uri)
        raise InputError(
            f"tracking URI {uri!r} is a folder of files, which MLflow no longer accepts. Use "
            "sqlite:///PATH/mlflow.db, a server's http(s)://HOST:PORT, or leave it out for a "
            "SQLite file beside the output."
        )
    raise InputError(
        f"tracking URI {mask(uri)!r} is not understood. Use sqlite:///PATH/mlflow.db, "
        "http(s)://HOST:PORT, postgresql://..., or databricks."
    )


def _server(uri: str) -> Target:
    """A tracking server; credentials leave the URI, so that no message can repeat them."""
    parts = urllib.parse.urlsplit(uri)
    if not parts.hostname:
        raise InputError(f"tracking URI {mask(uri)!r} names no host. Use http(s)://HOST:PORT.")
    host = parts.netloc.rpartition("@")[2]
    bare = urllib.parse.urlunsplit(parts._replace(netloc=host)).rstrip("/")
    user, password = (
        None if part is None else urllib.parse.unquote(part)
        for part in (parts.username, parts.password)
    )
    return Target(bare, mask(bare), None, user, password)


def probe(target: Target, seconds: float = PROBE_SECONDS) -> None:
    """Raise InputError unless the target can be used: before hours of work, not after them.

    A server is asked for its health, and then one question of MLflow's own interface, which finds
    out missing credentials and host names that the server refuses.
    """
    if target.is_server:
        _probe_server(target, seconds)
    elif target.uri.startswith("sqlite:///"):
        _probe_file(Path(target.uri.removeprefix("sqlite:///")))


def _probe_server(target: Target, seconds: float) -> None:
    for path in ("/health", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"):
        try:
            code, text = _get(target, target.uri + path, seconds)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(
                f"The MLflow server {target.shown} does not answer ({target.mask(reason)}). "
                "Start it, correct the tracking URI, or leave it out to track in a SQLite file "
                "beside the output."
            ) from None
        if code in (401, 407):
            raise InputError(
                f"The MLflow server {target.shown} wants credentials ({code}). Set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
            )
        if code == 403:
            raise InputError(
                f"The MLflow server {target.shown} refuses the request (403: "
                f"{target.mask(text.strip()[:120])}). If it says that the host is invalid, start "
                f"the server with --allowed-hosts {urllib.parse.urlsplit(target.uri).netloc}."
            )
        if code >= 500:
            raise InputError(f"The MLflow server {target.shown} is in trouble (status {code}).")


def _get(target: Target, url: str, seconds: float) -> tuple[int, str]:
    """Status and the beginning of the answer to one GET."""
    request = urllib.request.Request(url)
    user = target.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = target.password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    elif token:
        request.add_header("Authorization", f"Bearer {token}")
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context) as answer:
            return int(answer.status), answer.read(1000).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(1000).decode("utf-8", "replace")


def _probe_file(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        place = file if file.exists() else file.parent
        if not os.access(place, os.W_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        raise InputError(
            f"The tracking file {file} cannot be written ({error.strerror}). Give another "
            "tracking URI."
        ) from None
