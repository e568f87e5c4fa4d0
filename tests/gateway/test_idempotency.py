"""Answers that are given again: how many are kept, and which go first."""

import pytest

from ingest.core.dedupe import KeyRef
from ingest.gateway.idempotency import Answers


class Asked:
    """Answers to messages, and how often each was really asked."""

    def __init__(self, **bounds: int) -> None:
        self.answers = Answers(**bounds)
        self.times: dict[str, int] = {}

    async def __call__(self, key: str, refused: int = 0) -> int:
        """Ask with this key; how often it was asked by now."""

        async def answer():
            self.times[key] = self.times.get(key, 0) + 1
            return {"refused": [None] * refused}

        await self.answers.given(KeyRef("u1", key), "print", answer)
        return self.times[key]


async def test_the_oldest_answer_goes_first():
    asked = Asked(size_max=2)
    for key in "abc":
        await asked(key)
    assert [await asked(key) for key in "cb"] == [1, 1]
    assert await asked("a") == 2


async def test_answers_that_name_many_records_take_more_room():
    asked = Asked(refused_max=10)
    for key in "abc":
        await asked(key, refused=4)
    assert [await asked(key, refused=4) for key in "cb"] == [1, 1]
    assert await asked("a", refused=4) == 2
    assert asked.answers._refused == 8


async def test_one_answer_that_takes_all_the_room_is_not_kept():
    asked = Asked(refused_max=10)
    assert [await asked("a", refused=11) for _ in range(2)] == [1, 2]
    assert asked.answers._refused == 0


async def test_an_answer_that_failed_is_asked_for_again():
    answers, times = Answers(), 0

    async def answer():
        nonlocal times
        times += 1
        raise ValueError("away")

    for _ in range(2):
        with pytest.raises(ValueError, match="away"):
            await answers.given(KeyRef("u1", "a"), "print", answer)
    assert times == 2
