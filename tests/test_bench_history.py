"""The study of task histories compares what works: each encoding gives back what was saved, and its rule is ours."""

from __future__ import annotations

import msgspec
import pytest

from bench.history.contenders import STUDIES
from bench.history.deltas import Deltas, Rule, Stowfast
from bench.history.measure import measure
from bench.history.workloads import WORKLOADS, agent, blob, small
from stowfast import deltas as history


@pytest.mark.parametrize("encoding", STUDIES["encodings"])
def test_every_encoding_gives_back_what_was_saved(encoding):
    for texts, saves in ((agent, 30), (small, 40), (blob, 3)):
        figures = measure(texts, saves, STUDIES["encodings"][encoding]())
        assert figures.stored > 0
        assert figures.saves == saves


def test_the_rule_of_the_study_is_the_one_that_is_used():
    rule = Rule(radix=history._RADIX, floor=history._SHORT, longest=history._LONGEST)
    ours, theirs = Stowfast(), Deltas(rule)
    for text in agent(60):
        state = msgspec.json.decode(text)
        ours.save(state)
        theirs.save(state)
    assert [ours.cost(number).steps for number in range(60)] == [theirs.cost(number).steps for number in range(60)]


def test_a_workload_is_the_same_each_time():
    for texts, _ in WORKLOADS.values():
        assert list(texts(2)) == list(texts(2))
