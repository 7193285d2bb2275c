"""Digests: content decides, the order of keys does not."""

import blake3
from hypothesis import given
from hypothesis import strategies as st

from petla.core.digests import DIGEST_LENGTH, canonical_json, digest_bytes, digest_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.binary())
def test_digest_is_blake3(content: bytes) -> None:
    assert digest_bytes(content) == blake3.blake3(content).hexdigest()
    assert len(digest_bytes(content)) == DIGEST_LENGTH


@given(st.dictionaries(st.text(), JSON))
def test_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))

    assert canonical_json(turned) == canonical_json(value)
    assert digest_value(turned) == digest_value(value)


def test_other_values_have_other_digests() -> None:
    values: list[object] = [None, 0, "0", [], {}, [0], {"a": 0}, {"a": "0"}, {"b": 0}]

    assert len({digest_value(value) for value in values}) == len(values)
