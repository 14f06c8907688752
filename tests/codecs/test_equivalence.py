"""For every format the code and the interpreted schema agree: on accepting, on values, on writing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.codec import inputs
from fuzz.mutation import mutate
from fuzz.pairs import pairs
from protocol_specs.catalogue import CATALOGUE
from tests.codecs.values import values

PAIRS = pairs()
WRITTEN = [name for name, pair in PAIRS.items() if pair.strict]

every_format = pytest.mark.parametrize("name", PAIRS)


@every_format
def test_a_corpus_exists_and_has_valid_inputs(name: str) -> None:
    assert any(PAIRS[name].decode(data).verdict == "value" for data in inputs(name))


@every_format
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_arbitrary_bytes(name: str, data: st.DataObject) -> None:
    assert PAIRS[name].disagreement(data.draw(st.binary(max_size=120))) is None


@every_format
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_changed_valid_bytes(name: str, seed: int) -> None:
    rng = random.Random(seed)
    corpus = inputs_of(name)
    for _ in range(5):
        assert PAIRS[name].disagreement(mutate(rng.choice(corpus), corpus, rng)) is None


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_arbitrary_values(name: str, data: st.DataObject) -> None:
    value = data.draw(values(CATALOGUE[name].schema))
    assert PAIRS[name].writing_disagreement(value) is None


_CORPORA: dict[str, list[bytes]] = {}


def inputs_of(name: str) -> list[bytes]:
    if name not in _CORPORA:
        _CORPORA[name] = inputs(name)
    return _CORPORA[name]
