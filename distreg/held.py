"""Values that stay where the tasks of the groups run, from one pass to the next."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Held", "Opaque", "hold"]


@dataclass(frozen=True)
class Opaque:
    """Hides a value from Dask, which would look for tasks inside of a plain one."""

    value: Any


@dataclass(frozen=True)
class Held:
    """What stays where the groups' tasks run, from one pass to the next (see `distreg.rounds`).

    Attributes
    ----------
    values : list
        For each group an `Opaque`, or Dask's future of one.
    client : Client or None
        Whose futures they are.
    """

    values: list[Any]
    client: Client | None

    def places(self) -> list[list[str]]:
        """Addresses of the workers that hold each group's value; empty when none does."""
        if self.client is None:
            return [[] for _ in self.values]
        where = self.client.who_has(self.values)
        return [sorted(where.get(value.key, ())) for value in self.values]

    def release(self) -> None:
        """Let go of all values."""
        if self.client is not None:
            for value in self.values:
                value.release()
        self.values.clear()


def hold(make: Callable[[], Opaque], n_groups: int, client: Client | None) -> Held:
    """A value of `make` for each group, spread evenly over the workers of the client."""
    if client is None:
        return Held([make() for _ in range(n_groups)], None)
    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
    token = uuid.uuid4().hex
    futures = [
        client.submit(
            make,
            key=f"distreg-held-{i}-{token}",
            pure=False,
            workers=[workers[i * len(workers) // n_groups]],
            allow_other_workers=True,
        )
        for i in range(n_groups)
    ]
    return Held(futures, client)
