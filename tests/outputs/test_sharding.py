"""Every image has exactly one process."""

from __future__ import annotations

import pytest

from ppdet_cam.errors import ConfigError
from ppdet_cam.outputs.sharding import Rank, parse_shard, rank_of

LAUNCHED = {"PADDLE_TRAINER_ID": "1", "PADDLE_TRAINERS_NUM": "3", "PADDLE_TRAINER_ENDPOINTS": "host:1,host:2,host:3"}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_ranks_divide_all_images(count):
    """Each position belongs to one rank, and no rank has more than one image more than another."""
    owners = [[position for position in range(20) if Rank(index, count).owns(position)] for index in range(count)]
    assert sorted(position for owned in owners for position in owned) == list(range(20))
    assert max(map(len, owners)) - min(map(len, owners)) <= 1


def test_launcher_gives_the_rank():
    """Paddle's launcher says in the environment which of how many ranks this is; a single rank is no rank."""
    rank = rank_of(LAUNCHED)
    assert (rank.index, rank.count, rank.is_launched, str(rank)) == (1, 3, True, "rank 1 of 3")
    assert rank.launch == rank_of({**LAUNCHED, "PADDLE_TRAINER_ID": "2"}).launch
    assert rank.launch != rank_of({**LAUNCHED, "PADDLE_TRAINER_ENDPOINTS": "host:4,host:5,host:6"}).launch
    for environment in ({}, {"PADDLE_TRAINER_ID": "0", "PADDLE_TRAINERS_NUM": "1"}):
        assert rank_of(environment) == Rank()


def test_shard_counts_from_one():
    """1/8 is the first of eight."""
    assert (parse_shard("1/8").index, parse_shard("8/8").index, parse_shard("8/8").count) == (0, 7, 8)
    assert parse_shard("1/8").launch == parse_shard("2/8").launch != parse_shard("1/7").launch
    assert rank_of({}, "2/3").index == 1 and not rank_of({}, "2/3").is_launched


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "1/0", "-1/8", "a/b", "1/8/2", "1.0/8"])
def test_shard_that_is_none_is_refused(text):
    """The message says how it is written."""
    with pytest.raises(ConfigError, match="is not I/N.*such as 1/8"):
        parse_shard(text)


@pytest.mark.parametrize(("index", "count"), [("3", "3"), ("x", "3"), ("0", ""), ("-1", "2")])
def test_numbers_of_a_launcher_that_do_not_fit_are_refused(index, count):
    """They are repeated, with what to do."""
    with pytest.raises(ConfigError, match="PADDLE_TRAINER_ID=.* do not fit"):
        rank_of({"PADDLE_TRAINER_ID": index, "PADDLE_TRAINERS_NUM": count})


def test_shard_and_launcher_exclude_each_other():
    """Both would divide the images."""
    with pytest.raises(ConfigError, match="--shard and paddle.distributed.launch"):
        rank_of(LAUNCHED, "1/2")
