"""A YAML file as plain data that remembers where every value stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from distreg.exceptions import ConfigError

__all__ = ["Document", "parse_value", "read_document"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 12
MAX_NODES = 100_000

SHORTHANDS = {"model.cv": "folds", "test": "fraction", "output": "dir", "stability": "n_pairs"}
"""Sections that a plain value stands for: `cv: 5` is `cv: {folds: 5}`."""

Key = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `1e-3` is a number, `no` and `2020-01-01` are strings."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "float",
        (
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass
class Document:
    """Plain data (dicts, lists, scalars) and the origin of each value.

    Attributes
    ----------
    data : dict
        The content.
    origins : dict
        For each key path, where it was given: "flights.yaml:4:3" or a command line option.
    label : str
        Name used for what is missing.
    """

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)
    label: str = "command line"

    def origin(self, key: Key) -> str:
        """Where the value of `key`, a part of it, or its nearest known parent was given."""
        inside = (k for k in self.origins if k[: len(key)] == key)
        part = min(inside, key=len, default=None)
        if part is not None:
            return self.origins[part]
        for end in range(len(key), 0, -1):
            if key[:end] in self.origins:
                return self.origins[key[:end]]
        return self.label

    def set(self, key: str, value: Any, origin: str) -> None:
        """Set the value at a dotted key, making the mappings on the way."""
        parts = key.split(".")
        if not all(parts):
            raise ConfigError(
                f"{origin}: the key {key!r} has an empty part; give section.key=value"
            )
        here = self.data
        for i, part in enumerate(parts[:-1]):
            inner = here.get(part)
            if inner is None:
                inner = here[part] = {}
            outer = ".".join(parts[: i + 1])
            if outer in SHORTHANDS and not isinstance(inner, dict):
                inner = here[part] = {SHORTHANDS[outer]: inner}
            if not isinstance(inner, dict):
                raise ConfigError(
                    f"{origin}: {outer} is {inner!r} and has no keys of its own; "
                    f"set {outer} as a whole: --set '{outer}={{{parts[i + 1]}: ...}}'"
                )
            here = inner
        here[parts[-1]] = value
        self._forget(tuple(parts))
        self.origins[tuple(parts)] = origin

    def _forget(self, key: Key) -> None:
        """Drop the origins of a value that has been replaced."""
        for known in [k for k in self.origins if k[: len(key)] == key]:
            del self.origins[known]


def read_document(path: str | Path) -> Document:
    """Read a pipeline file.

    Raises
    ------
    ConfigError
        The file cannot be read or is not plain YAML: unknown tags, aliases, repeated keys, more
        than 1 MB, or more than 12 levels.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(
                f"{path}: {size:,} bytes is too long for a pipeline file (at most {MAX_BYTES:,}); "
                "data belong in the file that data.path names"
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file. `distreg init {path}` writes an example"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not a text file (byte {error.start} is not UTF-8); "
            "a pipeline file is YAML. To fit a data file directly: distreg fit DATA --target y"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    document = Document(label=str(path))
    data = _parse(text, str(path), document.origins)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}:1:1: a pipeline file holds sections such as data: and model:; "
            f"this one holds a {type(data).__name__}"
        )
    document.data = data
    return document


def parse_value(text: str, origin: str) -> Any:
    """Read the right-hand side of ``--set key=value`` as YAML."""
    return _parse(text, origin, None)


def _parse(text: str, label: str, origins: dict[Key, str] | None) -> Any:
    """Parse one YAML document into plain data; note positions in `origins`."""
    try:
        _check_shape(text, label)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _construct(loader, node, (), label, origins)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = label if mark is None or origins is None else _position(label, mark)
        problem = " ".join(str(error.problem or error.context).split())
        raise ConfigError(f"{where}: not valid YAML: {problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{label}: not valid YAML: {' '.join(str(error).split())}") from None


def _check_shape(text: str, label: str) -> None:
    """Refuse, from the flat stream of events, what could grow when it is built."""
    depth = 0
    for count, event in enumerate(_events(text)):
        where = _position(label, event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(
                f"{where}: aliases (*{event.anchor}) are not allowed in a pipeline file; "
                "write the value out"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: nested deeper than {MAX_DEPTH} levels; flatten it")
        if count > MAX_NODES:
            raise ConfigError(f"{where}: more than {MAX_NODES:,} values; a pipeline file is short")


def _events(text: str) -> Iterator[yaml.Event]:
    """Events of the parser, one at a time."""
    yield from yaml.parse(text, Loader=_Loader)


def _construct(
    loader: _Loader, node: yaml.Node, key: Key, label: str, origins: dict[Key, str] | None
) -> Any:
    """Build plain data from a node whose depth has been checked."""
    where = label if origins is None else _position(label, node.start_mark)
    if origins is not None and key not in origins:
        origins[key] = where
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.ScalarNode) and kind in ("str", "int", "float", "bool", "null"):
        return _scalar(loader, node, kind, where)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [
            _construct(loader, item, (*key, i), label, origins) for i, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(loader, node, key, label, origins)
    raise ConfigError(f"{where}: the tag {node.tag!r} is not allowed; use plain values")


def _scalar(loader: _Loader, node: yaml.ScalarNode, kind: str, where: str) -> Any:
    """Build a string, a number, a truth value or None."""
    text = node.value
    try:
        if kind == "int":
            # int() stops at 4,300 digits, with a ValueError
            return int(text)
        if kind == "float":
            return float(text.replace(".inf", "inf").replace(".nan", "nan").lower())
    except ValueError:
        raise ConfigError(f"{where}: {text[:40]!r} is not a number") from None
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else loader.construct_scalar(node)


def _mapping(
    loader: _Loader,
    node: yaml.MappingNode,
    key: Key,
    label: str,
    origins: dict[Key, str] | None,
) -> dict[str, Any]:
    """Build a mapping; its keys are strings and occur once."""
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        where = label if origins is None else _position(label, key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{where}: a key must be a plain word")
        name = str(key_node.value)
        if name in out:
            raise ConfigError(f"{where}: the key {name!r} is given twice; keep one")
        if origins is not None:
            origins[(*key, name)] = where
        out[name] = _construct(loader, value_node, (*key, name), label, origins)
    return out


def _position(label: str, mark: Any) -> str:
    """Name, line and column of a mark, both from 1."""
    return f"{label}:{mark.line + 1}:{mark.column + 1}"
