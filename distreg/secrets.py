"""What must not be shown: passwords and tokens within URLs, connection strings and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["mask"]

_USERINFO = re.compile(r"(?<=://)[^\s/]*@")
_QUERY = re.compile(
    r"(?i)\b([a-z_-]*(?:password|passwd|pwd|token|secret|sig|signature|credential|key))"
    r"=[^&\s'\"]+"
)


def mask(text: object, secrets: Iterable[str] = ()) -> str:
    """`text` with `secrets`, the userinfo of URIs and secret query values replaced by ``***``."""
    out = str(text)
    for secret in secrets:
        out = out.replace(secret, "***")
    return _QUERY.sub(r"\1=***", _USERINFO.sub("***@", out))
