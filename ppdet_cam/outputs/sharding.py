"""Which part of a run this process does: a rank of Paddle's launcher, a shard asked for by hand, or all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ppdet_cam.errors import ConfigError

_SHARD = re.compile(r"([0-9]+)/([0-9]+)")


@dataclass(frozen=True)
class Rank:
    """One of several processes that share a run; by default the only one. Nothing is sent between them.

    Attributes:
        index: from 0.
        count: how many processes share the run.
        launch: the same text for all processes that were started together; "" for a single process.
        is_launched: whether Paddle's launcher watches over it, which stops all ranks when one exits with an error.
    """

    index: int = 0
    count: int = 1
    launch: str = ""
    is_launched: bool = False

    def owns(self, position: int) -> bool:
        """Returns whether the image at this position of the run's list is this process's."""
        return position % self.count == self.index

    def __str__(self) -> str:
        return f"rank {self.index} of {self.count}"


def parse_shard(text: str) -> Rank:
    """Returns the part that "I/N" names, I from 1 to N.

    Raises:
        ConfigError: it is not written so.

    Example:
        >>> parse_shard("2/8").index
        1
    """
    match = _SHARD.fullmatch(text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise ConfigError(f"--shard {text!r} is not I/N, the I-th of N parts, such as 1/8 to 8/8")
    return Rank(index - 1, count, f"{count} shards")


def rank_of(environment: Mapping[str, str], shard: str | None = None) -> Rank:
    """Returns which part of the run this process does.

    Args:
        environment: the process's; `python -m paddle.distributed.launch` sets PADDLE_TRAINER_ID and
            PADDLE_TRAINERS_NUM in it.
        shard: the value of `--shard`, None when it was not given.

    Raises:
        ConfigError: the shard is not I/N, the launcher's numbers do not fit, or both were given.
    """
    count_text = environment.get("PADDLE_TRAINERS_NUM", "1")
    index_text = environment.get("PADDLE_TRAINER_ID", "0")
    if not (count_text.isdigit() and index_text.isdigit() and int(index_text) < int(count_text)):
        raise ConfigError(
            f"PADDLE_TRAINER_ID={index_text} and PADDLE_TRAINERS_NUM={count_text} of the environment do not fit: "
            "the first must be a number below the second. Unset them, or start with paddle.distributed.launch"
        )
    if int(count_text) == 1:
        return Rank() if shard is None else parse_shard(shard)
    if shard is not None:
        raise ConfigError("--shard and paddle.distributed.launch both divide the images; use one of them")
    launch = f"{count_text} ranks at {environment.get('PADDLE_TRAINER_ENDPOINTS', '')}"
    return Rank(int(index_text), int(count_text), launch, is_launched=True)
